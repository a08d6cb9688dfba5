//! Finds out which writes of a batch PostgreSQL rejects, and executes the others, in two round trips.
//!
//! A failed statement undoes everything after the last savepoint, and each savepoint of a client takes
//! three round trips. So a block of PL/pgSQL tries the writes on the server: a part of the rows at a
//! time, and the rows of a small rejected part one by one. A small number of rows is tried without the
//! block first.

use serde::Deserialize;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    Postgres,
    error::{ILL, LEFT_OUT, MEANT, Report, explain},
    quoting::{body, literal},
};
use crate::{
    diff::Operation,
    error::DatabaseError,
    owner::Owner,
    sql::{Arg, Batch, Column, Dialect, Kind, with_parameters},
    unit::Rejection,
};

/// How many rows a try has at first, and at most.
const ROWS: (u8, u16) = (32, 256);

/// The SQLSTATE of a NUL.
const UNTRANSLATABLE: &str = "22P05";

/// A rejected row: its number, from 1 on, the SQLSTATE, the message, the constraint, the column, and
/// the field whose value cannot be converted.
#[derive(Debug, Deserialize)]
struct Refused(usize, String, String, String, String, Option<String>);

/// This number of rows is tried without a block first, because parsing the block takes longer.
const FEW: usize = 4;

pub(super) async fn isolate(
    connection: &mut PgConnection,
    owner: &Owner,
    batch: &Batch<'_, '_>,
) -> Result<Vec<Rejection>, DatabaseError> {
    let failed = |error| explain(batch.model, error);
    if batch.len() <= FEW && is_taken(connection, owner, batch).await? {
        return Ok(Vec::new());
    }
    let Some(block) = block(batch) else { return Ok(Vec::new()) };
    let rows = match batch.operation() {
        Operation::Create | Operation::Update => batch.rows::<Postgres>(),
        Operation::Delete => serde_json::to_string(&batch.ids()).map_err(DatabaseError::failed)?,
    };
    let args = [Arg::Text(owner.as_str()), Arg::Owned(rows)];
    let hand_over =
        "SELECT set_config('mobync.owner', $1, true), set_config('mobync.rows', $2, true)";
    Postgres::execute(connection, hand_over, &args).await.map_err(failed)?;
    // If the statement fails without rows, the error says nothing about the rows.
    sqlx::raw_sql(AssertSqlSafe(block)).execute(&mut *connection).await.map_err(|error| {
        match explain(batch.model, error) {
            rejection if rejection.is_rejection() => DatabaseError::failed(rejection),
            error => error,
        }
    })?;
    let take_back = "SELECT current_setting('mobync.rows')";
    let refused = Postgres::texts(connection, take_back, &[]).await.map_err(failed)?;
    let refused: Vec<Refused> =
        serde_json::from_str(refused.first().map_or("[]", |refused| &**refused))
            .map_err(DatabaseError::failed)?;

    Ok(refused.into_iter().map(|refused| rejection(batch, refused)).collect())
}

/// Whether the whole batch is accepted. If not, nothing of it is executed.
async fn is_taken(
    connection: &mut PgConnection,
    owner: &Owner,
    batch: &Batch<'_, '_>,
) -> Result<bool, DatabaseError> {
    let Some(sql) = batch.statement::<Postgres>() else { return Ok(true) };
    let failed = |error| explain(batch.model, error);
    Postgres::command(connection, "SAVEPOINT mobync_try").await.map_err(failed)?;
    let done = Postgres::execute(connection, &sql, &batch.args::<Postgres>(owner)).await;
    let is_taken = match done.map_err(failed) {
        Ok(done) => usize::try_from(done).is_ok_and(|done| done == batch.len()),
        Err(error) if error.is_rejection() => false,
        Err(error) => return Err(error),
    };
    let end = if is_taken {
        "RELEASE SAVEPOINT mobync_try"
    } else {
        "ROLLBACK TO SAVEPOINT mobync_try; RELEASE SAVEPOINT mobync_try"
    };
    Postgres::command(connection, end).await.map_err(failed)?;
    Ok(is_taken)
}

fn rejection(batch: &Batch<'_, '_>, refused: Refused) -> Rejection {
    let Refused(place, code, message, constraint, column, field) = refused;
    let place = place.saturating_sub(1);
    // A NUL fails the conversion of all fields.
    let has_nul = |(_, value): &(&str, &str)| code == UNTRANSLATABLE && value.contains("\\u0000");
    let fields = batch.writes.get(place).into_iter().flat_map(|write| write.fields());
    let with_nul = fields.clone().find(has_nul).map(|(name, _)| name.to_owned());
    let field = with_nul.or(field);
    let field = field.and_then(|field| batch.columns.iter().find(|column| column.name == field));
    let some = |text: &'_ str| (!text.is_empty()).then_some(text.to_owned());
    let (constraint, column) = (some(&constraint), some(&column));
    let error = match field {
        Some(field) => field.invalid_value(),
        None => Report {
            code: &code,
            message: &message,
            constraint: constraint.as_deref(),
            column: column.as_deref(),
        }
        .rejection(batch.model),
    };
    Rejection { place: batch.first + place, error }
}

/// The block of PL/pgSQL. It reads the owner and the rows from settings of the transaction, because a
/// block has no parameters, and writes the refused rows to a setting.
fn block(batch: &Batch<'_, '_>) -> Option<String> {
    let write = in_block(&batch.statement::<Postgres>()?, "mobync_rows");
    let existing = |rows: &str| in_block(&batch.existing::<Postgres>(2), rows);
    let is_delete = batch.operation() == Operation::Delete;
    // The types of one row, of several rows and of an empty list of rows, and how to take some out of
    // all.
    let slice = "mobync_all[mobync_first:mobync_last]";
    let (one, some, none, elements, part) = if is_delete {
        ("text", "text[]", "'{}'", "json_array_elements_text", slice.to_owned())
    } else {
        ("json", "json", "'[]'", "json_array_elements", format!("array_to_json({slice})"))
    };
    // A delete is complete if the row is gone, and a create if the row exists, even if a trigger has
    // written it to another table.
    let left_out = match batch.operation() {
        Operation::Update => "true".to_owned(),
        Operation::Delete => format!("EXISTS ({})", existing("mobync_rows")),
        Operation::Create => {
            let ids = format!(
                "ARRAY (SELECT e ->> {} FROM json_array_elements(mobync_rows) AS e)",
                literal(&batch.model.id.stored)
            );
            format!("(SELECT count(*) FROM ({}) AS t) <> mobync_expected", existing(&ids))
        }
    };
    let conversions = conversions(&batch.columns);
    let (first_rows, most_rows) = ROWS;
    let block = format!(
        "
#variable_conflict use_variable
DECLARE
  mobync_owner text := current_setting('mobync.owner');
  mobync_all {one}[];
  mobync_rows {some} := {none};
  mobync_first int := 1;
  mobync_last int;
  mobync_step int := {first_rows};
  mobync_until int := 0;
  mobync_done bigint;
  mobync_expected bigint;
  mobync_refused text[] := '{{}}';
  mobync_code text;
  mobync_message text;
  mobync_constraint text;
  mobync_column text;
  mobync_field text;
BEGIN
  SELECT coalesce(array_agg(item ORDER BY place), '{{}}') INTO mobync_all
    FROM {elements}(CAST(current_setting('mobync.rows') AS json)) WITH ORDINALITY AS items (item, place);
  BEGIN
    {write};
  EXCEPTION WHEN OTHERS OR ASSERT_FAILURE THEN
    mobync_code := SQLSTATE;
    IF NOT ({MEANT}) THEN RAISE; END IF;
  END;
  WHILE mobync_first <= cardinality(mobync_all) LOOP
    mobync_last := least(mobync_first + mobync_step - 1, cardinality(mobync_all));
    mobync_expected := mobync_last - mobync_first + 1;
    mobync_rows := {part};
    BEGIN
      {write};
      GET DIAGNOSTICS mobync_done = ROW_COUNT;
      IF mobync_done <> mobync_expected THEN IF {left_out} THEN
        RAISE EXCEPTION 'left out' USING ERRCODE = '{LEFT_OUT}';
      END IF; END IF;
      mobync_first := mobync_last + 1;
      IF mobync_first > mobync_until THEN
        mobync_step := least(greatest(mobync_step * 2, {first_rows}), {most_rows});
      END IF;
    EXCEPTION WHEN OTHERS OR ASSERT_FAILURE THEN
      GET STACKED DIAGNOSTICS mobync_code = RETURNED_SQLSTATE, mobync_message = MESSAGE_TEXT,
        mobync_constraint = CONSTRAINT_NAME, mobync_column = COLUMN_NAME;
      IF {ILL} THEN RAISE; END IF;
      IF mobync_expected > {first_rows} THEN
        mobync_step := {first_rows};
      ELSIF mobync_expected > 1 THEN
        mobync_until := mobync_last;
        mobync_step := 1;
      ELSE
        mobync_field := NULL;
        IF mobync_code !~ '^(23|P0)' AND mobync_code NOT IN ('{LEFT_OUT}', '{UNTRANSLATABLE}') THEN
          {conversions}
        END IF;
        mobync_refused := array_append(mobync_refused, CAST(json_build_array(mobync_first,
          mobync_code, left(mobync_message, 500), mobync_constraint, mobync_column, mobync_field)
          AS text));
        mobync_first := mobync_first + 1;
        IF mobync_first > mobync_until THEN
          mobync_step := {first_rows};
        END IF;
      END IF;
    END;
  END LOOP;
  PERFORM set_config('mobync.rows', concat('[', array_to_string(mobync_refused, ','), ']'), true);
END"
    );
    Some(format!("DO {}", body(&block)))
}

/// Statements that find the field of `mobync_rows`, which has one row, whose value cannot be converted.
fn conversions(columns: &[&Column]) -> String {
    let columns = columns.iter().filter(|column| may_not_convert(column));
    let conversions = columns.map(|column| {
        format!(
            "IF mobync_field IS NULL THEN BEGIN \
             PERFORM r.{name} FROM json_to_recordset(mobync_rows) AS r ({name} {of}); \
             EXCEPTION WHEN OTHERS THEN mobync_field := {field}; END; END IF; ",
            name = column.quoted(),
            of = column.full_type,
            field = literal(&column.name),
        )
    });
    conversions.collect::<Vec<_>>().concat()
}

/// Whether values of this column can pass the check and still fail to convert. Checking the other
/// columns too would make the block so long that parsing it takes more time than running it.
fn may_not_convert(column: &Column) -> bool {
    let is_checked = matches!(column.kind, Kind::Text | Kind::Integer(_) | Kind::Boolean);
    !is_checked || column.full_type != column.sql_type
}

/// The parameters of a statement as the block's variable, and as these rows.
fn in_block(sql: &str, rows: &str) -> String {
    with_parameters(sql, "mobync_owner", rows)
}

//! Triggers that mark the changes of everybody but a sync, on PostgreSQL.
//!
//! A mark is a row of a table without any key, so no transaction waits for a mark or fails because of
//! one. The triggers are statement-level: one function call for a bulk update. They skip what a sync
//! writes itself, but not what that sets off: cascades, and the writes of other triggers.

use sqlx::PgConnection;

use super::{
    catalogue::LONGEST_NAME,
    clocks::{MARKS, channel},
    quoting::{body, literal, make_index},
};
use crate::sql::{Column, Model, SchemaError, Table, marks_of, prefix_of, quote};

/// The setting of a session whose writes need no marks.
pub(super) const IN_SYNC: &str = "mobync.sync";

/// The triggers: the ends of their names, whether they are created on tables without parts (partitions
/// or child tables) and on tables with parts, and the rest of the statement that creates them.
///
/// In a table with parts, an update may move rows between the parts, and only the old rows show that. In
/// other tables it is cheaper to look at the new rows, and row by row at those whose key has changed.
fn triggers(model: &Model) -> [(&'static str, bool, bool, String); 6] {
    let not_in_sync = format!(
        "pg_trigger_depth() > 0 OR current_setting('{IN_SYNC}', true) IS DISTINCT FROM 'on'"
    );
    let changed =
        |column: &Column| format!("OLD.{0} IS DISTINCT FROM NEW.{0}", in_format(&column.quoted()));
    let keys: Vec<String> = key(model).map(changed).collect();
    let statement = |event: &str, rows: &str| {
        format!(
            "{event} ON %s {rows} FOR EACH STATEMENT WHEN ({not_in_sync}) EXECUTE FUNCTION %s()"
        )
    };
    let moved = format!(
        "AFTER UPDATE ON %s FOR EACH ROW WHEN (({}) AND ({not_in_sync})) EXECUTE FUNCTION %s()",
        keys.join(" OR ")
    );
    let both = "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows";
    let (new, old) = ("REFERENCING NEW TABLE AS new_rows", "REFERENCING OLD TABLE AS old_rows");
    [
        ("insert", true, true, statement("AFTER INSERT", new)),
        ("delete", true, true, statement("AFTER DELETE", old)),
        ("truncate", true, true, statement("BEFORE TRUNCATE", "")),
        ("update", true, false, statement("AFTER UPDATE", new)),
        ("moved", true, false, moved),
        ("moves", false, true, statement("AFTER UPDATE", both)),
    ]
}

/// The columns that identify a row in a mark.
fn key(model: &Model) -> impl Iterator<Item = &Column> {
    model.owner.iter().chain([&model.id])
}

/// # Errors
/// If a name would be truncated, or the table of the marks is something else.
pub(super) async fn check(connection: &mut PgConnection, log: &Model) -> Result<(), SchemaError> {
    let most = LONGEST_NAME - prefix_of("").len() - HASH - 1;
    if log.name.len() > most {
        return Err(SchemaError::LongName { name: log.name.clone(), most });
    }
    let marks = Table::new(marks_of(&log.name)).in_schema(home(log));
    let Some(found) = super::catalogue::find(connection, &marks).await? else { return Ok(()) };
    let has = |name: &&str| found.columns.iter().any(|column| column.column.name == **name);
    if let Some(column) = ["owner", "model", "id", "at", "tx"].iter().find(|name| !has(name)) {
        let advice = "it belongs to the log and has the marks; drop it if it is something else, or name \
                      another log with `diffs_table`";
        let (table, column) = (marks_of(&log.name), (*column).to_owned());
        return Err(SchemaError::NoColumn { table, column, advice });
    }
    Ok(())
}

/// The schema of the log, and so of everything that belongs to it.
fn home(log: &Model) -> &str {
    log.schema.as_deref().unwrap_or("public")
}

/// A name in that schema, in SQL.
fn at_home(log: &Model, name: &str) -> String {
    format!("{}.{}", quote(home(log)), quote(name))
}

/// The table of the marks, in SQL.
pub(super) fn marks(log: &Model) -> String {
    at_home(log, &marks_of(&log.name))
}

const HASH: usize = 16;

/// The name of the function that marks a table's changes. It begins with the log's name, and ends with
/// the table's, or with a hash of it if that is too long.
fn function(log: &Model, model: &Model) -> String {
    let prefix = prefix_of(&log.name);
    let whole = format!("{prefix}{}", model.stored);
    if whole.len() <= LONGEST_NAME {
        return at_home(log, &whole);
    }
    let hash = model.stored.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    at_home(log, &format!("{prefix}{hash:016x}"))
}

/// The beginning of the comments by which functions and tables of marks are recognized.
const COMMENT: &str = "mobync: marks of changes for ";

/// The comment on those of a log.
fn comment(log: &Model) -> String {
    literal(&format!("{COMMENT}{}", log.table))
}

/// The condition that the trigger `t` only marks changes, for any log.
pub(super) fn only_marks() -> String {
    format!("starts_with(coalesce(obj_description(t.tgfoid, 'pg_proc'), ''), '{COMMENT}')")
}

/// The statements that create the table of marks and the triggers.
pub(super) fn make(log: &Model, captured: &[&Model], announces: bool) -> Vec<String> {
    let (marks, comment) = (marks(log), comment(log));
    let index = format!("{}_owner", marks_of(&log.name));
    let mut statements = vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {marks} (owner text COLLATE \"C\" NOT NULL, \
             model text NOT NULL, id text NOT NULL, at bigint NOT NULL, tx xid8)"
        ),
        format!("COMMENT ON TABLE {marks} IS {comment}"),
        make_index(Some(home(log)), &index, &format!("{marks} (owner)")),
    ];
    for model in captured {
        let function = function(log, model);
        statements.push(format!(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql \
             SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {}",
            body(&marking(log, model, announces))
        ));
        statements.push(format!("REVOKE ALL ON FUNCTION {function}() FROM PUBLIC"));
        statements.push(format!("COMMENT ON FUNCTION {function}() IS {comment}"));
    }
    statements.push(make_triggers(log, captured));
    statements
}

/// The body of a table's function.
fn marking(log: &Model, model: &Model, announces: bool) -> String {
    let name = |column: &Column, row: &str| format!("CAST({row}.{} AS text)", column.quoted());
    // A select of the marks for the rows of FROM, without those that are not valid names.
    let select = |row: &str, from: &str| {
        let names: Vec<String> = key(model).map(|column| name(column, row)).collect();
        let [owner, id] = [0, 1].map(|place| names.get(place).map_or("NULL", |name| &**name));
        format!(
            "SELECT {owner}, {model}, {id}, mobync_at, pg_current_xact_id(){from} \
             WHERE octet_length({owner}) BETWEEN 1 AND 1024 AND octet_length({id}) BETWEEN 1 AND 1024",
            model = literal(&model.stored)
        )
    };
    let insert = format!("INSERT INTO {} (owner, model, id, at, tx)", marks(log));
    let [new, old] =
        ["new_rows", "old_rows"].map(|rows| select("r", &format!(" FROM {rows} AS r")));
    let changed = select("OLD", "");
    let rows = in_format(&select("r", " FROM mobync_rows AS r"));
    let rows = rows.replace("mobync_rows", "%s").replace("mobync_at", "$1");
    let whole = literal(&format!("{} {rows}", in_format(&insert)));
    // If a column was renamed, the application must not fail.
    let columns: Vec<String> = key(model).map(|column| literal(&column.stored)).collect();
    let renamed = format!(
        "(SELECT count(*) FROM pg_attribute AS c WHERE c.attrelid = TG_RELID AND NOT c.attisdropped \
         AND c.attname IN ({})) < {}",
        columns.join(", "),
        columns.len()
    );
    // A transaction that notifies cannot be prepared for a two-phase commit.
    let notify = if announces {
        format!(
            "\n  IF current_setting('max_prepared_transactions') = '0' THEN\
             \n    PERFORM pg_notify({}, '{MARKS}');\n  END IF;",
            channel(&literal(&log.table))
        )
    } else {
        String::new()
    };
    format!(
        "
#variable_conflict use_variable
DECLARE
  mobync_at CONSTANT bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
BEGIN
  IF {renamed} THEN
    RAISE WARNING 'changes of % are not marked: a column has another name; run set_up again', TG_RELID::regclass;
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' THEN
    {insert} {new};
  ELSIF TG_OP = 'DELETE' THEN
    {insert} {old};
  ELSIF TG_OP = 'TRUNCATE' THEN
    EXECUTE format({whole}, CAST(TG_RELID AS regclass)) USING mobync_at;
  ELSIF TG_LEVEL = 'ROW' THEN
    {insert} {changed};
  ELSIF TG_NAME = {moves} THEN
    {insert} {new} UNION ALL {old};
  ELSE
    {insert} {new};
  END IF;{notify}
  RETURN NULL;
END
",
        moves = literal(&format!("{}moves", prefix_of(&log.name)))
    )
}

/// A text that the function `format` does not change.
fn in_format(text: &str) -> String {
    text.replace('%', "%%")
}

/// A select of the triggers that should exist: the table, the name, the statement that creates it, and
/// the comment by which it is recognized.
fn wanted(log: &Model, captured: &[&Model]) -> String {
    let mut rows = Vec::new();
    for model in captured {
        let (table, function) = (literal(&model.table), literal(&function(log, model)));
        for (name, alone, with_parts, rest) in triggers(model) {
            let (name, rest) = (literal(&(prefix_of(&log.name) + name)), literal(&rest));
            rows.push(format!("({table}, {name}, {alone}, {with_parts}, {rest}, {function})"));
        }
    }
    if rows.is_empty() {
        rows.push("(NULL, NULL, false, false, NULL, NULL)".to_owned());
    }
    format!(
        "WITH RECURSIVE wanted (root, name, alone, with_parts, rest, function) AS (VALUES {rows}), \
         tree (root, part) AS (SELECT root, CAST(CAST(root AS regclass) AS oid) FROM wanted \
         UNION SELECT tree.root, i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.part) \
         SELECT tree.part, w.name, concat('mobync: ', w.rest, ' ', w.function) AS known_by, \
         format('CREATE TRIGGER %I ', w.name) \
         || format(w.rest, CAST(tree.part AS regclass), w.function) AS made_by \
         FROM wanted AS w JOIN tree ON tree.root = w.root \
         JOIN pg_class AS c ON c.oid = tree.part AND c.relkind IN ('r', 'p') \
         WHERE CASE WHEN EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid) \
         OR c.relkind = 'p' THEN w.with_parts ELSE w.alone END",
        rows = rows.join(", ")
    )
}

/// A block that creates the missing triggers. A table that has all of them is not locked.
fn make_triggers(log: &Model, captured: &[&Model]) -> String {
    let block = format!(
        "
DECLARE
  missing record;
BEGIN
  FOR missing IN
    SELECT w.*, CAST(w.part AS regclass) AS of, g.oid IS NOT NULL AS is_other FROM ({wanted}) AS w
      LEFT JOIN pg_trigger AS g ON g.tgrelid = w.part AND g.tgname = w.name
      WHERE obj_description(g.oid, 'pg_trigger') IS DISTINCT FROM w.known_by ORDER BY w.part, w.name
  LOOP
    IF missing.is_other THEN
      EXECUTE format('DROP TRIGGER %I ON %s', missing.name, missing.of);
    END IF;
    EXECUTE missing.made_by;
    EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', missing.name, missing.of, missing.known_by);
  END LOOP;
END
",
        wanted = wanted(log, captured)
    );
    format!("DO {}", body(&block))
}

/// The statement that drops what is not needed: triggers of all tables but these, functions without
/// triggers, and, if nothing is captured, the marks.
pub(super) fn remove(log: &Model, captured: &[&Model]) -> Vec<String> {
    let comment = comment(log);
    let functions = format!(
        "pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname = {} \
         AND obj_description(p.oid, 'pg_proc') = {comment}",
        literal(home(log))
    );
    let marks = marks(log);
    let drop_marks = if captured.is_empty() {
        let name = literal(&marks);
        format!(
            "\n  IF obj_description(to_regclass({name}), 'pg_class') = {comment} THEN\
             \n    DROP TABLE {marks};\n  END IF;"
        )
    } else {
        String::new()
    };
    let block = format!(
        "
DECLARE
  stale record;
BEGIN
  FOR stale IN
    SELECT g.tgname AS name, CAST(g.tgrelid AS regclass) AS of FROM {functions}
      JOIN pg_trigger AS g ON g.tgfoid = p.oid AND NOT g.tgisinternal
      WHERE (g.tgrelid, g.tgname) NOT IN (SELECT w.part, w.name FROM ({wanted}) AS w)
      ORDER BY g.tgrelid, g.tgname
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', stale.name, stale.of);
  END LOOP;
  FOR stale IN
    SELECT CAST(p.oid AS regprocedure) AS name FROM {functions}
      WHERE NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgfoid = p.oid)
  LOOP
    EXECUTE format('DROP FUNCTION %s', stale.name);
  END LOOP;{drop_marks}
END
",
        wanted = wanted(log, captured)
    );
    vec![format!("DO {}", body(&block))]
}

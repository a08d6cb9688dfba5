//! The columns of a SQLite table: what they hold, how they change a value, and what they have in a row
//! that was created without them.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{catalogue::Place, doubles};
use crate::sql::{Column, DefaultValue, FoundColumn, Generated, Keeping, Kind, quote};

/// A column's name, type, default, whether it is generated, and whether it is the rowid.
type Row = (String, String, Option<String>, bool, bool);

pub(super) async fn find(
    connection: &mut SqliteConnection,
    place: Place<'_>,
    is_strict: bool,
) -> Result<Vec<FoundColumn>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT name, type, dflt_value, hidden > 1, pk > 0 \
         AND NOT EXISTS (SELECT 1 FROM pragma_index_list($1, $2) WHERE origin = 'pk') \
         FROM pragma_table_xinfo($1, $2) WHERE hidden <> 1 ORDER BY cid",
    )
    .bind(place.table.to_owned())
    .bind(place.schema.to_owned())
    .fetch_all(&mut *connection)
    .await?;
    let mut columns = Vec::with_capacity(rows.len());
    for (name, sql_type, expression, is_generated, is_row_id) in rows {
        let (kind, affinity) = (kind(&sql_type), affinity(&sql_type));
        // A column's own collation cannot be read from the catalogue, so comparisons name theirs.
        let collate = match kind {
            Kind::Text | Kind::Other => " COLLATE BINARY",
            _ => "",
        };
        let keeping = if is_row_id { Keeping::RowIds } else { keeping(kind, affinity) };
        let mut column = Column { collate, keeping, ..Column::new(name, kind, sql_type) };
        column.default = match expression {
            _ if is_row_id => DefaultValue::Own,
            None => DefaultValue::Null,
            Some(constant) if is_constant(&constant) => {
                default(connection, &column, &constant, is_strict).await?
            }
            Some(_) => DefaultValue::Own,
        };
        let generated = if is_generated { Generated::Computed } else { Generated::No };
        columns.push(FoundColumn { column, generated, folds: false });
    }
    Ok(columns)
}

/// Whether an expression is a single literal.
fn is_constant(expression: &str) -> bool {
    let expression = expression.trim();
    if let Some(inner) = expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        return is_constant(inner);
    }
    let is_quoted = |mark: char| {
        let inner = expression.strip_prefix(mark).and_then(|inner| inner.strip_suffix(mark));
        inner.is_some_and(|inner| !inner.replace(&format!("{mark}{mark}"), "").contains(mark))
    };
    let is_word = |word| expression.eq_ignore_ascii_case(word);
    let number = expression.trim_start_matches(['+', '-', ' ']);
    number.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && number.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        || is_quoted('\'')
        || expression.starts_with(['x', 'X'])
            && is_constant(expression.get(1..).unwrap_or_default())
        || is_quoted('"')
        || ["NULL", "TRUE", "FALSE"].into_iter().any(is_word)
}

/// The value of a constant in a column, evaluated by the database in a table that only this connection
/// sees.
async fn default(
    connection: &mut SqliteConnection,
    column: &Column,
    constant: &str,
    is_strict: bool,
) -> Result<DefaultValue, sqlx::Error> {
    const GONE: &str = "DROP TABLE IF EXISTS temp.mobync_default";
    let name = column.quoted();
    // A type may be any text, and the words in it decide. In a strict table it is one of few.
    let (sql_type, strict) = match is_strict {
        true => (column.sql_type.clone(), " STRICT"),
        false if column.sql_type.is_empty() => (String::new(), ""),
        false => (quote(&column.sql_type), ""),
    };
    let make = format!(
        "{GONE}; CREATE TEMP TABLE mobync_default ({name} {sql_type} DEFAULT {constant}){strict}; \
         INSERT INTO temp.mobync_default DEFAULT VALUES"
    );
    let made = sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut *connection).await;
    let json = match made {
        Ok(_) => {
            let sql = format!("SELECT {} FROM temp.mobync_default AS t", doubles::one(column));
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *connection).await?;
            doubles::read(&row)?
        }
        // A strict table may reject its own default.
        Err(sqlx::Error::Database(_)) => String::new(),
        Err(error) => return Err(error),
    };
    sqlx::raw_sql(GONE).execute(connection).await?;
    Ok(match json.strip_prefix('[').and_then(|json| json.strip_suffix(']')) {
        None => DefaultValue::Own,
        Some("null") => DefaultValue::Null,
        Some(json) => DefaultValue::Constant(json.to_owned()),
    })
}

/// The meaning of a declared type. SQLite itself accepts any value, except in STRICT tables.
fn kind(sql_type: &str) -> Kind {
    let has = |words: &[&str]| has_one(sql_type, words);
    if has(&["BOOL"]) {
        Kind::Boolean
    } else if has(&["JSON"]) {
        Kind::Json
    } else if has(&["INT"]) {
        Kind::Integer(64)
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Kind::Text
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Kind::Float
    } else {
        Kind::Other
    }
}

/// How SQLite converts a value, if it can.
/// <https://www.sqlite.org/datatype3.html#determination_of_column_affinity>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

fn affinity(sql_type: &str) -> Affinity {
    let has = |words: &[&str]| has_one(sql_type, words);
    if has(&["INT"]) {
        Affinity::Integer
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Affinity::Text
    } else if has(&["BLOB"]) || sql_type.is_empty() {
        Affinity::Blob
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

fn has_one(sql_type: &str, words: &[&str]) -> bool {
    let sql_type = sql_type.to_ascii_uppercase();
    words.iter().any(|word| sql_type.contains(word))
}

fn keeping(kind: Kind, affinity: Affinity) -> Keeping {
    match (kind, affinity) {
        (Kind::Boolean, Affinity::Integer | Affinity::Numeric | Affinity::Blob) => {
            Keeping::Booleans
        }
        (Kind::Json, Affinity::Text | Affinity::Numeric | Affinity::Blob) => Keeping::Documents,
        (Kind::Boolean | Kind::Json, _) => Keeping::Nothing,
        (Kind::Integer(_), _) => Keeping::Integers,
        (Kind::Text, _) => Keeping::Strings(None),
        (Kind::Float, _) => Keeping::Doubles,
        (Kind::Numeric | Kind::Uuid | Kind::Other, _) => Keeping::Words,
    }
}

#[cfg(test)]
mod tests {
    use super::is_constant;

    #[test]
    fn only_a_value_that_is_written_down_is_a_constant() {
        for text in [
            "7",
            "-7",
            "+1.5e-3",
            "'a''b'",
            "('')",
            "NULL",
            "true",
            "\"a\"",
            " ( 0x1F ) ",
            ".5",
            "- 1",
        ] {
            assert!(is_constant(text), "{text}");
        }
        for text in [
            "CURRENT_TIMESTAMP",
            "datetime('now')",
            "(random())",
            "'a' || 'b'",
            "1 + 1",
            "xyz",
            "('a') || ('b')",
            "\"a\" || \"b\"",
            "",
        ] {
            assert!(!is_constant(text), "{text}");
        }
    }
}

//! Any text, and any block, quoted for SQL.

use crate::sql::quote;

/// Quotes a text, whatever the server's settings are.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\047"))
}

/// A statement that creates an index if it does not exist. `IF NOT EXISTS` would lock the table first.
pub(super) fn make_index(schema: Option<&str>, index: &str, on: &str) -> String {
    let schema = schema.map(|schema| quote(schema) + ".").unwrap_or_default();
    let index = quote(index);
    let block = format!(
        "BEGIN IF to_regclass({}) IS NULL THEN CREATE INDEX {index} ON {on}; END IF; END",
        literal(&(schema + &index))
    );
    format!("DO {}", body(&block))
}

/// The body of a block or a function. A name in it could contain the delimiter.
pub(super) fn body(text: &str) -> String {
    let mut mark = "$mobync$".to_owned();
    while text.contains(&mark) {
        mark.insert(1, 'x');
    }
    format!("{mark}{text}{mark}")
}

//! The marks of changes that are not made by a sync: the names of their tables and triggers, and the
//! statements that create or drop them.

use super::{Dialect, Model, schema::Schema};

/// The table of the marks.
pub(crate) fn marks_of(log: &str) -> String {
    format!("{log}_marks")
}

/// The beginning of the names of the marks' triggers and functions.
pub(crate) fn prefix_of(log: &str) -> String {
    format!("{log}_capture_")
}

/// All statements of a set-up.
pub(super) fn statements<D: Dialect>(dialect: &D, schema: &Schema) -> Vec<String> {
    let log = &schema.log;
    let (captured, others): (Vec<&Model>, Vec<&Model>) =
        schema.models.values().partition(|model| model.captured);
    let mut statements = D::set_up(log);
    if !captured.is_empty() {
        statements.extend(dialect.capture(log, &captured));
    }
    let asks_for_objects = schema.models.values().any(|model| model.captured || model.has_own_will);
    statements.push(D::index_objects(log, asks_for_objects));
    statements.extend(D::release(log, &captured, &others));
    statements
}

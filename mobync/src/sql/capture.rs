//! The marks of changes that others than a sync make: how what belongs to them is called, and the
//! statements that make it or take it away.

use super::{Dialect, Model, schema::Schema};

/// The table of the marks.
pub(crate) fn marks_of(log: &str) -> String {
    format!("{log}_marks")
}

/// What the names of triggers and functions of the marks begin with.
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

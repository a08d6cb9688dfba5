//! The models that devices and this server share: their fields, and the values that they can hold.

use mobync::{DatabaseError, Record};
use serde_json::Value;

/// The fields of a model, `id` apart. The log of all changes is a model like the others.
pub(crate) fn fields(model: &str) -> Result<&'static [&'static str], DatabaseError> {
    match model {
        "model1" => Ok(&["field1", "field2", "field3"]),
        "tasks" => Ok(&["name", "created_time", "done"]),
        "diffs" => Ok(&["owner", "logical_clock", "utc_timestamp", "type", "model", "json_data"]),
        _ => Err(DatabaseError::unknown_model(model)),
    }
}

/// Whether the model has the fields of this record.
pub(crate) fn check_fields(model: &str, record: &Record) -> Result<(), DatabaseError> {
    let known = fields(model)?;
    match record.fields().keys().find(|field| !known.contains(&field.as_str())) {
        Some(field) => Err(DatabaseError::unknown_field(model, field, known.iter().copied())),
        None => Ok(()),
    }
}

/// Whether the fields can hold these values. A diff with another value is refused as `invalid_value`,
/// and the other diffs are applied.
pub(crate) fn check_values(model: &str, record: &Record) -> Result<(), DatabaseError> {
    if model != "tasks" {
        return Ok(());
    }
    let (name, done) = (record.get("name"), record.get("done"));
    if !matches!(name, None | Some(Value::Null | Value::String(_))) {
        return Err(DatabaseError::invalid_value("name", "must be a string or null"));
    }
    if !matches!(done, None | Some(Value::Null | Value::Bool(_))) {
        return Err(DatabaseError::invalid_value("done", "must be true, false or null"));
    }
    Ok(())
}

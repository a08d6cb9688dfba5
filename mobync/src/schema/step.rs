//! One change of a schema.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One change of an application's models and fields: what is added, renamed or removed, and the schema
/// version that has the change first, at least 2. Version 1 is what there was before all steps.
///
/// As JSON, a step is an object: `since` is the version, `model` the model of a field, and `add`, `rename` (with
/// `to`) or `remove` name the field, or the model itself if there is no `model`. `default` belongs to a field that
/// is added or removed, and is null if it is missing.
///
/// ```
/// use mobync::schema::Step;
///
/// let json = r#"[
///     {"since": 2, "model": "tasks", "add": "due"},
///     {"since": 3, "model": "tasks", "rename": "name", "to": "title"},
///     {"since": 4, "model": "tasks", "remove": "priority", "default": 0},
///     {"since": 4, "rename": "labels", "to": "tags"}
/// ]"#;
/// let steps = [
///     Step::added(2, "tasks", "due", serde_json::Value::Null),
///     Step::renamed(3, "tasks", "name", "title"),
///     Step::removed(4, "tasks", "priority", 0),
///     Step::renamed_model(4, "labels", "tags"),
/// ];
/// assert_eq!(serde_json::from_str::<Vec<Step>>(json)?, steps);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Members", into = "Members")]
pub struct Step {
    pub(super) since: u64,
    /// The model of a field; `None` if the step is about a model.
    pub(super) model: Option<String>,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Added { name: String, default: Value },
    Renamed { from: String, to: String },
    Removed { name: String, default: Value },
}

impl Step {
    /// Adds a field. `default` is its value in the records that were created without it: the constant default
    /// of its column, or null.
    pub fn added(
        since: u64,
        model: impl Into<String>,
        field: impl Into<String>,
        default: impl Into<Value>,
    ) -> Self {
        let what = What::Added { name: field.into(), default: default.into() };
        Self { since, model: Some(model.into()), what }
    }

    /// Renames a field.
    pub fn renamed(
        since: u64,
        model: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
    ) -> Self {
        let what = What::Renamed { from: from.into(), to: to.into() };
        Self { since, model: Some(model.into()), what }
    }

    /// Removes a field. `default` is what devices of earlier versions receive in its place.
    pub fn removed(
        since: u64,
        model: impl Into<String>,
        field: impl Into<String>,
        default: impl Into<Value>,
    ) -> Self {
        let what = What::Removed { name: field.into(), default: default.into() };
        Self { since, model: Some(model.into()), what }
    }

    /// Adds a model. Devices of earlier versions do not receive its records.
    pub fn added_model(since: u64, model: impl Into<String>) -> Self {
        let what = What::Added { name: model.into(), default: Value::Null };
        Self { since, model: None, what }
    }

    /// Renames a model.
    pub fn renamed_model(since: u64, from: impl Into<String>, to: impl Into<String>) -> Self {
        let what = What::Renamed { from: from.into(), to: to.into() };
        Self { since, model: None, what }
    }

    /// Removes a model. Devices of earlier versions keep the records that they have, and receive no others.
    pub fn removed_model(since: u64, model: impl Into<String>) -> Self {
        let what = What::Removed { name: model.into(), default: Value::Null };
        Self { since, model: None, what }
    }
}

/// A step as JSON.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remove: Option<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    default: Value,
}

impl TryFrom<Members> for Step {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, Self::Error> {
        let Members { since, model, add, rename, to, remove, default } = members;
        let what = match (add, rename, to, remove) {
            (Some(name), None, None, None) => What::Added { name, default },
            (None, Some(from), Some(to), None) if default.is_null() => What::Renamed { from, to },
            (None, None, None, Some(name)) => What::Removed { name, default },
            _ => return Err("a step has one of `add`, `rename` with `to`, and `remove`"),
        };
        Ok(Self { since, model, what })
    }
}

impl From<Step> for Members {
    fn from(Step { since, model, what }: Step) -> Self {
        let members = Self { since, model, ..Self::default() };
        match what {
            What::Added { name, default } => Self { add: Some(name), default, ..members },
            What::Renamed { from, to } => Self { rename: Some(from), to: Some(to), ..members },
            What::Removed { name, default } => Self { remove: Some(name), default, ..members },
        }
    }
}

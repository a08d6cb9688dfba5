//! Schemas that change: models and fields are added, renamed and removed while old apps are in the field.
//!
//! Names are for ever: a name never changes its meaning, and is never used again. So the log is read through a
//! map from all names to the newest ones, and is never rewritten. A device that says which version of the schema
//! it has gets the names and fields of that version. The rules are in the chapter "Schemas that change" of the
//! [protocol](crate::protocol::document). [Changing your schema](crate::schemas) is the guide.

mod inwards;
#[cfg(feature = "client")]
mod kept;
mod lens;
mod names;
mod older;
mod outwards;
mod step;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::names::Models;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use self::names::{Line, Model as History};
pub(crate) use self::{lens::Lens, outwards::View};
pub use self::{older::OlderNames, step::Step};

/// The history of an application's models and fields.
///
/// The server, the Rust client and the JavaScript client take the same list of [steps](Step), in code or as
/// [JSON](Step). Add a step for each change, and never take one away.
///
/// ```
/// use mobync::schema::{Schema, Step};
///
/// let schema = Schema::new([
///     Step::added(2, "tasks", "due", serde_json::Value::Null),
///     Step::renamed(3, "tasks", "name", "title"),
/// ])?;
/// assert_eq!(schema.version(), 3);
/// # Ok::<(), mobync::schema::InvalidSchema>(())
/// ```
///
/// It is cheap to clone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Step>", into = "Vec<Step>")]
pub struct Schema {
    models: Arc<Models>,
}

impl Schema {
    /// The schema with these steps, in any order; those of one version are taken in the order given.
    ///
    /// # Errors
    /// [`InvalidSchema`] if a name is used twice, or a step names what is not there any more.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Result<Self, InvalidSchema> {
        Ok(Self { models: Arc::new(Models::of(steps.into_iter().collect())?) })
    }

    /// The newest version; 1 without steps.
    pub fn version(&self) -> u64 {
        self.models.version
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.models.steps
    }

    /// What the steps say about the model with this name, whichever version has it.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn history(&self, model: &str) -> Option<History<'_>> {
        self.models.get(model)
    }

    /// The newest names of the models that have steps, and were not removed.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn models(&self) -> impl Iterator<Item = &str> {
        let models = self.models.iter().filter(|model| !model.line.is_removed());
        models.map(|model| model.line.now())
    }

    /// Whether a model or a field has more than one name.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn has_renames(&self) -> bool {
        let is_renamed = |line: &names::Line| line.names().count() > 1;
        self.models
            .iter()
            .any(|model| is_renamed(model.line) || model.fields.iter().any(is_renamed))
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.steps() == other.steps()
    }
}

impl Eq for Schema {}

impl TryFrom<Vec<Step>> for Schema {
    type Error = InvalidSchema;

    fn try_from(steps: Vec<Step>) -> Result<Self, InvalidSchema> {
        Self::new(steps)
    }
}

impl From<Schema> for Vec<Step> {
    fn from(schema: Schema) -> Self {
        schema.steps().to_vec()
    }
}

/// What is wrong with the steps of a [`Schema`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSchema {
    /// The first version that a step can have is 2.
    #[error(
        "a step has the version {since}: versions of steps begin at 2, because version 1 is what there was \
         before them"
    )]
    Version {
        /// The version of the step.
        since: u64,
    },
    /// No field or model can have this name, or no step can change it.
    #[error(
        "a step of version {since} names \"{name}\", which no step can change: choose another name"
    )]
    Name {
        /// The name.
        name: String,
        /// The version of the step.
        since: u64,
    },
    /// The name was used before.
    #[error(
        "version {since} uses the name \"{name}\" again: a name must never get another meaning, because old \
         entries of the log and old apps have it; choose another one"
    )]
    Reused {
        /// The name.
        name: String,
        /// The version of the step.
        since: u64,
    },
    /// What the step changes was renamed or removed before.
    #[error(
        "version {since} changes \"{name}\", which was renamed or removed before: use the name of the \
         version before"
    )]
    Gone {
        /// The name.
        name: String,
        /// The version of the step.
        since: u64,
    },
}

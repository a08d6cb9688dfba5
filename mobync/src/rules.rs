//! The application's own rules on top of a database.

use std::{borrow::Cow, fmt, future::Future, pin::Pin};

use crate::{diff::Diff, error::DatabaseError, filter::ReadFilter, owner::Owner, record::Record};

/// What an application allows, diff by diff.
///
/// Every new diff of a device is asked about, whatever it would do, in the order in which the diffs
/// take effect. What is refused does nothing, alone, and is undone on the device; the person reads the
/// sentence. Each method allows everything unless it is written. Seldom, a diff is asked about twice,
/// so answer by what is there and count nothing.
///
/// ```
/// use mobync::{Diff, Owner, Refusal, Rules, View};
///
/// struct AtMostAHundredTasks;
///
/// impl Rules for AtMostAHundredTasks {
///     async fn create(
///         &self,
///         _owner: &Owner,
///         diff: &Diff,
///         view: &mut View<'_>,
///     ) -> Result<(), Refusal> {
///         if diff.model == "tasks" && view.read("tasks", &[]).await?.len() >= 100 {
///             return Err(Refusal::because("You can have 100 tasks; delete one first."));
///         }
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no rules for diffs",
    note = "implement `mobync::Rules`; each of its methods allows everything unless it is written"
)]
pub trait Rules: Send + Sync + 'static {
    /// Whether the owner may make this create.
    ///
    /// # Errors
    /// [`Refusal`] if not, or if the database failed.
    fn create(
        &self,
        owner: &Owner,
        diff: &Diff,
        view: &mut View<'_>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = (owner, diff, view);
        async { Ok(()) }
    }

    /// Whether the owner may make this update.
    ///
    /// # Errors
    /// [`Refusal`] if not, or if the database failed.
    fn update(
        &self,
        owner: &Owner,
        diff: &Diff,
        view: &mut View<'_>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = (owner, diff, view);
        async { Ok(()) }
    }

    /// Whether the owner may make this delete.
    ///
    /// # Errors
    /// [`Refusal`] if not, or if the database failed.
    fn delete(
        &self,
        owner: &Owner,
        diff: &Diff,
        view: &mut View<'_>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = (owner, diff, view);
        async { Ok(()) }
    }
}

/// Everything is allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRules;

impl Rules for NoRules {}

/// Why a rule does not let a diff pass.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The rule forbids it; the person reads the sentence.
    Forbidden(Cow<'static, str>),
    /// The rule could not tell, for the database failed; so does the sync.
    Failed(DatabaseError),
}

impl Refusal {
    /// The rule forbids the diff; `sentence` is what the person reads.
    pub fn because(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Forbidden(sentence.into())
    }
}

impl From<DatabaseError> for Refusal {
    fn from(error: DatabaseError) -> Self {
        Self::Failed(error)
    }
}

/// The owner's part of the database as a rule sees it: in the sync's own unit of work, with the
/// request's earlier diffs done.
pub struct View<'v>(&'v mut (dyn Look + 'v));

/// How a view looks at the database. Boxed, so that rules do not depend on which one it is.
pub(crate) trait Look: Send {
    fn read<'l>(&'l mut self, model: &'l str, filters: &'l [ReadFilter]) -> Looked<'l>;
}

pub(crate) type Looked<'l> =
    Pin<Box<dyn Future<Output = Result<Vec<Record>, DatabaseError>> + Send + 'l>>;

impl<'v> View<'v> {
    pub(crate) fn new(look: &'v mut (dyn Look + 'v)) -> Self {
        Self(look)
    }

    /// The owner's records of the model that meet all of the filters, in any order.
    ///
    /// # Errors
    /// Those of the database; pass them on with `?`.
    pub async fn read(
        &mut self,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        self.0.read(model, filters).await
    }

    /// The owner's record of that id, if it is there.
    ///
    /// # Errors
    /// Those of the database; pass them on with `?`.
    pub async fn find(&mut self, model: &str, id: &str) -> Result<Option<Record>, DatabaseError> {
        Ok(self.read(model, &[ReadFilter::equal("id", id)]).await?.pop())
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

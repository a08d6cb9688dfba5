//! The application's own rules on top of a database.

use std::{borrow::Cow, fmt, future::Future, pin::Pin};

use crate::{diff::Diff, error::DatabaseError, filter::ReadFilter, owner::Owner, record::Record};

/// What an application allows, for each diff.
///
/// The rules check every new diff of a device, whatever its effect, in the order in which the diffs are
/// applied. A refused diff has no effect: the device undoes it and shows the message. The other diffs are
/// applied. By default each method allows everything. In rare cases a diff is checked twice, so decide by
/// the data and do not count calls.
///
/// For rules without state one function is enough. It checks every diff.
///
/// ```
/// use mobync::{Diff, Mobync, Operation, Owner, Refusal, View, memory::MemoryDatabase};
///
/// let mobync = Mobync::new(MemoryDatabase::new()).rules(
///     async |_: &Owner, diff: &Diff, view: &mut View<'_>| -> Result<(), Refusal> {
///         if diff.operation == Operation::Delete && view.find("locked", &diff.object_id()?).await?.is_some() {
///             return Err(Refusal::because("This is locked."));
///         }
///         Ok(())
///     },
/// );
/// # let _ = mobync;
/// ```
///
/// The function is an `async fn`, or an `async` closure that captures nothing and has explicit parameter
/// types. (Rust cannot yet express that the future of a closure that borrows its captures is `Send`.) Rules
/// with state, such as a limit from a configuration, are a type:
///
/// ```
/// use mobync::{Diff, Owner, Refusal, Rules, View};
///
/// struct AtMost(usize);
///
/// impl Rules for AtMost {
///     async fn create(
///         &self,
///         _owner: &Owner,
///         diff: &Diff,
///         view: &mut View<'_>,
///     ) -> Result<(), Refusal> {
///         if diff.model == "tasks" && view.read("tasks", &[]).await?.len() >= self.0 {
///             return Err(Refusal::because("You have too many tasks; delete one first."));
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// An `Option` of rules also implements `Rules`: `None` allows everything.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no rules for diffs",
    label = "neither implements `Rules`, nor is it `async fn(&Owner, &Diff, &mut View<'_>) -> Result<(), Refusal>`",
    note = "implement `mobync::Rules`; each of its methods allows everything unless it is written",
    note = "a closure must be `async |owner: &Owner, diff: &Diff, view: &mut View<'_>|` and capture nothing"
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

/// Rules that allow everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRules;

impl Rules for NoRules {}

impl<R: Rules> Rules for Option<R> {
    async fn create(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        match self {
            Some(rules) => rules.create(owner, diff, view).await,
            None => Ok(()),
        }
    }

    async fn update(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        match self {
            Some(rules) => rules.update(owner, diff, view).await,
            None => Ok(()),
        }
    }

    async fn delete(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        match self {
            Some(rules) => rules.delete(owner, diff, view).await,
            None => Ok(()),
        }
    }
}

/// An async function or closure that checks every diff. Its future may borrow from the parameters, and
/// is `Send`.
pub trait Rule<'a>:
    Fn(&'a Owner, &'a Diff, &'a mut View<'a>) -> <Self as Rule<'a>>::Verdict
{
    /// The future that it returns.
    type Verdict: Future<Output = Result<(), Refusal>> + Send + 'a;
}

impl<'a, F, V> Rule<'a> for F
where
    F: Fn(&'a Owner, &'a Diff, &'a mut View<'a>) -> V,
    V: Future<Output = Result<(), Refusal>> + Send + 'a,
{
    type Verdict = V;
}

impl<F> Rules for F
where
    F: for<'a> Rule<'a> + Send + Sync + 'static,
{
    async fn create(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        self(owner, diff, &mut View::new(&mut *view.look, view.member)).await
    }

    async fn update(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        self(owner, diff, &mut View::new(&mut *view.look, view.member)).await
    }

    async fn delete(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        self(owner, diff, &mut View::new(&mut *view.look, view.member)).await
    }
}

/// Why a rule refuses a diff.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The rule forbids it. The person reads the message.
    Forbidden(Cow<'static, str>),
    /// An error of the database. A [rejection](DatabaseError::is_rejection) refuses the diff. With any
    /// other error the rule cannot decide, and the sync fails.
    Failed(DatabaseError),
}

impl Refusal {
    /// The rule forbids the diff. The person reads `sentence`.
    pub fn because(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Forbidden(sentence.into())
    }
}

impl From<DatabaseError> for Refusal {
    fn from(error: DatabaseError) -> Self {
        Self::Failed(error)
    }
}

/// The owner's data as a rule sees it: in the sync's own unit of work, after the request's earlier diffs.
pub struct View<'v> {
    look: &'v mut (dyn Look + 'v),
    member: Option<&'v str>,
}

/// How a view reads the database. Boxed, so that rules do not depend on the database's type.
pub(crate) trait Look: Send {
    fn read<'l>(&'l mut self, model: &'l str, filters: &'l [ReadFilter]) -> Looked<'l>;
}

pub(crate) type Looked<'l> =
    Pin<Box<dyn Future<Output = Result<Vec<Record>, DatabaseError>> + Send + 'l>>;

impl<'v> View<'v> {
    pub(crate) fn new(look: &'v mut (dyn Look + 'v), member: Option<&'v str>) -> Self {
        Self { look, member }
    }

    /// The person who sends the diff, if the auth closure has [named](crate::Grant::member) one.
    pub fn member(&self) -> Option<&str> {
        self.member
    }

    /// Returns the owner's records of the model that match all filters, in any order.
    ///
    /// # Errors
    /// Those of the database; pass them on with `?`.
    pub async fn read(
        &mut self,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        self.look.read(model, filters).await
    }

    /// Returns the owner's record with this id, if it exists.
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

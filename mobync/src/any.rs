//! Type-erased databases and rules.

mod unit;
mod works;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

pub use self::unit::AnyUnit;
use crate::{
    database::{Access, Database, Turns},
    diff::{Diff, Operation},
    error::DatabaseError,
    owner::Owner,
    reconcile::SkippedRow,
    rules::{Refusal, Rules, View},
    schema::Schema,
    unit::IdleQuery,
};

type Boxed<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

type Done<'f, T> = Boxed<'f, Result<T, DatabaseError>>;

/// Any [`Database`]; made by [`Mobync::erase`](crate::Mobync::erase).
#[derive(Clone)]
pub struct AnyDatabase(Arc<dyn Opens>);

/// Any [`Rules`]; made by [`Mobync::erase`](crate::Mobync::erase).
#[derive(Clone)]
pub struct AnyRules(Arc<dyn Judges>);

impl AnyDatabase {
    pub(crate) fn new<D: Database>(database: Arc<D>) -> Self {
        Self(database)
    }
}

impl AnyRules {
    pub(crate) fn new<R: Rules>(rules: Arc<R>) -> Self {
        Self(rules)
    }
}

impl fmt::Debug for AnyDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyDatabase")
    }
}

impl fmt::Debug for AnyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyRules")
    }
}

/// A [`Database`] as a trait object.
trait Opens: Send + Sync {
    fn open<'f>(&'f self, owner: &'f Owner, access: Access) -> Done<'f, AnyUnit>;
    fn diffs_model(&self) -> &str;
    fn serialises(&self) -> bool;
    fn turns(&self) -> Option<Turns>;
    fn time_limit(&self) -> Option<Duration>;
    fn schema(&self) -> Option<&Schema>;
    fn marked_owners(&self, most: usize) -> Done<'_, Vec<Owner>>;
    fn news(&self) -> Boxed<'_, ()>;
    fn idle<'f>(&'f self, log: &'f str, devices: &'f [IdleQuery<'f>]) -> Done<'f, Vec<bool>>;
    fn owners<'f>(&'f self, last: Option<&'f Owner>, most: usize) -> Done<'f, Option<Vec<Owner>>>;
    fn logged_owners<'f>(
        &'f self,
        last: Option<&'f Owner>,
        most: usize,
    ) -> Done<'f, Option<Vec<Owner>>>;
    fn unsound_rows<'f>(
        &'f self,
        owner: Option<&'f Owner>,
        model: &'f str,
        most: usize,
    ) -> Done<'f, (u64, Vec<SkippedRow>)>;
}

impl<D: Database> Opens for D {
    fn open<'f>(&'f self, owner: &'f Owner, access: Access) -> Done<'f, AnyUnit> {
        Box::pin(async move {
            let unit = Database::open(self, owner, access).await?;
            Ok(AnyUnit::new(unit))
        })
    }

    fn diffs_model(&self) -> &str {
        Database::diffs_model(self)
    }

    fn serialises(&self) -> bool {
        Database::serialises(self)
    }

    fn turns(&self) -> Option<Turns> {
        Database::turns(self)
    }

    fn time_limit(&self) -> Option<Duration> {
        Database::time_limit(self)
    }

    fn schema(&self) -> Option<&Schema> {
        Database::schema(self)
    }

    fn marked_owners(&self, most: usize) -> Done<'_, Vec<Owner>> {
        Box::pin(Database::marked_owners(self, most))
    }

    fn news(&self) -> Boxed<'_, ()> {
        Box::pin(Database::news(self))
    }

    fn idle<'f>(&'f self, log: &'f str, devices: &'f [IdleQuery<'f>]) -> Done<'f, Vec<bool>> {
        Box::pin(Database::idle(self, log, devices))
    }

    fn owners<'f>(&'f self, last: Option<&'f Owner>, most: usize) -> Done<'f, Option<Vec<Owner>>> {
        Box::pin(Database::owners(self, last, most))
    }

    fn logged_owners<'f>(
        &'f self,
        last: Option<&'f Owner>,
        most: usize,
    ) -> Done<'f, Option<Vec<Owner>>> {
        Box::pin(Database::logged_owners(self, last, most))
    }

    fn unsound_rows<'f>(
        &'f self,
        owner: Option<&'f Owner>,
        model: &'f str,
        most: usize,
    ) -> Done<'f, (u64, Vec<SkippedRow>)> {
        Box::pin(Database::unsound_rows(self, owner, model, most))
    }
}

impl Database for AnyDatabase {
    type Unit = AnyUnit;

    async fn open(&self, owner: &Owner, access: Access) -> Result<AnyUnit, DatabaseError> {
        self.0.open(owner, access).await
    }

    fn diffs_model(&self) -> &str {
        self.0.diffs_model()
    }

    fn serialises(&self) -> bool {
        self.0.serialises()
    }

    fn turns(&self) -> Option<Turns> {
        self.0.turns()
    }

    fn time_limit(&self) -> Option<Duration> {
        self.0.time_limit()
    }

    fn schema(&self) -> Option<&Schema> {
        self.0.schema()
    }

    async fn marked_owners(&self, most: usize) -> Result<Vec<Owner>, DatabaseError> {
        self.0.marked_owners(most).await
    }

    async fn news(&self) {
        self.0.news().await;
    }

    async fn idle(&self, log: &str, devices: &[IdleQuery<'_>]) -> Result<Vec<bool>, DatabaseError> {
        self.0.idle(log, devices).await
    }

    async fn owners(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Option<Vec<Owner>>, DatabaseError> {
        self.0.owners(last, most).await
    }

    async fn logged_owners(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Option<Vec<Owner>>, DatabaseError> {
        self.0.logged_owners(last, most).await
    }

    async fn unsound_rows(
        &self,
        owner: Option<&Owner>,
        model: &str,
        most: usize,
    ) -> Result<(u64, Vec<SkippedRow>), DatabaseError> {
        self.0.unsound_rows(owner, model, most).await
    }
}

/// [`Rules`] as a trait object.
trait Judges: Send + Sync {
    fn judge<'f>(
        &'f self,
        owner: &'f Owner,
        diff: &'f Diff,
        view: &'f mut View<'_>,
    ) -> Boxed<'f, Result<(), Refusal>>;
}

impl<R: Rules> Judges for R {
    fn judge<'f>(
        &'f self,
        owner: &'f Owner,
        diff: &'f Diff,
        view: &'f mut View<'_>,
    ) -> Boxed<'f, Result<(), Refusal>> {
        match diff.operation {
            Operation::Create => Box::pin(self.create(owner, diff, view)),
            Operation::Update => Box::pin(self.update(owner, diff, view)),
            Operation::Delete => Box::pin(self.delete(owner, diff, view)),
        }
    }
}

impl Rules for AnyRules {
    async fn create(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        self.0.judge(owner, diff, view).await
    }

    async fn update(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        self.0.judge(owner, diff, view).await
    }

    async fn delete(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        self.0.judge(owner, diff, view).await
    }
}

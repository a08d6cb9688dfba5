//! Any database with a hook before each of its calls, to make it fail or reject.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use mobync::{
    Access, Change, Database, DatabaseError, Diff, Owner, ReadFilter, Record, Rejection, Snapshot,
    UnitOfWork, Window, WindowQuery, Write,
};

/// What may go wrong.
pub trait Hook: Clone + Send + Sync + 'static {
    /// What every call waits for first.
    fn pause(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Before every call, by its name.
    fn call(&self, name: &'static str) -> Result<(), DatabaseError> {
        let _ = name;
        Ok(())
    }

    /// Whether changes reach the database in its own batches, each of which is one call.
    fn batches(&self) -> bool {
        false
    }

    /// Before every change.
    fn change(&self, change: &Change) -> Result<(), DatabaseError> {
        let _ = change;
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub struct Hooked<D, H> {
    pub inner: D,
    pub hook: H,
}

#[derive(Debug)]
pub struct HookedUnit<U, H> {
    inner: U,
    hook: H,
}

async fn pass(hook: &impl Hook, name: &'static str) -> Result<(), DatabaseError> {
    hook.pause().await;
    hook.call(name)
}

impl<D: Database, H: Hook> Database for Hooked<D, H> {
    type Unit = HookedUnit<D::Unit, H>;

    async fn open(&self, owner: &Owner, access: Access) -> Result<Self::Unit, DatabaseError> {
        pass(&self.hook, "open").await?;
        Ok(HookedUnit { inner: self.inner.open(owner, access).await?, hook: self.hook.clone() })
    }

    fn serialises(&self) -> bool {
        self.inner.serialises()
    }
}

impl<U: UnitOfWork, H: Hook> UnitOfWork for HookedUnit<U, H> {
    async fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        let is_probe = model == "diffs"
            && matches!(filters, [one] if *one == ReadFilter::equal("id", one.value().clone()));
        pass(&self.hook, if is_probe { "probe" } else { "read" }).await?;
        self.inner.read(owner, model, filters).await
    }

    async fn commit(self) -> Result<(), DatabaseError> {
        pass(&self.hook, "commit").await?;
        self.inner.commit().await
    }

    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        self.inner.check_schema(model, fields)
    }

    fn validates(&self) -> bool {
        self.inner.validates()
    }

    async fn validate(&mut self, owner: &Owner, diff: &Diff) -> Result<bool, DatabaseError> {
        pass(&self.hook, "validate").await?;
        self.inner.validate(owner, diff).await
    }

    fn survives_rejection(&self) -> bool {
        self.inner.survives_rejection()
    }

    async fn check_each_change(&mut self) -> Result<(), DatabaseError> {
        pass(&self.hook, "check_each_change").await?;
        self.inner.check_each_change().await
    }

    async fn write(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> Result<Vec<Rejection>, DatabaseError> {
        if self.hook.batches() {
            self.write_batch(owner, writes).await
        } else {
            self.write_each(owner, writes).await
        }
    }

    async fn clock(&mut self, owner: &Owner, log: &str) -> Result<i64, DatabaseError> {
        pass(&self.hook, "clock").await?;
        self.inner.clock(owner, log).await
    }

    async fn window(
        &mut self,
        owner: &Owner,
        query: WindowQuery<'_>,
    ) -> Result<Window, DatabaseError> {
        pass(&self.hook, "window").await?;
        self.inner.window(owner, query).await
    }

    async fn snapshot(&mut self, owner: &Owner, log: &str) -> Result<Snapshot, DatabaseError> {
        pass(&self.hook, "snapshot").await?;
        self.inner.snapshot(owner, log).await
    }

    async fn append(
        &mut self,
        owner: &Owner,
        log: &str,
        entries: Vec<Diff>,
    ) -> Result<(), DatabaseError> {
        pass(&self.hook, "append").await?;
        self.inner.append(owner, log, entries).await
    }
}

impl<U: UnitOfWork, H: Hook> HookedUnit<U, H> {
    async fn write_batch(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> Result<Vec<Rejection>, DatabaseError> {
        pass(&self.hook, "write").await?;
        let mut rejections = Vec::new();
        let (mut places, mut taken) = (Vec::new(), Vec::new());
        for (place, write) in writes.iter().enumerate() {
            match self.hook.change(&write.to_change()?) {
                Ok(()) => {
                    places.push(place);
                    taken.push(write.clone());
                }
                Err(error) => rejections.push(Rejection { place, error }),
            }
            if !rejections.is_empty() && !self.survives_rejection() {
                return Ok(rejections);
            }
        }
        let rejected = self.inner.write(owner, &taken).await?;
        rejections.extend(
            rejected
                .into_iter()
                .map(|Rejection { place, error }| Rejection { place: places[place], error }),
        );
        rejections.sort_by_key(|rejection| rejection.place);
        Ok(rejections)
    }

    async fn write_each(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> Result<Vec<Rejection>, DatabaseError> {
        let mut rejections = Vec::new();
        for (place, write) in writes.iter().enumerate() {
            let done = self.write_one(owner, write).await;
            if let Err(error) = done {
                rejections.push(Rejection { place, error });
                if !self.survives_rejection() {
                    break;
                }
            }
        }
        Ok(rejections)
    }

    async fn write_one(&mut self, owner: &Owner, write: &Write<'_>) -> Result<(), DatabaseError> {
        pass(&self.hook, write.operation().as_str()).await?;
        self.hook.change(&write.to_change()?)?;
        let rejections = self.inner.write(owner, std::slice::from_ref(write)).await?;
        rejections.into_iter().next().map_or(Ok(()), |rejection| Err(rejection.error))
    }
}

/// Rejects a change that has the value `"bad"` (it is no value) or `"orphan"` (its parent is gone) in
/// any field, and a delete of an object named `kept`.
#[derive(Clone, Copy, Debug)]
pub struct Picky;

impl Hook for Picky {
    fn change(&self, change: &Change) -> Result<(), DatabaseError> {
        let record = match change {
            Change::Create { record, .. } => record,
            Change::Update { changes, .. } => changes,
            Change::Delete { id, .. } if id == "kept" => {
                return Err(DatabaseError::constraint("kept_children"));
            }
            Change::Delete { .. } => return Ok(()),
        };
        for (field, value) in record.fields() {
            if value == "bad" {
                return Err(DatabaseError::invalid_value(field, "must not be bad"));
            }
            if value == "orphan" {
                return Err(DatabaseError::constraint("tasks_parent"));
            }
        }
        Ok(())
    }
}

/// Fails at the n-th call from now.
#[derive(Clone, Debug, Default)]
pub struct Faulty {
    left: Arc<AtomicUsize>,
    busy: bool,
}

impl Faulty {
    /// Fails in `calls` calls' time; 0 is the next one.
    pub fn after(calls: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(calls + 1)), busy: false }
    }

    pub fn busy_after(calls: usize) -> Self {
        Self { busy: true, ..Self::after(calls) }
    }

    /// Whether it has failed.
    pub fn has_struck(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

impl Hook for Faulty {
    fn call(&self, name: &'static str) -> Result<(), DatabaseError> {
        let count_down = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count_down) {
            Ok(1) if self.busy => Err(DatabaseError::busy(format!("{name}: locked"))),
            Ok(1) => Err(DatabaseError::failed(format!("{name}: disk on fire"))),
            _ => Ok(()),
        }
    }
}

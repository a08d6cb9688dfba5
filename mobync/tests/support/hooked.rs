//! Any database with a hook before each of its calls, to make it fail or reject.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use mobync::{
    Access, Change, Database, DatabaseError, Diff, IdleQuery, Mark, Operation, Owner, ReadFilter,
    Record, Rejection, Rewrite, SetOff, SkippedRow, Snapshot, Turns, UnitOfWork, Will, Window,
    WindowQuery, Write,
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

    /// Before a unit of work for this owner.
    fn open(&self, owner: &Owner) -> Result<(), DatabaseError> {
        let _ = owner;
        Ok(())
    }

    /// How syncs wait for their owner, in front of the database.
    fn turns(&self) -> Option<Turns> {
        None
    }

    /// Whether changes reach the database in its own batches, each of which is one call.
    fn batches(&self) -> bool {
        false
    }

    /// What the log gets in place of these entries.
    fn log(&self, entries: Vec<Diff>) -> Vec<Diff> {
        entries
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
        self.hook.open(owner)?;
        pass(&self.hook, "open").await?;
        Ok(HookedUnit { inner: self.inner.open(owner, access).await?, hook: self.hook.clone() })
    }

    fn serialises(&self) -> bool {
        self.inner.serialises()
    }

    fn turns(&self) -> Option<Turns> {
        self.hook.turns()
    }

    async fn marked_owners(&self, most: usize) -> Result<Vec<Owner>, DatabaseError> {
        pass(&self.hook, "marked_owners").await?;
        self.inner.marked_owners(most).await
    }

    async fn news(&self) {
        self.inner.news().await;
    }

    async fn owners(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Option<Vec<Owner>>, DatabaseError> {
        pass(&self.hook, "owners").await?;
        self.inner.owners(last, most).await
    }

    async fn idle(&self, log: &str, devices: &[IdleQuery<'_>]) -> Result<Vec<bool>, DatabaseError> {
        for device in devices {
            self.hook.open(device.owner)?;
        }
        pass(&self.hook, "idle").await?;
        self.inner.idle(log, devices).await
    }

    async fn unsound_rows(
        &self,
        owner: Option<&Owner>,
        model: &str,
        most: usize,
    ) -> Result<(u64, Vec<SkippedRow>), DatabaseError> {
        pass(&self.hook, "unsound_rows").await?;
        self.inner.unsound_rows(owner, model, most).await
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

    async fn check_at_once(&mut self) -> Result<(), DatabaseError> {
        pass(&self.hook, "check_at_once").await?;
        self.inner.check_at_once().await
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

    async fn snapshot(
        &mut self,
        owner: &Owner,
        log: &str,
        empty: Snapshot,
    ) -> Result<Snapshot, DatabaseError> {
        pass(&self.hook, "snapshot").await?;
        self.inner.snapshot(owner, log, empty).await
    }

    async fn append(
        &mut self,
        owner: &Owner,
        log: &str,
        entries: Vec<Diff>,
    ) -> Result<(), DatabaseError> {
        pass(&self.hook, "append").await?;
        self.inner.append(owner, log, self.hook.log(entries)).await
    }

    fn captures(&self) -> bool {
        self.inner.captures()
    }

    async fn is_marked(&mut self, owner: &Owner) -> Result<bool, DatabaseError> {
        pass(&self.hook, "is_marked").await?;
        self.inner.is_marked(owner).await
    }

    async fn take_marks(&mut self, owner: &Owner, most: usize) -> Result<Vec<Mark>, DatabaseError> {
        pass(&self.hook, "take_marks").await?;
        self.inner.take_marks(owner, most).await
    }

    async fn put_back(&mut self, owner: &Owner, marks: &[Mark]) -> Result<(), DatabaseError> {
        pass(&self.hook, "put_back").await?;
        self.inner.put_back(owner, marks).await
    }

    async fn lock_rows(
        &mut self,
        owner: &Owner,
        objects: &[(&str, &str)],
    ) -> Result<(), DatabaseError> {
        pass(&self.hook, "lock_rows").await?;
        self.inner.lock_rows(owner, objects).await
    }

    async fn set_off(
        &mut self,
        owner: &Owner,
        named: &[(&str, &str)],
    ) -> Result<SetOff, DatabaseError> {
        pass(&self.hook, "set_off").await?;
        self.inner.set_off(owner, named).await
    }

    async fn rows(
        &mut self,
        owner: &Owner,
        model: &str,
        ids: &[&str],
    ) -> Result<Vec<String>, DatabaseError> {
        pass(&self.hook, "rows").await?;
        self.inner.rows(owner, model, ids).await
    }

    async fn rows_behind(
        &mut self,
        owner: &Owner,
        model: &str,
        last: Option<&str>,
        many: usize,
    ) -> Result<Vec<String>, DatabaseError> {
        pass(&self.hook, "rows_behind").await?;
        self.inner.rows_behind(owner, model, last, many).await
    }

    async fn as_columns(
        &mut self,
        model: &str,
        records: Vec<String>,
    ) -> Result<Vec<String>, DatabaseError> {
        pass(&self.hook, "as_columns").await?;
        self.inner.as_columns(model, records).await
    }

    async fn entries_of(
        &mut self,
        owner: &Owner,
        log: &str,
        objects: &[(&str, &str)],
    ) -> Result<Vec<Diff>, DatabaseError> {
        pass(&self.hook, "entries_of").await?;
        self.inner.entries_of(owner, log, objects).await
    }

    async fn own_entries(&mut self, owner: &Owner, log: &str) -> Result<Vec<Diff>, DatabaseError> {
        pass(&self.hook, "own_entries").await?;
        self.inner.own_entries(owner, log).await
    }

    async fn entries_before(
        &mut self,
        owner: &Owner,
        log: &str,
        end: i64,
        most: usize,
    ) -> Result<Vec<Diff>, DatabaseError> {
        pass(&self.hook, "entries_before").await?;
        self.inner.entries_before(owner, log, end, most).await
    }

    async fn rewrite(
        &mut self,
        owner: &Owner,
        log: &str,
        rewrite: &Rewrite,
    ) -> Result<(), DatabaseError> {
        pass(&self.hook, "rewrite").await?;
        self.inner.rewrite(owner, log, rewrite).await
    }

    async fn handled(&mut self, owner: &Owner, log: &str) -> Result<Option<i64>, DatabaseError> {
        pass(&self.hook, "handled").await?;
        self.inner.handled(owner, log).await
    }

    fn will(&self, model: &str) -> Will {
        self.inner.will(model)
    }

    fn keeps(&self, write: &Write<'_>) -> bool {
        self.inner.keeps(write)
    }

    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool {
        self.inner.same(model, field, written, held)
    }

    fn defaults(&self, model: &str) -> Vec<(&str, &str)> {
        self.inner.defaults(model)
    }

    fn default_of(&self, model: &str, field: &str) -> Option<&str> {
        self.inner.default_of(model, field)
    }

    fn rank(&self, model: &str) -> usize {
        self.inner.rank(model)
    }

    fn parents(&self, model: &str) -> Vec<&str> {
        self.inner.parents(model)
    }

    fn models(&self) -> Vec<String> {
        self.inner.models()
    }

    fn permits(&self, model: &str, operation: Operation, fields: &[&str]) -> Result<(), String> {
        self.inner.permits(model, operation, fields)
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
            // An error of the database itself does not belong to a write: its transaction may be over.
            let done = match self.may_write(write).await {
                Ok(()) => self.inner.write(owner, std::slice::from_ref(write)).await?,
                Err(error) => vec![Rejection { place: 0, error }],
            };
            rejections.extend(done.into_iter().map(|it| Rejection { place, ..it }));
            if !rejections.is_empty() && !self.survives_rejection() {
                break;
            }
        }
        Ok(rejections)
    }

    async fn may_write(&mut self, write: &Write<'_>) -> Result<(), DatabaseError> {
        pass(&self.hook, write.operation().as_str()).await?;
        self.hook.change(&write.to_change()?)
    }
}

/// Rejects a change that has the value `"bad"` (invalid) or `"orphan"` (its parent is gone) in any field, and
/// a delete of an object named `kept`.
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
    /// Fails after `calls` calls; 0 is the next one.
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

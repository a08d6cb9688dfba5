//! A server to sync with, at a fixed time.

use mobync::{
    Access, Database, Diff, Error, Mobync, NoRules, Owner, Refusal, Rules, SyncResponse,
    UnitOfWork, View, WindowQuery,
};

use super::{Sent, T0, ada, diffs, line};

/// One server, one owner.
#[derive(Debug)]
pub struct Server<D, R = NoRules> {
    pub mobync: Mobync<D, R>,
}

impl<D: Database> Server<D> {
    pub fn new(database: D) -> Self {
        Self { mobync: Mobync::new(database).time(|| T0 + 60_000) }
    }

    /// The same, with a rule that refuses the diffs marked so.
    pub fn forbidding(self) -> Server<D, Forbid> {
        Server { mobync: self.mobync.rules(Forbid) }
    }
}

impl<D: Database, R: Rules> Server<D, R> {
    pub async fn try_sync(
        &self,
        clock: i64,
        sent: impl IntoIterator<Item = Sent>,
    ) -> Result<SyncResponse, Error> {
        self.mobync.apply(&ada(), clock, diffs(sent)).await
    }

    pub async fn sync(&self, clock: i64, sent: impl IntoIterator<Item = Sent>) -> SyncResponse {
        self.try_sync(clock, sent).await.unwrap()
    }

    /// What goes back, one diff per line.
    pub async fn back(&self, clock: i64, sent: impl IntoIterator<Item = Sent>) -> Vec<String> {
        self.sync(clock, sent).await.diffs.iter().map(line).collect()
    }

    /// The log in order.
    pub async fn log(&self) -> Vec<Diff> {
        let mut unit = self.mobync.database().open(&ada(), Access::Read).await.unwrap();
        let query = WindowQuery::since("diffs", 0);
        let mut entries = unit.window(&ada(), query).await.unwrap().entries;
        entries.sort_by(|left, right| left.order().cmp(&right.order()));
        entries
    }

    /// The log, one entry per line, with its ticks.
    pub async fn log_lines(&self) -> Vec<String> {
        let log = self.log().await;
        log.iter().map(|entry| format!("{}: {}", entry.logical_clock, line(entry))).collect()
    }

    /// The objects of the model `tasks`, one per line; a null field counts as missing.
    pub async fn rows(&self) -> Vec<String> {
        let mut unit = self.mobync.database().open(&ada(), Access::Read).await.unwrap();
        let records = unit.read(&ada(), "tasks", &[]).await.unwrap();
        let mut rows: Vec<String> = records
            .into_iter()
            .map(|record| {
                let (id, mut fields) = record.into_parts();
                fields.retain(|_, value| !value.is_null());
                format!("{id} {}", serde_json::Value::Object(fields))
            })
            .collect();
        rows.sort();
        rows
    }
}

/// Refuses every diff whose id begins with `forbidden`.
#[derive(Clone, Copy, Debug)]
pub struct Forbid;

impl Forbid {
    fn judge(diff: &Diff) -> Result<(), Refusal> {
        if diff.id.starts_with("forbidden") {
            return Err(Refusal::because("That is not yours to change."));
        }
        Ok(())
    }
}

impl Rules for Forbid {
    async fn create(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        Self::judge(diff)
    }

    async fn update(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        Self::judge(diff)
    }

    async fn delete(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        Self::judge(diff)
    }
}

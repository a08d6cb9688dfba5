//! A type-erased `Mobync` asks its database and its rules for everything that the one with types does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::{Arc, Mutex};

use mobync::{
    Access, Database, DatabaseError, Diff, IdleQuery, Mobync, Owner, ReadFilter, Record, Rejection,
    Rewrite, Snapshot, UnitOfWork, Window, WindowQuery, Write, memory::MemoryDatabase,
};

/// Says no to all that is yes by itself, and the other way round, and notes what it is asked.
#[derive(Clone, Default)]
struct Contrary(Arc<Mutex<Vec<&'static str>>>);

impl Contrary {
    fn note(&self, name: &'static str) {
        self.0.lock().unwrap().push(name);
    }
}

impl UnitOfWork for Contrary {
    async fn read(
        &mut self,
        _: &Owner,
        model: &str,
        _: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        self.note("read");
        Ok(vec![Record::new(model)])
    }
    async fn write(&mut self, _: &Owner, _: &[Write<'_>]) -> Result<Vec<Rejection>, DatabaseError> {
        self.note("write");
        Ok(vec![Rejection { place: 7, error: DatabaseError::constraint("x") }])
    }
    async fn append(&mut self, _: &Owner, _: &str, _: Vec<Diff>) -> Result<(), DatabaseError> {
        self.note("append");
        Err(DatabaseError::failed("x"))
    }
    async fn commit(self) -> Result<(), DatabaseError> {
        self.note("commit");
        Err(DatabaseError::failed("x"))
    }
    fn check_schema(&self, model: &str, _: &[&str]) -> Result<(), DatabaseError> {
        Err(DatabaseError::unknown_model(model))
    }
    fn validates(&self) -> bool {
        true
    }
    async fn validate(&mut self, _: &Owner, _: &Diff) -> Result<bool, DatabaseError> {
        Ok(false)
    }
    fn survives_rejection(&self) -> bool {
        true
    }
    async fn check_each_change(&mut self) -> Result<(), DatabaseError> {
        self.note("check_each_change");
        Ok(())
    }
    async fn check_at_once(&mut self) -> Result<(), DatabaseError> {
        self.note("check_at_once");
        Ok(())
    }
    fn takes(&self, _: &str, _: &str, _: &str) -> bool {
        true
    }
    async fn clock(&mut self, _: &Owner, _: &str) -> Result<i64, DatabaseError> {
        Ok(42)
    }
    async fn window(&mut self, _: &Owner, query: WindowQuery<'_>) -> Result<Window, DatabaseError> {
        Ok(Window { clock: 43, start: query.since, ..Window::default() })
    }
    async fn snapshot(
        &mut self,
        _: &Owner,
        _: &str,
        _: Snapshot,
    ) -> Result<Snapshot, DatabaseError> {
        Err(DatabaseError::failed("x"))
    }
    async fn own_entries(&mut self, _: &Owner, _: &str) -> Result<Vec<Diff>, DatabaseError> {
        self.note("own_entries");
        Ok(Vec::new())
    }
    async fn entries_before(
        &mut self,
        _: &Owner,
        _: &str,
        _: i64,
        _: usize,
    ) -> Result<Vec<Diff>, DatabaseError> {
        self.note("entries_before");
        Ok(Vec::new())
    }
    async fn rewrite(&mut self, _: &Owner, _: &str, _: &Rewrite) -> Result<(), DatabaseError> {
        self.note("rewrite");
        Ok(())
    }
    async fn handled(&mut self, _: &Owner, _: &str) -> Result<Option<i64>, DatabaseError> {
        Ok(Some(17))
    }
    fn defaults(&self, _: &str) -> Vec<(&str, &str)> {
        vec![("done", "false")]
    }
}

#[tokio::test]
async fn every_method_is_passed_on() {
    let inner = Contrary::default();
    let owner = Owner::new("ada").unwrap();
    let erased = Mobync::new(inner.clone()).erase();
    let mut unit = erased.database().open(&owner, Access::Write).await.unwrap();
    assert!(!erased.database().serialises(), "a clone for each sync");
    let diff: Diff = serde_json::from_value(serde_json::json!({
        "id": "d1", "owner": "ada", "logical_clock": 0, "utc_timestamp": 0, "type": "delete",
        "model": "tasks", "json_data": "{\"id\": \"t1\"}",
    }))
    .unwrap();
    assert_eq!(unit.read(&owner, "tasks", &[]).await.unwrap()[0].id(), "tasks");
    assert_eq!(unit.write(&owner, &[]).await.unwrap()[0].place, 7);
    assert!(unit.append(&owner, "diffs", Vec::new()).await.is_err());
    assert!(unit.check_schema("tasks", &[]).is_err());
    assert!(unit.validates() && unit.survives_rejection() && unit.takes("tasks", "a", "1"));
    assert!(!unit.validate(&owner, &diff).await.unwrap());
    unit.check_each_change().await.unwrap();
    unit.check_at_once().await.unwrap();
    assert_eq!(unit.clock(&owner, "diffs").await.unwrap(), 42);
    let query = WindowQuery::since("diffs", 3);
    let window = unit.window(&owner, query).await.unwrap();
    assert_eq!((window.clock, window.start), (43, 3));
    assert!(unit.snapshot(&owner, "diffs", Snapshot::default()).await.is_err());
    unit.own_entries(&owner, "diffs").await.unwrap();
    unit.entries_before(&owner, "diffs", 7, 9).await.unwrap();
    unit.rewrite(&owner, "diffs", &Rewrite::default()).await.unwrap();
    assert_eq!(unit.handled(&owner, "diffs").await.unwrap(), Some(17));
    assert_eq!(unit.defaults("tasks"), [("done", "false")]);
    assert_eq!(unit.default_of("tasks", "done"), Some("false"));
    assert!(unit.commit().await.is_err());
    let asked = inner.0.lock().unwrap().clone();
    let expected = [
        "read",
        "write",
        "append",
        "check_each_change",
        "check_at_once",
        "own_entries",
        "entries_before",
        "rewrite",
        "commit",
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_database_that_can_tell_who_is_idle_still_can() {
    let erased = Mobync::new(MemoryDatabase::new()).erase();
    let owner = Owner::new("ada").unwrap();
    let queries = [IdleQuery::new(&owner, 0, None), IdleQuery::new(&owner, 1, None)];
    assert_eq!(erased.database().idle("diffs", &queries).await.unwrap(), [true, false]);
}

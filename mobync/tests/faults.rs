//! *Nothing lost* and *Exactly once* where a database fails at any of its calls: the sync fails whole, and
//! the retry succeeds once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mobync::{
    Change, Database, DatabaseError, Diff, Mobync, Owner, Record, Refusal, Rules, View,
    memory::MemoryDatabase,
};
use serde_json::json;
use support::{
    Faulty, Forbid, Hooked, Plain, Sent, Server, ada, create,
    databases::{self, Made},
    delete, diffs,
    hooked::Hook,
    update,
};

/// A request that uses every call there is: it reads a row back, too.
fn request() -> Vec<Sent> {
    vec![
        create("t1", json!({"a": 1})),
        update("t1", json!({"a": 2})).at(1),
        update("old", json!({"a": 3})).at(2),
        update("old", json!({"b": 9})).at(3).id("forbidden-b"),
        update("t2", json!({"a": 5})).at(4),
        create("t2", json!({"a": 4})).at(5),
        delete("older").at(6),
    ]
}

async fn fails_at_every_call<D: Database + Clone>(new: impl AsyncFn() -> Made<D>, busy: bool) {
    for calls in 0.. {
        let (inner, _folder) = new().await;
        let server = Server::new(inner.clone());
        server.sync(0, [create("old", json!({"a": 0, "b": 0})), create("older", json!({}))]).await;
        server.sync(1, [create("other", json!({}))]).await;
        let before = (server.rows().await, server.log().await);

        let hook = if busy { Faulty::busy_after(calls) } else { Faulty::after(calls) };
        let faulty = Server::new(Hooked { inner, hook: hook.clone() }).forbidding();
        let sent = request();
        let outcome = faulty.try_sync(2, sent.clone()).await;
        if !hook.has_struck() {
            assert!(calls > 6, "{calls} calls only");
            assert!(outcome.is_ok());
            return;
        }
        let status = outcome.unwrap_err().status().as_u16();
        assert_eq!(status, if busy { 503 } else { 500 }, "call {calls}");
        assert_eq!((server.rows().await, server.log().await), before, "call {calls}");

        let retry = faulty.sync(2, sent.clone()).await;
        assert_eq!((retry.logical_clock, retry.refused.len()), (3, 1), "call {calls}");
        let again = faulty.sync(2, sent).await;
        assert_eq!(again.logical_clock, 3, "exactly once");
        let rows = [r#"old {"a":3,"b":0}"#, "other {}", r#"t1 {"a":2}"#, r#"t2 {"a":5}"#];
        assert_eq!(server.rows().await, rows);
        assert_eq!(server.log().await.len(), 3 + 7);
    }
}

/// The seven methods on rows that all handles share.
#[derive(Clone, Debug, Default)]
struct SharedPlain(Arc<Plain>);

impl Database for SharedPlain {
    type Unit = Plain;

    async fn open(
        &self,
        _: &mobync::Owner,
        _: mobync::Access,
    ) -> Result<Plain, mobync::DatabaseError> {
        Ok(Plain::clone(&self.0))
    }

    fn serialises(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_memory_database_that_fails_at_any_call_leaves_nothing_behind() {
    fails_at_every_call(databases::memory, false).await;
    fails_at_every_call(databases::memory, true).await;
}

#[tokio::test]
async fn a_database_of_seven_methods_that_fails_at_any_call_leaves_nothing_behind() {
    let new = async || (SharedPlain::default(), None);
    fails_at_every_call(new, false).await;
    fails_at_every_call(new, true).await;
}

#[tokio::test]
async fn an_sql_database_that_fails_at_any_call_leaves_nothing_behind() {
    fails_at_every_call(databases::sqlite, false).await;
    fails_at_every_call(databases::postgres, true).await;
}

/// Collides with another unit of work at the commit, so many times.
#[derive(Clone)]
struct Colliding(Arc<AtomicUsize>);

impl Hook for Colliding {
    fn call(&self, name: &'static str) -> Result<(), DatabaseError> {
        let left = |times: usize| times.checked_sub(1);
        if name == "commit" && self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok()
        {
            return Err(DatabaseError::conflict("a deadlock"));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_sync_that_collides_is_repeated_five_times_and_then_told_that_the_server_is_busy() {
    for (times, is_done) in [(1, true), (5, true), (6, false)] {
        let hook = Colliding(Arc::new(AtomicUsize::new(times)));
        let server = Server::new(Hooked { inner: MemoryDatabase::new(), hook });
        let outcome = server.try_sync(0, [create("t1", json!({"a": 1}))]).await;
        assert_eq!(outcome.map(|answer| answer.logical_clock).ok(), is_done.then_some(1));
        assert_eq!(server.log().await.len(), usize::from(is_done), "after {times} collisions");
    }
}

/// Rejects deletes; behind the first one, before the sync is repeated, somebody else deletes the object.
#[derive(Clone)]
struct Overtaken {
    other: Mobync<Plain>,
    rejected: Arc<AtomicBool>,
}

impl Hook for Overtaken {
    async fn pause(&self) {
        if self.rejected.swap(false, Ordering::SeqCst) {
            self.other.write(&ada(), [Change::delete("tasks", "t1")]).await.unwrap();
        }
    }

    fn change(&self, change: &Change) -> Result<(), DatabaseError> {
        if matches!(change, Change::Delete { .. }) {
            self.rejected.store(true, Ordering::SeqCst);
            return Err(DatabaseError::constraint("tasks_children"));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_rejection_is_forgotten_if_another_sync_has_come_before_the_repetition() {
    let inner = Plain::default();
    let other = Mobync::new(inner.clone());
    let server = Server::new(Hooked { inner, hook: Overtaken { other, rejected: Arc::default() } });
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    let answer = server.sync(1, [delete("t1").at(1)]).await;
    assert_eq!((answer.logical_clock, answer.refused.len()), (3, 0), "{answer:?}");
    assert!(server.rows().await.is_empty());
}

/// Fails the first batch of writes as a whole.
#[derive(Clone, Default)]
struct FailsOnce(Arc<AtomicBool>);

impl Hook for FailsOnce {
    fn batches(&self) -> bool {
        true
    }

    fn call(&self, name: &'static str) -> Result<(), DatabaseError> {
        if name == "write" && !self.0.swap(true, Ordering::SeqCst) {
            return Err(DatabaseError::failed("the disk is on fire"));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_batch_that_fails_is_told_and_not_taken_for_one_that_is_rejected() {
    let hook = FailsOnce::default();
    let server = Server::new(Hooked { inner: MemoryDatabase::new(), hook });
    let sent = [create("t1", json!({"a": 1}))];
    assert_eq!(server.try_sync(0, sent.clone()).await.unwrap_err().code(), "internal");
    assert!(server.log().await.is_empty());
    assert_eq!(server.sync(0, sent).await.logical_clock, 1);
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_is_cancelled_leaves_nothing_behind_and_blocks_nobody() {
    for diff in 0..7 {
        let server = Server::new(MemoryDatabase::new());
        let waiting = server.mobync.clone().rules(WaitsAt(diff, AtomicUsize::new(0)));
        let owner = ada();
        let sync = waiting.apply(&owner, 0, diffs(request()));
        assert!(tokio::time::timeout(Duration::from_secs(9), sync).await.is_err(), "{diff}");
        assert!(server.log().await.is_empty() && server.rows().await.is_empty(), "{diff}");
        assert_eq!(server.sync(0, request()).await.logical_clock, 1);
    }
}

/// Reads, so that what is pending is written, and waits for ever at the n-th diff.
#[derive(Debug)]
struct WaitsAt(usize, AtomicUsize);

impl WaitsAt {
    async fn ask(&self, view: &mut View<'_>) -> Result<(), Refusal> {
        view.read("tasks", &[]).await?;
        if self.1.fetch_add(1, Ordering::SeqCst) == self.0 {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

impl Rules for WaitsAt {
    async fn create(&self, _: &Owner, _: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        self.ask(view).await
    }

    async fn update(&self, _: &Owner, _: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        self.ask(view).await
    }

    async fn delete(&self, _: &Owner, _: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        self.ask(view).await
    }
}

#[tokio::test]
async fn a_backends_write_is_all_or_nothing_and_asks_no_rules() {
    let picky = Hooked { inner: MemoryDatabase::new(), hook: support::Picky };
    let mobync = Mobync::new(picky).rules(Forbid);
    let changes = [
        Change::create("tasks", Record::new("t1").with("a", 1)),
        Change::create("tasks", Record::new("t2").with("a", "bad")),
    ];
    let error = mobync.write(&ada(), changes).await.unwrap_err();
    assert_eq!((error.status().as_u16(), error.code()), (422, "invalid_value"));
    assert_eq!(mobync.write(&ada(), []).await.unwrap().logical_clock, 0);
    let hostile = [Change::create("diffs", Record::new("t1"))];
    assert_eq!(mobync.write(&ada(), hostile).await.unwrap_err().code(), "unknown_model");
}

#[tokio::test]
async fn a_backends_write_finds_the_clock_through_the_seven_methods() {
    let server = Server::new(Plain::default());
    for tick in 0..20 {
        let change = Change::create("tasks", Record::new(format!("t{tick}")));
        let answer = server.mobync.write(&ada(), [change]).await.unwrap();
        assert_eq!(answer.logical_clock, tick + 1);
    }
}

/// How a unit of seven methods is behind a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// As before.
    Sound,
    /// As a transaction that was aborted: nothing goes on.
    Aborted,
}

/// Rejects what is bad, and counts the units of work.
#[derive(Clone, Debug)]
struct Rejecting {
    behind: Behind,
    units: Arc<AtomicUsize>,
    is_aborted: Arc<AtomicBool>,
}

impl Hook for Rejecting {
    fn call(&self, name: &'static str) -> Result<(), DatabaseError> {
        if name == "open" {
            self.units.fetch_add(1, Ordering::SeqCst);
            self.is_aborted.store(false, Ordering::SeqCst);
        }
        if self.is_aborted.load(Ordering::SeqCst) {
            return Err(DatabaseError::failed("the transaction is aborted"));
        }
        Ok(())
    }

    fn change(&self, change: &Change) -> Result<(), DatabaseError> {
        let rejected = support::Picky.change(change);
        if rejected.is_err() {
            self.is_aborted.store(self.behind == Behind::Aborted, Ordering::SeqCst);
        }
        rejected
    }
}

#[tokio::test]
async fn all_rejections_of_seven_methods_are_learned_at_once_where_they_go_on_behind_one() {
    for bad in [1, 2, 50, 100] {
        for (behind, most) in [(Behind::Sound, 2), (Behind::Aborted, bad + 1)] {
            let units = Arc::default();
            let hook = Rejecting { behind, units: Arc::clone(&units), is_aborted: Arc::default() };
            let server = Server::new(Hooked { inner: SharedPlain::default(), hook });
            let sent: Vec<Sent> = (0..100)
                .map(|n| {
                    let is_bad = n % (100 / bad) == 0;
                    create(&format!("t{n:02}"), json!({"a": if is_bad { "bad" } else { "good" }}))
                })
                .collect();
            let answer = server.sync(0, sent).await;
            assert_eq!(answer.refused.len(), bad, "{behind:?}");
            assert!(answer.refused.iter().all(|refused| refused.code == "invalid_value"));
            let opened = units.load(Ordering::SeqCst);
            assert!(opened <= most, "{behind:?}: {opened} units of work for {bad} rejections");
            assert_eq!(server.rows().await.len(), 100 - bad, "{behind:?}");
        }
    }
}

/// Refuses every other time that it is asked.
#[derive(Debug, Default)]
struct Fickle(Arc<AtomicUsize>);

impl Rules for Fickle {
    async fn delete(&self, _: &Owner, _: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        if self.0.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            return Err(Refusal::because("not now"));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_rule_that_changes_its_mind_is_asked_a_few_times_for_each_diff() {
    let objects = 200;
    let asked = Arc::default();
    let server = Server::new(MemoryDatabase::new());
    let made: Vec<Sent> = (0..objects).map(|n| create(&format!("t{n}"), json!({}))).collect();
    server.sync(0, made).await;
    let fickle = server.mobync.clone().rules(Fickle(Arc::clone(&asked)));
    // A device that has not heard of them makes each, and deletes it.
    let sent: Vec<Sent> = (0..objects)
        .flat_map(|n| {
            let id = format!("t{n}");
            [create(&id, json!({"a": 1})).at(1), delete(&id).at(2)]
        })
        .collect();
    let answer = fickle.apply(&ada(), 0, diffs(sent)).await.unwrap();
    assert_eq!(answer.logical_clock, 2);
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= 10 * objects, "{asked} questions for {objects} deletes");
}

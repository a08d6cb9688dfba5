//! A compaction in many small units of work, each of which may collide with others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mobync::{DatabaseError, Mobync, Turns, memory::MemoryDatabase};
use serde_json::json;
use tokio::{sync::Notify, time::Instant};

use super::support::{Hooked, T0, ada, create, diffs, hooked::Hook, update};

const MONTH: Duration = Duration::from_hours(30 * 24);

/// Lets the calls of this name collide a number of times, before each that succeeds.
#[derive(Clone, Debug)]
struct Colliding {
    name: &'static str,
    each: usize,
    left: Arc<AtomicUsize>,
    has_collided: Arc<Notify>,
    /// How long a sync is repeated in any case.
    patience: Duration,
}

impl Colliding {
    fn new(name: &'static str, each: usize, patience: Duration) -> Self {
        let left = Arc::new(AtomicUsize::new(each));
        Self { name, each, left, has_collided: Arc::default(), patience }
    }
}

impl Hook for Colliding {
    fn call(&self, name: &'static str) -> Result<(), DatabaseError> {
        if name != self.name {
            return Ok(());
        }
        let left = self.left.load(Ordering::SeqCst);
        self.left.store(left.checked_sub(1).unwrap_or(self.each), Ordering::SeqCst);
        if left == 0 {
            return Ok(());
        }
        self.has_collided.notify_one();
        Err(DatabaseError::conflict("a deadlock"))
    }

    fn turns(&self) -> Option<Turns> {
        Some(Turns::new(1, self.patience))
    }
}

/// A server with an owner whose log can be thinned, and is old enough for it.
async fn aged(hook: Colliding) -> Mobync<Hooked<MemoryDatabase, Colliding>> {
    let time = Arc::new(AtomicI64::new(T0));
    let now = Arc::clone(&time);
    let inner = MemoryDatabase::new();
    let plain = Mobync::new(inner.clone()).time(move || now.load(Ordering::Relaxed));
    plain.apply(&ada(), 0, diffs([create("t1", json!({"a": 0}))])).await.unwrap();
    for clock in 1..10 {
        let sent = diffs([update("t1", json!({"a": clock})).at(clock)]);
        plain.apply(&ada(), clock, sent).await.unwrap();
    }
    plain.compact(&ada(), MONTH).await.unwrap();
    time.store(T0 + 40 * 24 * 60 * 60 * 1000, Ordering::Relaxed);
    let mobync = Mobync::new(Hooked { inner, hook }).compacts_at_once(1);
    mobync.time(move || time.load(Ordering::Relaxed))
}

/// Each may collide as often as a sync, however many there are.
#[tokio::test(start_paused = true)]
async fn each_unit_of_work_has_a_patience_of_its_own() {
    for each in [1, 3, 5] {
        let mobync = aged(Colliding::new("rewrite", each, Duration::from_millis(1))).await;
        let compacted = mobync.compact(&ada(), MONTH).await.unwrap();
        assert_eq!((compacted.horizon, compacted.thinned), (10, 9), "{each} collisions each");
    }
    let mobync = aged(Colliding::new("rewrite", 6, Duration::from_millis(1))).await;
    let error = mobync.compact(&ada(), MONTH).await.unwrap_err();
    assert_eq!(error.code(), "busy", "it gives up in the end");
}

/// Time passes only while everything waits, so a sync that waited for the pause has taken some.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_owners_turn_while_a_collision_is_waited_for() {
    for (name, repairs) in [("rewrite", false), ("rows_behind", true)] {
        let hook = Colliding::new(name, 20, Duration::from_mins(1));
        let mobync = aged(hook.clone()).await;
        let working = mobync.clone();
        let work = tokio::spawn(async move {
            if repairs {
                working.reconcile(&ada()).await.map(drop)
            } else {
                working.compact(&ada(), MONTH).await.map(drop)
            }
        });
        for clock in 10..25 {
            hook.has_collided.notified().await;
            let started = Instant::now();
            let sent = diffs([update("t1", json!({"a": clock})).at(clock)]);
            mobync.apply(&ada(), clock, sent).await.unwrap();
            assert_eq!(started.elapsed(), Duration::ZERO, "{name}: sync {clock}");
        }
        work.await.unwrap().unwrap();
    }
}

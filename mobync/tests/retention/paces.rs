//! Settings that are nothing or enormous: no loop is busy, nothing overflows, and mistakes are told.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mobync::{Change, DatabaseError, Diff, Mobync, Record, Retention, memory::MemoryDatabase};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::support::{Hooked, ada, create, diffs, hooked::Hook};

const HALF_AN_HOUR: Duration = Duration::from_mins(30);

/// Counts the calls of the loops that go round for ever.
#[derive(Clone, Debug, Default)]
struct Counting(Arc<AtomicUsize>);

impl Hook for Counting {
    fn call(&self, name: &'static str) -> Result<(), DatabaseError> {
        if matches!(name, "owners" | "marked_owners") {
            let count = self.0.fetch_add(1, Ordering::SeqCst);
            assert!(count < 2_000_000, "{name}: a busy loop");
        }
        Ok(())
    }
}

/// Collects what is logged in this thread.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false);
        (lines, tracing::subscriber::set_default(subscriber.finish()))
    }

    pub(super) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn no_pause_makes_a_loop_busy_and_no_age_overflows() {
    let ages = [Duration::ZERO, Duration::from_millis(1), HALF_AN_HOUR, Duration::MAX];
    for (age, owners_an_hour, owners) in
        ages.into_iter().flat_map(|age| [(age, 0, 0), (age, u32::MAX, 0), (age, u32::MAX, 3)])
    {
        let calls = Arc::new(AtomicUsize::new(0));
        let hook = Counting(Arc::clone(&calls));
        let mobync = Mobync::new(Hooked { inner: MemoryDatabase::new(), hook });
        for owner in ["ada", "bob", "eve"].iter().take(owners) {
            let sent = diffs([create("t1", json!({"a": 1}))]);
            mobync.apply(&super::support::owner(owner), 0, sent).await.unwrap();
        }
        let retention = Retention::new(age).every(Duration::ZERO).owners_an_hour(owners_an_hour);
        let retaining = tokio::time::timeout(HALF_AN_HOUR, mobync.retain(retention)).await;
        assert!(retaining.is_err());
        let calls = calls.load(Ordering::SeqCst);
        let calls_expected = 15_000..=40_000;
        assert!(
            calls_expected.contains(&calls),
            "{age:?}: {calls} lists of owners in half an hour"
        );
        let answer = mobync.apply(&ada(), 0, Vec::new()).await.unwrap();
        assert_eq!(answer.diffs.len(), usize::from(owners > 0), "{age:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_watch_is_busy() {
    for (every, most) in [(Duration::ZERO, 1_800_000), (Duration::MAX, 1)] {
        let hook = Counting::default();
        let calls = Arc::clone(&hook.0);
        let mobync = Mobync::new(Hooked { inner: MemoryDatabase::new(), hook }).watch_every(every);
        let watching = tokio::time::timeout(Duration::from_secs(20), mobync.watch()).await;
        assert!(watching.is_err());
        let calls = calls.load(Ordering::SeqCst);
        assert!(calls <= most.min(20_002), "{every:?}: {calls} looks in 20 seconds");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_follower_is_busy_and_no_lease_overflows() {
    for pause in [Duration::ZERO, Duration::MAX] {
        let mobync = Mobync::new(MemoryDatabase::new());
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let follower = mobync.follow("f", move |_, _: Vec<Diff>| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Err::<(), _>("never") }
        });
        let follower = follower.lease(Duration::MAX).sweep_each(pause).pauses(pause, pause);
        mobync.write(&ada(), [Change::create("tasks", Record::new("t1"))]).await.unwrap();
        let following = tokio::time::timeout(Duration::from_millis(300), follower.run()).await;
        assert!(following.is_err());
        let calls = calls.load(Ordering::SeqCst);
        assert!((1..=310).contains(&calls), "{pause:?}: {calls} calls in 0.3 seconds");
    }
}

#[tokio::test(start_paused = true)]
async fn an_age_of_less_than_a_day_is_told() {
    for (age, is_told) in
        [(Duration::ZERO, true), (HALF_AN_HOUR, true), (Duration::from_hours(24), false)]
    {
        let (lines, _listening) = Lines::listen();
        let mobync = Mobync::new(MemoryDatabase::new());
        let retaining = mobync.retain(Retention::new(age));
        assert!(tokio::time::timeout(Duration::from_secs(1), retaining).await.is_err());
        let lines = lines.take();
        assert_eq!(lines.contains("less than a day"), is_told, "{age:?}: {lines}");
    }
}

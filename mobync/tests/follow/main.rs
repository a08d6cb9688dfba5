//! Followers, on every database: after the commit, in order, at least once, even if processes are
//! killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::panic, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod failing;
mod hears;
mod killed;
mod processes;
mod tables;

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use mobync::{
    Database, Diff, Mobync, Owner,
    follow::{Cursors, Follower},
};
use serde_json::json;
use support::{create, diffs, line, update};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// The time limit of all tests for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// The length of a lease in tests that wait for its end.
const LEASE: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_millis(20);
const HOUR: Duration = Duration::from_hours(1);

type Handler = Box<dyn Fn(Owner, Vec<Diff>) -> Handling + Send + Sync>;
type Handling = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

fn handler<F>(handler: impl Fn(Owner, Vec<Diff>) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    Box::new(move |owner, entries| Box::pin(handler(owner, entries)))
}

/// The batches that handlers were given, in order.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Vec<Batch>>>);

type Batch = (Owner, Vec<Diff>);

impl Heard {
    fn add(&self, owner: Owner, entries: Vec<Diff>) {
        self.0.lock().unwrap().push((owner, entries));
    }

    /// A handler that records its batches, and always succeeds.
    fn handler(&self) -> Handler {
        let heard = self.clone();
        handler(move |owner, entries| {
            heard.add(owner, entries);
            async { Ok(()) }
        })
    }

    fn batches(&self) -> Vec<Batch> {
        self.0.lock().unwrap().clone()
    }

    /// The ids of an owner's entries, in the order of delivery.
    fn ids(&self, owner: &Owner) -> Vec<String> {
        let of_owner = self.batches().into_iter().filter(|(of, _)| of == owner);
        of_owner.flat_map(|(_, entries)| entries).map(|entry| entry.id).collect()
    }

    /// The deliveries, one line each.
    fn lines(&self) -> Vec<String> {
        self.batches().iter().flat_map(|(_, entries)| entries).map(line).collect()
    }

    async fn has(&self, entries: usize) {
        until(|| self.lines().len() >= entries).await;
    }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it comes in time");
}

/// Runs followers until it is dropped, as a process does.
#[derive(Default)]
struct Process(JoinSet<()>);

impl Process {
    async fn running<D: Cursors>(follower: Follower<D, Handler>) -> Self {
        let mut process = Self::default();
        process.0.spawn(async move {
            let _ = follower.run().await;
        });
        // From here on it receives announcements.
        tokio::task::yield_now().await;
        process
    }

    async fn kill(mut self) {
        self.0.shutdown().await;
        // A running handler was cancelled, and stops at its next await.
        tokio::task::yield_now().await;
    }
}

/// Another process on the same database. (A database of seven methods has only one.)
fn another<D: Database + Clone>(mobync: &Mobync<D>) -> Mobync<D> {
    if mobync.database().serialises() {
        Mobync::new(mobync.database().clone())
    } else {
        mobync.clone()
    }
}

/// A sync that creates or updates tasks: this number of entries in one tick. Returns their ids.
async fn sync<D: Database>(mobync: &Mobync<D>, owner: &Owner, entries: usize) -> Vec<String> {
    let clock = mobync.clock(owner).await.unwrap();
    let sent = (0..entries).map(|number| {
        let id = format!("{owner}-{clock}-{number:03}");
        let at = i64::try_from(number).unwrap();
        match (clock, number) {
            (0, 0) => create("t1", json!({"a": 0})).at(at).id(&id),
            _ => update("t1", json!({"a": id})).at(at).id(&id),
        }
    });
    let sent = diffs(sent);
    let ids = sent.iter().map(|diff| diff.id.clone()).collect();
    mobync.apply(owner, clock, sent).await.unwrap();
    ids
}

/// An idle sync, by which the process learns the owner's clock.
async fn ask<D: Database>(mobync: &Mobync<D>, owner: &Owner) {
    mobync.apply(owner, 0, Vec::new()).await.unwrap();
}

//! A follower that is killed at any step: what it has begun is delivered again, and nothing is skipped.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mobync::{
    Access, DatabaseError,
    follow::{News, Page, Place, Start},
};
use tokio::sync::Notify;

use super::*;
use support::{Server, ada, databases::on_every_database, owner};

on_every_database! {
    super::super::support::Server::new;
    killed_before_or_after_each_step_a_follower_skips_nothing
    a_process_takes_over_from_one_that_was_killed_in_a_handler
    a_handler_is_stopped_when_its_place_is_lost
}

/// The number of the step at which a process is killed.
#[derive(Clone, Debug)]
struct Death {
    left: Arc<AtomicUsize>,
    came: Arc<Notify>,
}

impl Death {
    fn at(step: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(step + 1)), came: Arc::default() }
    }

    /// Stops here, if this is the step.
    async fn step(&self) {
        let count = |left: usize| Some(left.saturating_sub(1));
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count).unwrap() <= 1 {
            self.came.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// A database that a process uses until it dies.
#[derive(Clone, Debug)]
struct Mortal<D> {
    inner: D,
    death: Death,
    /// Whether it has lost all of its leases, as after a long suspension.
    is_frozen: Arc<AtomicBool>,
}

impl<D> Mortal<D> {
    fn new(inner: D, death: Death) -> Self {
        Self { inner, death, is_frozen: Arc::default() }
    }
}

impl<D: Database + Clone> Database for Mortal<D> {
    type Unit = D::Unit;

    async fn open(&self, owner: &Owner, access: Access) -> Result<D::Unit, DatabaseError> {
        self.inner.open(owner, access).await
    }

    fn serialises(&self) -> bool {
        self.inner.serialises()
    }
}

impl<D: Cursors + Clone> Cursors for Mortal<D> {
    async fn prepare(&self, log: &str, follower: &str, start: Start) -> Result<(), DatabaseError> {
        self.death.step().await;
        let done = self.inner.prepare(log, follower, start).await;
        self.death.step().await;
        done
    }

    async fn take(&self, place: &Place<'_>, hold: Duration) -> Result<Option<i64>, DatabaseError> {
        self.death.step().await;
        let done = self.inner.take(place, hold).await;
        self.death.step().await;
        done
    }

    async fn keep(
        &self,
        place: &Place<'_>,
        clock: i64,
        hold: Duration,
    ) -> Result<bool, DatabaseError> {
        self.death.step().await;
        if self.is_frozen.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let done = self.inner.keep(place, clock, hold).await;
        self.death.step().await;
        done
    }

    async fn behind(
        &self,
        log: &str,
        follower: &str,
        after: Option<&Owner>,
        most: usize,
    ) -> Result<Page, DatabaseError> {
        self.inner.behind(log, follower, after, most).await
    }

    async fn entries(
        &self,
        log: &str,
        owner: &Owner,
        since: i64,
        most: usize,
    ) -> Result<News, DatabaseError> {
        self.death.step().await;
        self.inner.entries(log, owner, since, most).await
    }
}

async fn killed_before_or_after_each_step_a_follower_skips_nothing<D: Cursors + Clone>(
    server: Server<D>,
) {
    let owners = [ada(), owner("bob")];
    let mut log = Vec::new();
    for owner in &owners {
        let mut ids = Vec::new();
        for entries in [1, 2, 1, 3] {
            ids.extend(sync(&server.mobync, owner, entries).await);
        }
        log.push(ids);
    }
    let mut deaths = 0;
    loop {
        let (heard, death) = (Heard::default(), Death::at(deaths));
        let handler = {
            let (heard, death) = (heard.clone(), death.clone());
            handler(move |owner, entries| {
                let (heard, death) = (heard.clone(), death.clone());
                async move {
                    death.step().await;
                    heard.add(owner, entries);
                    death.step().await;
                    Ok(())
                }
            })
        };
        let mobync = &server.mobync;
        let mortal = Mobync::new(Mortal::new(mobync.database().clone(), death.clone()));
        let name = format!("killed at {deaths}");
        let process = Process::running(mortal.follow(&*name, handler).batch(2).lease(LEASE)).await;
        let was_killed = tokio::select! {
            () = death.came.notified() => true,
            () = asking(&mortal, &owners, || all_heard(&heard, &owners, &log)) => false,
        };
        process.kill().await;
        let before = owners.each_ref().map(|owner| heard.ids(owner).len());
        let follower = mobync.follow(&*name, heard.handler()).batch(2).lease(LEASE);
        let again = Process::running(follower.sweep_each(SOON)).await;
        asking(mobync, &owners, || all_heard(&heard, &owners, &log)).await;
        for (place, owner) in owners.iter().enumerate() {
            let log = &log[place];
            let heard = heard.ids(owner);
            let ids = heard.iter().map(|id| log.iter().position(|other| other == id).unwrap());
            let mut reached = 0;
            for (number, id) in ids.enumerate() {
                assert!(id <= reached, "{deaths}: one is skipped: {heard:?}");
                if number == before[place] {
                    assert!(id + 3 >= reached, "{deaths}: it went too far back: {heard:?}");
                }
                reached = reached.max(id + 1);
            }
        }
        again.kill().await;
        if !was_killed {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 20, "{deaths}");
}

fn all_heard(heard: &Heard, owners: &[Owner], log: &[Vec<String>]) -> bool {
    owners.iter().zip(log).all(|(owner, log)| heard.ids(owner).last() == log.last())
}

/// Lists the owners until it is so: a database of seven methods has no sweep.
async fn asking<D: Database>(mobync: &Mobync<D>, owners: &[Owner], is_so: impl Fn() -> bool) {
    let asking = async {
        while !is_so() {
            for owner in owners {
                ask(mobync, owner).await;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("it comes in time");
}

async fn a_process_takes_over_from_one_that_was_killed_in_a_handler(
    server: Server<impl Cursors + Clone>,
) {
    let there = another(&server.mobync);
    let begun = Arc::new(Notify::new());
    let handler = {
        let begun = Arc::clone(&begun);
        handler(move |_, _| {
            begun.notify_one();
            std::future::pending()
        })
    };
    let process = Process::running(there.follow("f", handler).lease(LEASE)).await;
    let ids = sync(&there, &ada(), 1).await;
    timeout(PATIENCE, begun.notified()).await.unwrap();
    let heard = Heard::default();
    let follower = server.mobync.follow("f", heard.handler()).lease(LEASE);
    let _process = Process::running(follower.sweep_each(SOON)).await;
    ask(&server.mobync, &ada()).await;
    // It is alive, however long it takes.
    sleep(3 * LEASE).await;
    assert!(heard.lines().is_empty());
    process.kill().await;
    asking(&server.mobync, &[ada()], || heard.ids(&ada()) == ids).await;
}

async fn a_handler_is_stopped_when_its_place_is_lost(server: Server<impl Cursors + Clone>) {
    let database = Mortal::new(server.mobync.database().clone(), Death::at(usize::MAX - 1));
    let mobync = Mobync::new(database.clone());
    let (heard, begun) = (Heard::default(), Arc::new(Notify::new()));
    let handler = {
        let (heard, begun) = (heard.clone(), Arc::clone(&begun));
        handler(move |owner, entries| {
            let (heard, begun) = (heard.clone(), Arc::clone(&begun));
            async move {
                begun.notify_one();
                sleep(3 * LEASE).await;
                heard.add(owner, entries);
                Ok(())
            }
        })
    };
    let _process = Process::running(mobync.follow("f", handler).lease(LEASE)).await;
    let ids = sync(&mobync, &ada(), 1).await;
    asking(&mobync, &[ada()], || database.death.left.load(Ordering::SeqCst) < usize::MAX - 1).await;
    timeout(PATIENCE, begun.notified()).await.unwrap();
    database.is_frozen.store(true, Ordering::SeqCst);
    // It starts again when its lease is over, and is stopped again.
    timeout(PATIENCE, begun.notified()).await.unwrap();
    assert!(heard.lines().is_empty());
    database.is_frozen.store(false, Ordering::SeqCst);
    heard.has(1).await;
    assert_eq!(heard.ids(&ada()), ids);
}

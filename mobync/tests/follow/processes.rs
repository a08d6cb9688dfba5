//! Several processes that run one follower.

use mobync::{postgres::PostgresDatabase, sqlite::SqliteDatabase};

use super::*;
use support::{
    Server, ada, databases, databases::on_every_database, owner, postgres::new_database,
};

on_every_database! {
    super::super::support::Server::new;
    one_owner_is_handled_by_one_at_a_time_and_each_entry_once
    what_nobody_tells_of_is_found_by_a_sweep
    a_follower_may_begin_now_and_then_skips_nothing
}

/// Which process handles which owner, and whether two ever did at once.
#[derive(Clone, Debug, Default)]
struct Alone {
    busy: Arc<Mutex<Vec<Owner>>>,
    shared: Arc<Mutex<Vec<Owner>>>,
}

impl Alone {
    async fn at(&self, owner: &Owner) {
        {
            let mut busy = self.busy.lock().unwrap();
            if busy.contains(owner) {
                self.shared.lock().unwrap().push(owner.clone());
            }
            busy.push(owner.clone());
        }
        sleep(Duration::from_millis(3)).await;
        self.busy.lock().unwrap().retain(|other| other != owner);
    }
}

async fn one_owner_is_handled_by_one_at_a_time_and_each_entry_once(
    server: Server<impl Cursors + Clone>,
) {
    let processes = [server.mobync.clone(), another(&server.mobync), another(&server.mobync)];
    shares(&processes, 5).await;
}

/// Syncs in all processes, each of which has a follower.
async fn shares<D: Cursors>(processes: &[Mobync<D>], rounds: usize) {
    let (heard, alone) = (Heard::default(), Alone::default());
    let mut followers = Vec::new();
    for mobync in processes {
        let (heard, alone) = (heard.clone(), alone.clone());
        let handler = handler(move |owner, entries| {
            let (heard, alone) = (heard.clone(), alone.clone());
            async move {
                alone.at(&owner).await;
                heard.add(owner, entries);
                Ok(())
            }
        });
        let follower = mobync.follow("f", handler).sweep_each(SOON).batch(3).pauses(SOON, SOON);
        followers.push(Process::running(follower).await);
    }
    let owners: Vec<_> = (0..4).map(|number| owner(&format!("owner{number}"))).collect();
    let mut logs = vec![Vec::new(); owners.len()];
    for round in 0..rounds {
        for (owner, log) in owners.iter().zip(&mut logs) {
            let mobync = &processes[round % processes.len()];
            log.extend(sync(mobync, owner, 1 + round % 2).await);
        }
    }
    heard.has(logs.iter().map(Vec::len).sum()).await;
    for (owner, log) in owners.iter().zip(&logs) {
        assert_eq!(heard.ids(owner), *log);
    }
    assert_eq!(*alone.shared.lock().unwrap(), []);
    drop(followers);
}

async fn what_nobody_tells_of_is_found_by_a_sweep(server: Server<impl Cursors + Clone>) {
    if !server.mobync.database().serialises() {
        return only_at_the_next_sync(server).await;
    }
    let heard = Heard::default();
    let follower = server.mobync.follow("f", heard.handler()).sweep_each(SOON);
    let there = another(&server.mobync);
    let mut ids = sync(&there, &ada(), 2).await;
    let _process = Process::running(follower).await;
    heard.has(2).await;
    ids.extend(sync(&there, &ada(), 1).await);
    heard.has(3).await;
    assert_eq!(heard.ids(&ada()), ids);
}

/// A database that cannot list its owners.
async fn only_at_the_next_sync(server: Server<impl Cursors>) {
    let heard = Heard::default();
    let ids = sync(&server.mobync, &ada(), 2).await;
    let _process =
        Process::running(server.mobync.follow("f", heard.handler()).sweep_each(SOON)).await;
    sleep(3 * SOON).await;
    assert!(heard.lines().is_empty());
    ask(&server.mobync, &ada()).await;
    heard.has(2).await;
    assert_eq!(heard.ids(&ada()), ids);
}

async fn a_follower_may_begin_now_and_then_skips_nothing(server: Server<impl Cursors + Clone>) {
    let mobync = &server.mobync;
    let heard = Heard::default();
    let follower = || {
        let follower = mobync.follow("f", heard.handler()).from_now();
        follower.lease(LEASE).sweep_each(SOON)
    };
    if !mobync.database().serialises() {
        sync(mobync, &ada(), 2).await;
        let _process = Process::running(follower()).await;
        ask(mobync, &ada()).await;
        sleep(3 * SOON).await;
        assert!(heard.lines().is_empty(), "it cannot, and says so");
        return;
    }
    for number in 0..3 {
        sync(mobync, &owner(&format!("before{number}")), 2).await;
    }
    let process = Process::running(follower()).await;
    let ids = sync_until_heard(mobync, &heard).await;
    process.kill().await;
    // Owners that were not announced to it yet, and one that was.
    let first = sync(mobync, &owner("after"), 2).await;
    let second = sync(mobync, &owner("before1"), 1).await;
    let _process = Process::running(follower()).await;
    until(|| heard.ids(&owner("after")).len() >= 2 && !heard.ids(&owner("before1")).is_empty())
        .await;
    assert_eq!(heard.ids(&owner("after")), first);
    assert_eq!(heard.ids(&owner("before1")), second);
    assert!(heard.ids(&owner("before0")).starts_with(&ids));
    assert!(heard.ids(&owner("before2")).is_empty());
}

/// Syncs until the follower has begun, and returns what it should have received.
async fn sync_until_heard<D: Database>(mobync: &Mobync<D>, heard: &Heard) -> Vec<String> {
    let of = owner("before0");
    while heard.lines().is_empty() {
        sync(mobync, &of, 1).await;
        sleep(SOON).await;
    }
    let last = sync(mobync, &of, 1).await;
    until(|| heard.ids(&of).last() == last.last()).await;
    heard.ids(&of)
}

#[tokio::test]
async fn processes_with_connections_of_their_own_share_owners_on_sqlite() {
    let (database, folder) = databases::sqlite().await;
    let url = format!("sqlite://{}", folder.as_ref().unwrap().path().join("test.sqlite").display());
    let mut processes = vec![Mobync::new(database)];
    for _ in 0..2 {
        let builder = SqliteDatabase::builder().table("tasks");
        processes.push(Mobync::new(builder.connect(&url).await.unwrap()));
    }
    shares(&processes, 12).await;
}

#[tokio::test]
async fn processes_with_connections_of_their_own_share_owners_on_postgres() {
    let url = new_database().await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let tasks = "CREATE TABLE tasks (owner text, id text, a jsonb, PRIMARY KEY (owner, id))";
    sqlx::query(tasks).execute(&pool).await.unwrap();
    let mut processes = Vec::new();
    for _ in 0..3 {
        let database = PostgresDatabase::builder().table("tasks").connect(&url).await.unwrap();
        database.set_up().await.unwrap();
        processes.push(Mobync::new(database));
    }
    shares(&processes, 12).await;
}

/// A clock that another process announces is received without a sweep.
#[tokio::test]
async fn clocks_that_are_announced_are_heard_of_at_once() {
    let url = new_database().await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let tasks = "CREATE TABLE tasks (owner text, id text, a jsonb, PRIMARY KEY (owner, id))";
    sqlx::query(tasks).execute(&pool).await.unwrap();
    let process = || PostgresDatabase::builder().table("tasks").announce_clocks().connect(&url);
    let (here, there) = (process().await.unwrap(), process().await.unwrap());
    here.set_up().await.unwrap();
    let (here, there) = (Mobync::new(here), Mobync::new(there));
    let heard = Heard::default();
    let _process = Process::running(here.follow("f", heard.handler()).sweep_each(HOUR)).await;
    sync(&here, &ada(), 1).await;
    heard.has(1).await;
    let (database, live) = (here.database().clone(), here.live().clone());
    let hearing = tokio::spawn(async move { database.hear_clocks(&live).await });
    // What was announced before it listens is missed, and found by a sweep once it listens.
    sync(&there, &ada(), 1).await;
    heard.has(2).await;
    sync(&there, &ada(), 1).await;
    heard.has(3).await;
    hearing.abort();
}

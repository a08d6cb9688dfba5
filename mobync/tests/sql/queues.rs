//! One owner's queue does not hold what others need, and it is limited.

use std::{sync::Arc, time::Duration};

use mobync::{Diff, Mobync, Owner, Refusal, Rules, View, postgres::PostgresDatabase};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::{
    Server, sqlite_server,
    support::{ada, create, diffs, owner, postgres::new_database, update},
};

const TASKS: &str = "CREATE TABLE tasks (owner text, id text, a text, PRIMARY KEY (owner, id))";

#[tokio::test]
async fn those_who_wait_for_one_owner_hold_no_connection_that_others_need() {
    let url = new_database().await;
    let mut application = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(TASKS).execute(&mut application).await.unwrap();
    let database =
        PostgresDatabase::builder().table("tasks").max_connections(2).connect(&url).await.unwrap();
    let server = Arc::new(Server::new(database).await.0.max_waiting(30));
    let push = async |owner: Owner, id: String| {
        server.apply(&owner, 0, diffs([create(&id, json!({}))])).await
    };
    push(ada(), "first".to_owned()).await.unwrap();

    // The application locks a row of Ada's for a long time, and her devices wait for it.
    let mut long = application.begin().await.unwrap();
    let lock = "SELECT * FROM diffs_owners WHERE owner = 'ada' FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut *long).await.unwrap();
    let waiting: Vec<_> = (0..40)
        .map(|n| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                server.apply(&ada(), 0, diffs([create(&format!("t{n}"), json!({}))])).await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let others = async {
        for n in 0..20 {
            push(owner(&format!("bob{n}")), "t".to_owned()).await.unwrap();
        }
    };
    // They would wait for Ada's syncs, which give up after ten seconds.
    timeout(Duration::from_secs(8), others).await.expect("others go on");

    long.rollback().await.unwrap();
    let (mut done, mut busy) = (0, 0);
    for waiting in waiting {
        match waiting.await.unwrap() {
            Ok(_) => done += 1,
            Err(error) => {
                assert_eq!(error.code(), "busy");
                busy += 1;
            }
        }
    }
    assert_eq!((done, busy), (30, 10), "the queue has an end");
}

/// While connections go back to a pool and out of it, its count of idle ones is wrong for a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_read_and_write_side_by_side_do_not_disturb_each_other() {
    let (sqlite, _folder) = sqlite_server(&[TASKS], &["tasks"]).await;
    let postgres = super::postgres_server(&[TASKS], &["tasks"]).await;
    let (sqlite, postgres) = (sqlite.0.erase(), postgres.0.erase());
    let one = |n: usize, mobync: Mobync<_, _>| async move {
        let owner = owner(&format!("bob{n}"));
        for tick in 0..60 {
            assert_eq!(mobync.clock(&owner).await.unwrap(), i64::from(tick > 0));
            if tick == 0 {
                mobync.apply(&owner, 0, diffs([create("t1", json!({}))])).await.unwrap();
            }
        }
    };
    let mobyncs = [sqlite, postgres].into_iter().flat_map(|mobync| vec![mobync; 8]);
    let all: Vec<_> = mobyncs.enumerate().map(|(n, mobync)| tokio::spawn(one(n, mobync))).collect();
    for one in all {
        one.await.unwrap();
    }
}

/// A rule that waits forever.
struct Waits;

impl Rules for Waits {
    async fn create(&self, owner: &Owner, _: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        if owner.as_str() == "ada" {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_rule_that_never_ends_is_given_up_and_keeps_nobody_for_ever() {
    let (server, _folder) = sqlite_server(&[TASKS], &["tasks"]).await;
    let limit = Duration::from_millis(300);
    let mobync: Mobync<_, Waits> = server.0.rules(Waits).time_limit(limit);
    let sent = || diffs([create("t1", json!({}))]);
    let (ada, bob) = (ada(), owner("bob"));
    let (waits, goes_on) = tokio::join!(mobync.apply(&ada, 0, sent()), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        mobync.apply(&bob, 0, sent()).await
    });
    let error = waits.unwrap_err();
    assert_eq!((error.code(), error.status().as_u16()), ("busy", 503));
    // A sync that has waited for the longest allowed time gets its turn, then or at the next try.
    if goes_on.is_err() {
        mobync.apply(&bob, 0, sent()).await.unwrap();
    }
    assert_eq!(mobync.apply(&ada, 0, Vec::new()).await.unwrap().logical_clock, 0);
}

#[tokio::test]
async fn changes_that_take_too_long_together_are_asked_for_in_smaller_parts() {
    // Each update of the object is a statement of its own, because a trigger uses the column.
    let trigger = "CREATE TRIGGER looks BEFORE UPDATE ON tasks BEGIN SELECT 1; END";
    let (server, _folder) = sqlite_server(&[TASKS, trigger], &["tasks"]).await;
    server.sync(0, [create("t1", json!({"a": "x"}))]).await;
    let mobync = server.0.time_limit(Duration::from_millis(100));
    let many = (0..10_000).map(|n| update("t1", json!({"a": n.to_string()})));
    let many: Vec<_> = many.collect();
    let error = mobync.apply(&ada(), 1, diffs(many.clone())).await.unwrap_err();
    assert_eq!((error.code(), error.status().as_u16()), ("payload_too_large", 413));
    let mobync = mobync.time_limit(Duration::from_mins(1));
    let few = mobync.apply(&ada(), 1, diffs(many.into_iter().take(5))).await.unwrap();
    assert_eq!(few.logical_clock, 2, "nothing was done of the others");
}

//! The result of a compaction, by examples, on every database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use mobync::{
    Access, Change, Compacted, Database, Diff, Error, Mobync, Record, Retention, UnitOfWork,
    WindowQuery, follow::Cursors, memory::MemoryDatabase,
};
use serde_json::json;

use super::paces::Lines;
use super::support::{
    self, Server, T0, ada, create, databases::on_every_database, delete, diffs, owner, update,
};

const DAY: i64 = 24 * 60 * 60 * 1000;
const MONTH: Duration = Duration::from_hours(30 * 24);

on_every_database! {
    super::Aging::new;
    the_log_of_the_protocols_example_is_thinned_as_it_says
    what_is_young_stays_as_it_is
    a_log_is_small_in_the_end
    the_horizon_does_not_pass_a_follower
    a_follower_that_is_gone_is_told_of_and_can_be_removed
    a_follower_that_begins_late_gets_what_is_left
    a_dead_life_that_is_older_than_the_log_goes
    a_page_says_of_the_log_itself_what_the_log_says
}

/// A server whose time can be set.
struct Aging<D> {
    server: Server<D>,
    time: Arc<AtomicI64>,
}

impl<D: Database> Aging<D> {
    fn new(database: D) -> Self {
        let time = Arc::new(AtomicI64::new(T0));
        let now = Arc::clone(&time);
        let mobync = Mobync::new(database).time(move || now.load(Ordering::Relaxed));
        Self { server: Server { mobync }, time }
    }

    /// The beginning of a day.
    fn on_day(&self, day: i64) {
        self.time.store(T0 + day * DAY, Ordering::Relaxed);
    }

    async fn compact(&self) -> Compacted {
        self.server.mobync.compact(&ada(), MONTH).await.unwrap()
    }

    /// The number of entries in the log, without its own.
    async fn entries(&self) -> usize {
        self.server.log().await.iter().filter(|entry| entry.model != "diffs").count()
    }

    /// The log, without the milestones.
    async fn log(&self) -> Vec<String> {
        let lines = self.server.log_lines().await;
        lines.into_iter().filter(|line| !line.contains("milestone")).collect()
    }
}

async fn the_log_of_the_protocols_example_is_thinned_as_it_says(aging: Aging<impl Database>) {
    let server = &aging.server;
    server.sync(0, [create("t1", json!({"a": "Milk", "b": false})).id("a1")]).await;
    server.sync(1, [create("t2", json!({"a": "Bread"})).id("b1").at(60_000)]).await;
    server.sync(2, [update("t1", json!({"a": "Oat milk"})).id("a2").at(300_000)]).await;
    server.sync(3, [update("t1", json!({"b": true})).id("b2").at(240_000)]).await;
    server.sync(4, [delete("t2").id("a3").at(400_000)]).await;
    server.sync(5, [update("t1", json!({"a": "Rice milk"})).id("a4").at(500_000)]).await;
    let whole = aging.log().await;
    assert_eq!(aging.compact().await, Compacted::default());
    aging.on_day(1);
    server.sync(6, [update("t1", json!({"b": false})).id("a5").at(600_000)]).await;

    aging.on_day(31);
    let compacted = aging.compact().await;
    assert_eq!((compacted.horizon, compacted.forgotten), (6, 0));
    assert_eq!(
        aging.log().await,
        [
            "0: create t1",
            r#"1: create t2 {"a":"Bread"}"#,
            "2: update t1",
            r#"3: update t1 {"b":true}"#,
            "4: delete t2",
            "5: update horizon",
            r#"5: update t1 {"a":"Rice milk"}"#,
            r#"6: update t1 {"b":false}"#,
        ]
    );
    assert_eq!(whole.len(), 6);
    for clock in 1..6 {
        let answer = server.try_sync(clock, []).await;
        assert!(matches!(answer, Err(Error::TooOld { forgotten: false })), "{clock}: {answer:?}");
    }
    assert_eq!(server.back(6, []).await, [r#"update t1 {"b":false}"#]);
    assert_eq!(server.back(0, []).await, [r#"create t1 {"a":"Rice milk","b":false}"#]);
    let known = update("t1", json!({"a": "Oat milk"})).id("a2").at(300_000);
    assert_eq!(server.sync(7, [known]).await.logical_clock, 7, "its id is known");

    aging.on_day(62);
    server.sync(7, [update("t1", json!({"a": "Soy milk"})).id("a6").at(700_000)]).await;
    aging.compact().await;
    aging.on_day(93);
    let compacted = aging.compact().await;
    assert_eq!((compacted.horizon, compacted.forgotten), (8, 7));
    assert_eq!(
        aging.log().await,
        [
            "0: create t1",
            r#"6: update t1 {"b":false}"#,
            "7: update horizon",
            r#"7: update t1 {"a":"Soy milk"}"#,
        ]
    );
    let answer = server.try_sync(6, []).await;
    assert!(matches!(answer, Err(Error::TooOld { forgotten: true })), "{answer:?}");
    let answer = server.try_sync(7, []).await;
    assert!(matches!(answer, Err(Error::TooOld { forgotten: false })), "{answer:?}");
    assert!(server.back(8, []).await.is_empty());
    assert_eq!(server.back(0, []).await, [r#"create t1 {"a":"Soy milk","b":false}"#]);
    let answer = server.try_sync(9, []).await;
    assert!(matches!(answer, Err(Error::ClockAhead { server: 8, .. })), "{answer:?}");
    assert_eq!(aging.compact().await.removed, 0, "all is done");
}

async fn what_is_young_stays_as_it_is(aging: Aging<impl Database>) {
    let server = &aging.server;
    server.sync(0, [create("t1", json!({"a": 1})), update("t1", json!({"a": 2})).at(1)]).await;
    server.sync(1, [delete("t1").at(2)]).await;
    let whole = aging.log().await;
    for day in 0..=30 {
        aging.on_day(day);
        let compacted = aging.compact().await;
        assert_eq!((compacted.horizon, compacted.removed, compacted.thinned), (0, 0, 0));
        assert_eq!(aging.log().await, whole);
    }
    let own = server.log_lines().await.len() - whole.len();
    assert_eq!(own, 1, "one milestone of the last tick");
    for day in 31..=61 {
        aging.on_day(day);
        aging.compact().await;
        assert_eq!(server.try_sync(1, []).await.unwrap_err().code(), "too_old");
    }
    assert_eq!(server.sync(2, []).await.logical_clock, 2);
}

/// *Bounded*: 20 objects with 50 entries each, and as many that are deleted.
async fn a_log_is_small_in_the_end(aging: Aging<impl Database>) {
    let server = &aging.server;
    let row = |n: usize| json!({"a": format!("name {n} {}", "x".repeat(40)), "b": "y".repeat(60), "n": n});
    let mut clock = 0;
    for round in 0..50 {
        let sent = (0..20).map(|object| {
            let id = format!("t{object}");
            let diff = if round == 0 {
                create(&id, row(object))
            } else {
                update(&id, row(object + round))
            };
            diff.at(i64::try_from(round).unwrap())
        });
        let dead = (0..20).map(|object| create(&format!("d{object}-{round}"), row(object)));
        clock = server.sync(clock, sent.chain(dead)).await.logical_clock;
        let dead = (0..20).map(|object| delete(&format!("d{object}-{round}")).at(100));
        clock = server.sync(clock, dead).await.logical_clock;
    }
    aging.compact().await;
    aging.on_day(1);
    clock = server.sync(clock, [update("t0", json!({"n": 7})).at(200)]).await.logical_clock;
    aging.compact().await;
    let before = aging.entries().await;
    aging.on_day(62);
    let compacted = aging.compact().await;
    assert_eq!(compacted.horizon, clock);
    assert_eq!(aging.entries().await, before - usize::try_from(compacted.removed).unwrap());
    assert!(compacted.removed > 2_000 && compacted.thinned >= 20, "{compacted:?}");
    let log: usize = server.log().await.iter().map(|entry| entry.json_data.len()).sum();
    let rows: usize = server.sync(0, []).await.diffs.iter().map(|diff| diff.json_data.len()).sum();
    assert!(log * 10 <= rows * 13, "{log} bytes for {rows} of live rows");
    assert_eq!(server.sync(0, []).await.diffs.len(), 20);
}

async fn the_horizon_does_not_pass_a_follower<D: Cursors>(aging: Aging<D>) {
    let server = &aging.server;
    // It handles everything before this tick, and no more.
    let most = Arc::new(AtomicI64::new(0));
    let may = Arc::clone(&most);
    let follower = server.mobync.follow("mailer", move |_, entries: Vec<Diff>| {
        let is_late = entries.iter().any(|it| it.logical_clock >= may.load(Ordering::Relaxed));
        async move { if is_late { Err("not yet") } else { Ok(()) } }
    });
    let pause = Duration::from_millis(5);
    let follower = follower.batch(1).pauses(pause, pause).sweep_each(pause);
    let following = tokio::spawn(follower.run());
    tokio::time::sleep(Duration::from_millis(200)).await;
    for n in 0..6 {
        server.sync(n, [create(&format!("t{n}"), json!({"a": n}))]).await;
        // The database of seven methods knows a follower once it has queried the owner.
        tokio::time::sleep(Duration::from_millis(50)).await;
        aging.on_day(n + 1);
        aging.compact().await;
    }
    aging.on_day(100);
    for clock in [0, 3, 6] {
        most.store(clock, Ordering::Relaxed);
        for tries in 0.. {
            let Compacted { horizon, .. } = aging.compact().await;
            assert!(horizon <= clock, "{horizon} is behind {clock}");
            if horizon == clock {
                break;
            }
            assert!(tries < 500, "{horizon} does not come to {clock}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    following.abort();
}

async fn a_follower_that_is_gone_is_told_of_and_can_be_removed<D: Cursors>(aging: Aging<D>) {
    let server = &aging.server;
    for n in 0..3 {
        server.sync(n, [create(&format!("t{n}"), json!({"a": n}))]).await;
    }
    let (told, mut handled) = tokio::sync::mpsc::unbounded_channel();
    let follower = server.mobync.follow("mailer", move |_, _: Vec<Diff>| {
        let _ = told.send(());
        async { Ok::<_, std::convert::Infallible>(()) }
    });
    let following = tokio::spawn(follower.sweep_each(Duration::from_millis(5)).run());
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.sync(3, [create("t3", json!({}))]).await;
    handled.recv().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    following.abort();
    let _ = following.await;

    // It is gone, and the log goes on.
    for n in 4..8 {
        server.sync(n, [create(&format!("t{n}"), json!({"a": n}))]).await;
    }
    aging.compact().await;
    aging.on_day(40);
    let (lines, listening) = Lines::listen();
    for _ in 0..2 {
        let compacted = aging.compact().await;
        assert!(compacted.waits && compacted.horizon <= 4, "{compacted:?}");
        assert!(lines.take().contains("kept for a follower"));
    }
    server.mobync.unfollow("another").await.unwrap_or_default();
    assert!(aging.compact().await.waits);
    lines.take();
    if let Err(error) = server.mobync.unfollow("mailer").await {
        // The seven methods cannot list owners.
        assert_eq!(error.code(), "internal");
        let mut unit = server.mobync.database().open(&ada(), mobync::Access::Write).await.unwrap();
        let cursor = Change::delete("diffs_followers", "mailer");
        super::support::make(&mut unit, cursor).await.unwrap();
        unit.commit().await.unwrap();
    }
    let compacted = aging.compact().await;
    assert_eq!((compacted.waits, compacted.horizon), (false, 8));
    assert!(!lines.take().contains("kept for a follower"));
    drop(listening);
    server.mobync.unfollow("mailer").await.unwrap_or_default();
}

async fn a_follower_that_begins_late_gets_what_is_left<D: Cursors>(aging: Aging<D>) {
    let server = &aging.server;
    server.sync(0, [create("t1", json!({"a": 0, "b": 1}))]).await;
    for n in 1..40 {
        server.sync(n, [update("t1", json!({"a": n})).at(n)]).await;
    }
    aging.compact().await;
    aging.on_day(1);
    server.sync(40, [update("t1", json!({"a": 40})).at(40)]).await;
    aging.compact().await;
    aging.on_day(80);
    let compacted = aging.compact().await;
    assert_eq!((compacted.horizon, compacted.forgotten), (41, 40));
    let (mut since, mut told) = (0, Vec::new());
    loop {
        let database = server.mobync.database();
        let news = database.entries("diffs", &ada(), since, 3).await.unwrap();
        let changes = news.entries.iter().filter(|entry| entry.model != "diffs");
        told.extend(changes.map(super::support::line));
        let Some(last) = news.entries.last() else { break };
        since = last.logical_clock + 1;
        if !news.more {
            break;
        }
    }
    assert_eq!(told, [r#"create t1 {"b":1}"#, r#"update t1 {"a":40}"#]);
}

async fn a_dead_life_that_is_older_than_the_log_goes(aging: Aging<impl Database>) {
    let server = &aging.server;
    let mut unit = server.mobync.database().open(&ada(), mobync::Access::Write).await.unwrap();
    for id in ["t1", "t2"] {
        let row = Change::create("tasks", Record::new(id).with("a", 1).with("b", 1));
        super::support::make(&mut unit, row).await.unwrap();
    }
    unit.commit().await.unwrap();
    server.sync(0, [create("t3", json!({}))]).await;
    server
        .sync(1, [update("t1", json!({"a": 2})).at(1), update("t2", json!({"a": 2})).at(1)])
        .await;
    server.sync(2, [update("t1", json!({"a": 3})).at(2), delete("t2").at(2)]).await;
    server.sync(3, [update("t1", json!({"a": 4})).at(3)]).await;
    aging.compact().await;
    aging.on_day(1);
    server.sync(4, [update("t3", json!({"a": 1})).at(4)]).await;
    aging.compact().await;
    aging.on_day(90);
    aging.compact().await;
    let left = [
        "0: create t3",
        // If a life is older than the log, its first entry stays whole.
        r#"1: update t1 {"a":2}"#,
        r#"3: update t1 {"a":4}"#,
        "4: update horizon",
        r#"4: update t3 {"a":1}"#,
    ];
    assert_eq!(aging.log().await, left);
    let back = server.back(0, []).await;
    assert_eq!(back.len(), 2, "{back:?}");
    assert!(
        back.iter().any(|line| line.contains(r#""a":4"#) && line.contains(r#""b":1"#)),
        "{back:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn all_owners_are_compacted_in_the_background_and_one_that_fails_keeps_no_other_waiting() {
    let aging = Aging::new(MemoryDatabase::new());
    let mobync = aging.server.mobync.clone();
    let names = ["ada", "bob", "eve"].map(owner);
    for owner in &names {
        for clock in 0..5 {
            let diff = if clock == 0 {
                create("t1", json!({"a": 0}))
            } else {
                update("t1", json!({"a": clock})).at(clock)
            };
            mobync.apply(owner, clock, diffs([diff])).await.unwrap();
        }
    }
    let keeper = mobync.clone();
    let retention = Retention::new(MONTH).owners_an_hour(60).every(Duration::from_hours(24));
    let keeping = tokio::spawn(async move { keeper.retain(retention).await });
    let own = |owner| {
        let log = mobync.database().records(owner, "diffs");
        log.into_iter().filter(|record| record.get("model") == Some(&json!("diffs"))).count()
    };
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(names.each_ref().map(own), [1, 0, 0], "an owner a minute");
    tokio::time::sleep(Duration::from_mins(3)).await;
    assert_eq!(names.each_ref().map(own), [1, 1, 1]);
    aging.on_day(40);
    tokio::time::sleep(Duration::from_hours(25)).await;
    for owner in &names {
        let error = mobync.apply(owner, 3, Vec::new()).await.unwrap_err();
        assert_eq!(error.code(), "too_old");
        assert_eq!(mobync.apply(owner, 0, Vec::new()).await.unwrap().diffs.len(), 1);
    }
    keeping.abort();
}

/// Where a page has the log's own entries at all.
async fn a_page_says_of_the_log_itself_what_the_log_says(aging: Aging<impl Database>) {
    let database = aging.server.mobync.database();
    for n in 0..12 {
        aging.server.sync(n, [create(&format!("t{n}"), json!({"a": n}))]).await;
        aging.on_day(20 * n);
        aging.compact().await;
    }
    let mut unit = database.open(&ada(), Access::Read).await.unwrap();
    let by_id = |mut entries: Vec<Diff>| {
        entries.sort_by(|left, right| left.id.cmp(&right.id));
        entries
    };
    let own = by_id(unit.own_entries(&ada(), "diffs").await.unwrap());
    assert!(own.len() > 2, "milestones and a horizon: {own:?}");
    for since in 0..12 {
        for limit in 1..30 {
            let query = WindowQuery { limit: Some(limit), ..WindowQuery::since("diffs", since) };
            let window = unit.window(&ada(), query).await.unwrap();
            match window.own {
                Some(told) => {
                    assert!(window.more.is_some(), "the whole window has them");
                    assert_eq!(by_id(told), own, "from {since}, at most {limit}");
                }
                None => assert!(window.entries.iter().all(|entry| entry.logical_clock >= since)),
            }
        }
    }
}

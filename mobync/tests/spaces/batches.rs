//! One request for all spaces that have something to say.

use std::{collections::BTreeSet, time::Duration};

use mobync::{
    Change, Owner, Record,
    client::{NoAnswer, Reply, SyncFailure, Transport},
};
use tokio::time::{Instant, sleep};

use super::town::{Fate, Town, add, device, member_of};

fn names(heard: &[(String, usize)]) -> Vec<&str> {
    heard.iter().map(|(space, _)| &**space).collect()
}

#[tokio::test(start_paused = true)]
async fn without_spaces_plain_requests_are_sent() {
    let town = Town::new();
    let wire = town.wire("ada");
    let ada = device();
    let client = wire.client(&ada);
    add(&ada, "t1").await;
    client.sync().await.unwrap();
    ada.join("club").await.unwrap();
    ada.leave("club").await.unwrap();
    add(&ada, "t2").await;
    client.sync().await.unwrap();
    assert!(wire.bodies.lock().unwrap().iter().all(|body| body.get("syncs").is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_runs_asks_for_all_at_intervals_and_else_only_for_those_with_something_to_say()
 {
    let town = Town::new();
    let spaces: Vec<String> = (0..30).map(|number| format!("s{number:02}")).collect();
    let ada = member_of(&town, "ada", &spaces.iter().map(|name| &**name).collect::<Vec<_>>()).await;
    let wire = town.wire("ada");
    let client = wire.client(&ada);
    tokio::spawn(async move { client.run(Duration::from_mins(10), |_| {}).await });
    sleep(Duration::from_secs(1)).await;
    // The person's own data shows that the token is theirs, before anything of a space goes out.
    let heard = wire.heard();
    assert_eq!(names(&heard[0]), [""]);
    assert_eq!(names(&heard[1]), spaces, "all at once");
    assert_eq!(heard.len(), 2);

    add(&ada.space("s07"), "t1").await;
    sleep(Duration::from_secs(1)).await;
    add(&ada.space("s08"), "t1").await;
    add(&ada.space("s09"), "t1").await;
    add(&ada, "t1").await;
    sleep(Duration::from_secs(1)).await;
    let heard = wire.heard();
    assert_eq!(heard[0], [("s07".to_owned(), 1)]);
    let said: BTreeSet<&str> = heard[1..].iter().flat_map(|heard| names(heard)).collect();
    assert_eq!(said, BTreeSet::from(["", "s08", "s09"]));

    let bob = member_of(&town, "bob", &["s20"]).await;
    add(&bob.space("s20"), "of bob").await;
    town.wire("bob").client(&bob).sync().await.unwrap();
    sleep(Duration::from_mins(10)).await;
    let heard = wire.heard();
    assert_eq!((heard.len(), heard[0].len()), (1, 31), "{heard:?}");
    assert_eq!(ada.space("s20").all("tasks").await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn more_spaces_than_a_server_takes_at_once_go_in_several_requests() {
    for (spaces, most, requests) in [(120, 100, 2), (7, 3, 5), (5, 1, 6), (2, 1, 3)] {
        let town = Town::new();
        let names: Vec<String> = (0..spaces).map(|number| format!("s{number:03}")).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let ada = member_of(&town, "ada", &names).await;
        let wire = town.wire("ada");
        *wire.most.lock().unwrap() = (most, 1 << 24);
        let client = wire.client(&ada);
        client.sync().await.unwrap();
        let first = wire.heard().len();
        for name in &names {
            add(&ada.space(name), "t1").await;
        }
        client.sync().await.unwrap();
        // What was learned about the server is not forgotten.
        let heard = wire.heard();
        assert!(heard.iter().all(|members| members.len() <= most), "{spaces}, {most}: {first}");
        assert!(heard.len() <= requests, "{spaces}, {most}: {heard:?}");
        for name in names {
            assert_eq!(town.tasks(&format!("space {name}")).len(), 1);
        }
    }
}

/// One answer that was too large, or a server with a lower limit for some time.
#[tokio::test(start_paused = true)]
async fn spaces_go_together_again_when_the_server_takes_them() {
    for most in [1, 2, 5] {
        let town = Town::new();
        let names: Vec<String> = (0..8).map(|number| format!("s{number}")).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let ada = member_of(&town, "ada", &names).await;
        let wire = town.wire("ada");
        let client = wire.client(&ada);
        for (most, requests) in [(most, 10), (100, 1)] {
            wire.most.lock().unwrap().0 = most;
            // A lower limit does not cost many refused bodies.
            wire.heard();
            for _ in 0..40 {
                client.sync().await.unwrap();
            }
            let heard = wire.heard();
            let refused = heard.iter().filter(|members| members.len() > most).count();
            assert!(refused * 10 < heard.len(), "{most}: {refused} of {}", heard.len());
            client.sync().await.unwrap();
            let heard = wire.heard().len();
            assert!(heard <= requests, "{most}: {heard}");
        }
    }
}

/// Many changes in many spaces stay below what one body may have.
#[tokio::test(start_paused = true)]
async fn bodies_do_not_become_larger_with_more_spaces() {
    let town = Town::new();
    let spaces = ["a", "b", "c", "d", "e"];
    let ada = member_of(&town, "ada", &spaces).await;
    let wire = town.wire("ada");
    let client = wire.client(&ada);
    client.sync().await.unwrap();
    for space in spaces {
        let task = |number| Record::new(format!("t{number}")).with("name", "x".repeat(20_000));
        let tasks = (0..20).map(|number| Change::create("tasks", task(number)));
        ada.space(space).record(tasks).await.unwrap();
    }
    wire.bodies.lock().unwrap().clear();
    client.sync().await.unwrap();
    for body in &*wire.bodies.lock().unwrap() {
        assert!(body.to_string().len() < 600_000, "{}", body.to_string().len());
    }
    for space in spaces {
        assert_eq!(town.tasks(&format!("space {space}")).len(), 20);
    }
}

/// The bytes of a page are for all members together.
#[tokio::test(start_paused = true)]
async fn spaces_that_are_joined_come_in_pages_which_they_share() {
    let town = Town::new();
    let spaces = ["a", "b", "c", "d"];
    let ada = member_of(&town, "ada", &spaces).await;
    let wire = town.wire("ada");
    let client = wire.client(&ada);
    for space in spaces {
        let owner = Owner::new(format!("space {space}")).unwrap();
        for number in 0..600 {
            let task = Record::new(format!("t{number}"));
            town.mobync.write(&owner, [Change::create("tasks", task)]).await.unwrap();
        }
    }
    let mut status = client.status();
    let seen = tokio::spawn(async move {
        let mut seen = BTreeSet::new();
        while status.changed().await.is_ok() {
            let now = status.borrow_and_update().clone();
            let parts = now.spaces.into_iter().filter(|(_, it)| it.fetched.is_some());
            seen.extend(parts.map(|(space, _)| space));
        }
        seen
    });
    client.sync().await.unwrap();
    for space in spaces {
        assert_eq!(ada.space(space).all("tasks").await.unwrap().len(), 600);
    }
    let bodies = wire.bodies.lock().unwrap().clone();
    let limits: Vec<u64> =
        bodies.iter().filter_map(|body| body["syncs"][0]["limit"].as_u64()).collect();
    assert_eq!(limits[0], 250, "a thousand entries for four: {limits:?}");
    drop(client);
    assert_eq!(seen.await.unwrap(), spaces.map(str::to_owned).into(), "each tells its progress");
}

/// Requests and answers are lost by chance, and each change counts once.
#[tokio::test(start_paused = true)]
async fn whatever_is_lost_on_the_way_each_change_arrives_exactly_once() {
    let spaces = ["a", "b", "c"];
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let town = Town::new();
        let (ada, bob) =
            (member_of(&town, "ada", &spaces).await, member_of(&town, "bob", &["a", "b"]).await);
        let wires = [town.wire("ada"), town.wire("bob")];
        let clients = [wires[0].client(&ada).most_diffs(3), wires[1].client(&bob).most_diffs(2)];
        let mut made = 0;
        for _ in 0..12 {
            let who = random.usize(..2);
            let device = [&ada, &bob][who];
            for _ in 0..random.u8(..6) {
                let space = ["", "a", "b", "c"][random.usize(..if who == 0 { 4 } else { 3 })];
                add(&device.space(space), &format!("{who} {made}")).await;
                made += 1;
            }
            for _ in 0..random.u8(..3) {
                let fate = if random.bool() { Fate::RequestLost } else { Fate::AnswerLost };
                wires[who].fate(fate);
            }
            let _ = clients[who].sync_now().await;
        }
        for wire in &wires {
            wire.fates.lock().unwrap().clear();
        }
        for client in clients.iter().chain(&clients) {
            client.sync().await.unwrap();
        }
        let mut count = 0;
        for owner in ["ada", "bob", "space a", "space b", "space c"] {
            let log = town.mobync.apply(&Owner::new(owner).unwrap(), 0, Vec::new()).await.unwrap();
            let ids: BTreeSet<&str> = log.diffs.iter().map(|diff| &*diff.id).collect();
            assert_eq!(ids.len(), log.diffs.len(), "seed {seed}");
            count += ids.len();
        }
        assert_eq!(count, made, "seed {seed}");
        for space in ["a", "b"] {
            let there = town.tasks(&format!("space {space}"));
            for device in [&ada, &bob] {
                let here = device.space(space).all("tasks").await.unwrap();
                assert_eq!(here, there, "seed {seed}");
            }
        }
    }
}

/// A way of an application's own that was written for a person's own data only.
#[derive(Clone)]
struct Plain(super::town::Wire);

impl Transport for Plain {
    async fn send(&self, request: &mobync::SyncRequest) -> Result<Reply, NoAnswer> {
        self.0.send(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_sends_no_spaces_says_what_is_to_be_implemented() {
    let town = Town::new();
    let ada = member_of(&town, "ada", &["club"]).await;
    let client = mobync::client::Client::new(ada.clone(), Plain(town.wire("ada")));
    add(&ada, "t1").await;
    let failure = client.sync_now().await.unwrap_err();
    assert!(failure.to_string().contains("implement Transport::send_all"), "{failure}");
    assert!(matches!(failure, SyncFailure::Space { .. }));
    assert_eq!(town.tasks("ada").len(), 1);
}

/// Whatever a read-only member changes is undone, and told.
#[tokio::test(start_paused = true)]
async fn what_a_reader_writes_is_refused_and_undone() {
    let town = Town::new();
    let ada = member_of(&town, "ada", &["club"]).await;
    let eve = member_of(&town, "eve", &["club", "home"]).await;
    town.read_only("club", "eve");
    add(&ada.space("club"), "t1").await;
    town.wire("ada").client(&ada).sync().await.unwrap();
    let client = town.wire("eve").client(&eve);
    client.sync().await.unwrap();
    let club = eve.space("club");
    club.update("tasks", Record::new("t1").with("name", "Oat")).await.unwrap();
    add(&club, "t2").await;
    add(&eve.space("home"), "t3").await;
    let synced = client.sync().await.unwrap();
    let codes: Vec<&str> = synced.spaces["club"].refused.iter().map(|it| &*it.code).collect();
    assert_eq!(codes, ["forbidden", "forbidden"]);
    assert_eq!(club.all("tasks").await.unwrap(), town.tasks("space club"));
    assert_eq!(town.tasks("space home").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_space_that_fails_waits_alone_and_all_together_where_nothing_answers() {
    let town = Town::new();
    let spaces = ["a", "b", "c"];
    let ada = member_of(&town, "ada", &spaces).await;
    let wire = town.wire("ada");
    let client = wire.client(&ada);
    client.sync().await.unwrap();
    tokio::spawn(async move { client.run(Duration::from_hours(9), |_| {}).await });
    sleep(Duration::from_secs(1)).await;
    wire.heard();

    let mut busy = super::town::in_member(503, "busy");
    busy["retry_after"] = 60.into();
    wire.fate(Fate::InSpace("b", busy));
    for space in spaces {
        add(&ada.space(space), "t1").await;
    }
    let began = Instant::now();
    sleep(Duration::from_secs(10)).await;
    add(&ada.space("a"), "t2").await;
    // A change does not end the wait for a server that is busy.
    add(&ada.space("b"), "t2").await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(town.tasks("space a").len(), 2);
    assert_eq!(town.tasks("space c").len(), 1);
    assert!(town.tasks("space b").is_empty());
    while town.tasks("space b").len() < 2 {
        sleep(Duration::from_millis(50)).await;
    }
    let waited = began.elapsed().as_secs_f64();
    assert!((60.0..63.0).contains(&waited), "{waited}");

    // Without a network, there is one request at a time for all of them, behind one wait.
    wire.heard();
    for _ in 0..6 {
        wire.fate(Fate::RequestLost);
    }
    for space in spaces {
        add(&ada.space(space), "t3").await;
    }
    sleep(Duration::from_mins(5)).await;
    let heard = wire.heard();
    assert!(heard[1..7].iter().all(|members| names(members) == spaces), "{heard:?}");
    assert!(heard.len() <= 9, "{heard:?}");
    assert_eq!(town.tasks("space c").len(), 2);
}

//! A device that was away for so long that the server no longer keeps what it has missed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use fastrand::Rng;
use mobync::{
    Mobync, Operation, Record,
    client::{Device, MemoryStore, SyncFailure},
    memory::MemoryDatabase,
};
use serde_json::json;

use super::{
    line::{Fate, Line},
    shelf::{self, Shelf},
    support::{T0, ada},
};

fn line() -> Line<MemoryDatabase> {
    Line::to(Mobync::new(MemoryDatabase::new()).time(|| T0 + 1_000_000))
}

fn phone(time: &Arc<AtomicI64>) -> Device<MemoryStore> {
    let time = Arc::clone(time);
    Device::new(MemoryStore::new()).time(move || time.fetch_add(1, Ordering::Relaxed))
}

async fn ids(device: &Device<MemoryStore>) -> BTreeSet<String> {
    device.all("tasks").await.unwrap().iter().map(|task| task.id().to_owned()).collect()
}

/// Makes one valid change to one of the objects.
async fn edit(device: &Device<MemoryStore>, rng: &mut Rng) {
    let id = format!("t{}", rng.u8(..5));
    let record = Record::new(&*id).with(format!("f{}", rng.u8(..2)), rng.u32(..));
    let is_there = device.get("tasks", &id).await.unwrap().is_some();
    match (is_there, rng.u8(..3)) {
        (false, _) => device.create("tasks", record).await.unwrap(),
        (true, 0) => device.delete("tasks", id).await.unwrap(),
        (true, _) => device.update("tasks", record).await.unwrap(),
    }
}

/// Histories of two devices. One of them is away and has changes of its own, some of which were sent and got
/// no answer.
#[tokio::test(start_paused = true)]
async fn whoever_was_away_for_too_long_gets_everything_and_loses_nothing_unsent() {
    let (mut deletes, mut aside) = (0, 0);
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let line = line();
        let time = Arc::new(AtomicI64::new(T0));
        let (here, away) = (phone(&time), phone(&time));
        for _ in 0..rng.u8(1..6) {
            edit(&here, &mut rng).await;
        }
        line.sync(&here).await;
        line.sync(&away).await;
        let clock = away.clock().await.unwrap();

        // The request may arrive; its answer never does.
        let was_sent = rng.bool();
        for _ in 0..rng.u8(..4) {
            edit(&away, &mut rng).await;
        }
        if was_sent && away.has_pending().await.unwrap() {
            let request = away.request(100).await.unwrap();
            if rng.bool() {
                line.mobync.answer(&ada(), request.body()).await.unwrap();
            }
        }
        for _ in 0..rng.u8(..6) {
            edit(if rng.bool() { &here } else { &away }, &mut rng).await;
            if rng.u8(..4) == 0 {
                line.sync(&here).await;
            }
        }
        line.sync(&here).await;

        if here.clock().await.unwrap() == clock {
            // Nothing was missed, so nothing can be missing.
            continue;
        }
        let forgotten = rng.u8(..3) == 0;
        *line.horizon.lock().unwrap() = (clock + 1, forgotten);
        let pending = away.pending().await.unwrap();
        let last = |id: &str| {
            let of_object = |change: &&mobync::client::Pending| {
                change.diff.json_data.contains(&format!(r#""id":"{id}""#))
            };
            pending.iter().rfind(of_object).cloned()
        };
        let before = ids(&away).await;
        line.requests.lock().unwrap().clear();
        // In one sync, or with an app that is restarted in between.
        let client = line.client(&away);
        if rng.bool() {
            line.fates.lock().unwrap().extend([Fate::Arrives, Fate::Arrives, Fate::AnswerLost]);
            let _ = client.sync_now().await;
            line.fates.lock().unwrap().clear();
        }
        line.sync(&away).await;
        line.sync(&here).await;

        let rows = line.mobync.database().records(&ada(), "tasks");
        for device in [&away, &here] {
            assert!(!device.has_pending().await.unwrap(), "seed {seed}");
            assert_eq!(device.all("tasks").await.unwrap(), rows, "seed {seed}");
        }
        let refused = away.refused().await.unwrap();
        assert!(forgotten || refused.is_empty(), "seed {seed}: {refused:?}");
        let sent: Vec<_> = pending.iter().filter(|pending| pending.sent).collect();
        if forgotten && clock > 0 {
            // Changes that may have counted are left to the person.
            assert!(sent.iter().all(|sent| refused.iter().any(|it| it.diff.id == sent.diff.id)));
            assert!(refused.iter().all(|refused| refused.code == "too_old"));
            aside += usize::from(!sent.is_empty());
            continue;
        }
        for id in (0..5).map(|object| format!("t{object}")) {
            let Some(last) = last(&id) else { continue };
            let is_there = rows.iter().any(|row| row.id() == id);
            match last.diff.operation {
                // A delete that was sent counts as it did then.
                Operation::Delete if !last.sent => {
                    deletes += 1;
                    let requests = line.requests.lock().unwrap();
                    assert!(!is_there, "seed {seed}: {id} is back, {requests:#?}");
                }
                Operation::Create if !last.sent => {
                    assert!(before.contains(&id) && is_there, "seed {seed}: {id} is lost");
                }
                _ => {}
            }
        }
    }
    assert!(deletes > 30 && aside > 10, "{deletes} {aside}");
}

/// The pending diffs are sent with the first request from zero, whose answer is whole; without any it comes
/// in pages.
#[tokio::test(start_paused = true)]
async fn what_is_pending_meets_by_its_time_and_without_it_pages_come() {
    for (mine, pending) in [(10, true), (90, true), (0, false)] {
        let time = Arc::new(AtomicI64::new(T0));
        let line = line();
        let (here, away) = (phone(&time), phone(&time));
        here.create("tasks", Record::new("t1").with("name", "Milk")).await.unwrap();
        line.sync(&here).await;
        line.sync(&away).await;
        for task in 0..30 {
            here.create("tasks", Record::new(format!("x{task}"))).await.unwrap();
            line.sync(&here).await;
        }
        time.store(T0 + 1000 + mine, Ordering::Relaxed);
        if pending {
            away.update("tasks", Record::new("t1").with("name", "Oat")).await.unwrap();
        }
        let id = away.pending().await.unwrap().first().map(|pending| pending.diff.id.clone());
        time.store(T0 + 1050, Ordering::Relaxed);
        here.update("tasks", Record::new("t1").with("name", "Soy")).await.unwrap();
        line.sync(&here).await;
        *line.horizon.lock().unwrap() = (20, false);
        line.requests.lock().unwrap().clear();
        line.sync(&away).await;
        line.sync(&here).await;
        let name = if mine > 50 { "Oat" } else { "Soy" };
        for device in [&away, &here] {
            let task = device.get("tasks", "t1").await.unwrap().unwrap();
            assert_eq!(task.get("name"), Some(&json!(name)));
            assert_eq!(ids(device).await.len(), 31);
        }
        let requests = line.requests.lock().unwrap();
        let from_zero: Vec<_> =
            requests.iter().filter(|request| request.logical_clock == 0).collect();
        if let Some(id) = id {
            let pushed = from_zero.iter().find(|request| !request.diffs.is_empty()).unwrap();
            assert_eq!((&*pushed.diffs[0].id, pushed.limit), (&*id, None));
        } else {
            assert!(from_zero.iter().all(|request| request.limit.is_some()));
        }
    }
}

/// A server that always answers so does not cause endless requests.
#[tokio::test(start_paused = true)]
async fn a_server_that_finds_a_new_device_too_old_is_at_fault() {
    let says = json!({"success": false, "message": "Old.", "code": "too_old"});
    let shelf = Shelf { pages: Some(10), ..Shelf::new(25, 10) };
    let device = Device::new(MemoryStore::new());
    shelf.client(&device).sync().await.unwrap();
    shelf.heard();
    for _ in 0..50 {
        shelf.fate(shelf::Fate::Says(410, says.clone()));
    }
    let failure = shelf.client(&device).sync().await.unwrap_err();
    assert!(
        matches!(&failure, SyncFailure::Refused { code, .. } if code == "too_old"),
        "{failure}"
    );
    assert!(shelf.heard().len() < 5);
    assert_eq!(ids(&device).await.len(), 25, "nothing has changed");
}

#[tokio::test(start_paused = true)]
async fn everything_is_fetched_again_and_what_is_unsent_is_kept() {
    let shelf = Shelf { pages: Some(10), ..Shelf::new(25, 10) };
    let device = Device::new(MemoryStore::new());
    let client = shelf.client(&device);
    client.sync().await.unwrap();
    device.create("tasks", Record::new("mine")).await.unwrap();
    shelf.heard();
    client.refetch().await.unwrap();
    let heard: Vec<(i64, usize)> =
        shelf.heard().into_iter().map(|(clock, _, diffs)| (clock, diffs)).collect();
    assert_eq!(heard, [(25, 1), (0, 0), (10, 0), (20, 0)]);
    assert_eq!((ids(&device).await.len(), device.clock().await.unwrap()), (26, 26));
    assert!(!device.has_pending().await.unwrap());

    // Without an answer nothing is removed, however often it is tried.
    device.update("tasks", Record::new("mine").with("name", "x")).await.unwrap();
    shelf.fate(shelf::Fate::Says(
        403,
        json!({"success": false, "message": "No.", "code": "forbidden"}),
    ));
    client.refetch().await.unwrap_err();
    assert_eq!((ids(&device).await.len(), device.pending().await.unwrap().len()), (26, 1));
}

/// Only what was in a request without an answer may have counted: a refusal is an answer.
#[tokio::test(start_paused = true)]
async fn what_was_refused_as_a_whole_cannot_have_counted() {
    let codes = [(401, "unauthenticated"), (403, "forbidden"), (422, "unknown_field")];
    let codes = codes.into_iter().chain([(409, "clock_ahead"), (409, "other_history")]);
    for (status, code) in codes {
        for was_lost in [false, true] {
            let shelf = Shelf::new(5, 10);
            let device = Device::new(MemoryStore::new());
            let client = shelf.client(&device);
            client.sync().await.unwrap();
            device.create("tasks", Record::new("mine")).await.unwrap();
            if was_lost {
                shelf.fate(shelf::Fate::AnswerLost);
                client.sync_now().await.unwrap_err();
            }
            let says = json!({"success": false, "message": "No.", "code": code});
            shelf.fate(shelf::Fate::Says(status, says));
            assert!(!client.sync_now().await.unwrap_err().is_temporary(), "{code}");
            let pending = device.pending().await.unwrap();
            assert_eq!(pending.iter().map(|it| it.sent).collect::<Vec<_>>(), [was_lost], "{code}");

            // Then it is too old, and the ids are forgotten.
            let says = json!({"success": false, "message": "Old.", "code": "too_old",
                              "forgotten": true});
            shelf.fate(shelf::Fate::Says(410, says));
            client.sync().await.unwrap();
            assert_eq!(device.refused().await.unwrap().len(), usize::from(was_lost), "{code}");
            assert!(device.get("tasks", "mine").await.unwrap().is_some(), "{code}");
            assert!(!device.has_pending().await.unwrap(), "{code}");
        }
    }
}

//! First syncs and long absences: in pages, which are applied one by one.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use mobync::{
    Change, Mobync, Owner, Record,
    client::{Device, LocalStore, MemoryStore, SqliteStore},
    memory::MemoryDatabase,
};
use serde_json::json;

use super::{
    shelf::{Fate, Shelf},
    support::Directory,
};

async fn count<S: LocalStore>(device: &Device<S>) -> usize {
    device.all("tasks").await.unwrap().len()
}

fn phone() -> Device<MemoryStore> {
    Device::new(MemoryStore::new())
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_comes_in_pages_and_tells_how_far_it_is() {
    let shelf = Shelf { pages: Some(100), ..Shelf::new(1000, 10) };
    let device = phone();
    let client = shelf.client(&device);
    let mut status = client.status();
    let seen = tokio::spawn(async move {
        let mut seen = Vec::new();
        while status.changed().await.is_ok() {
            seen.push(status.borrow_and_update().clone());
            if !seen.last().unwrap().is_syncing {
                break;
            }
        }
        seen
    });
    tokio::task::yield_now().await;
    client.sync().await.unwrap();
    assert_eq!((count(&device).await, device.clock().await.unwrap()), (1000, 1000));
    let heard = shelf.heard();
    let clocks: Vec<i64> = heard.iter().map(|(clock, ..)| *clock).collect();
    assert_eq!(clocks, (0..10).map(|page| page * 100).collect::<Vec<_>>());
    assert!(heard.iter().all(|(_, limit, diffs)| limit.is_some() && *diffs == 0));
    let last = seen.await.unwrap().pop().unwrap();
    assert_eq!((last.is_syncing, last.fetched), (false, None));
}

#[tokio::test(start_paused = true)]
async fn the_fraction_is_what_has_come_of_all_that_there_is() {
    let shelf = Shelf { pages: Some(300), ..Shelf::new(1000, 10) };
    let device = phone();
    let client = shelf.client(&device);
    let status = client.status();
    for part in [Some(0.3), Some(0.6), Some(0.9), None] {
        let request = device.fetch(300).await.unwrap();
        let reply = mobync::client::Transport::send(&shelf, request.body()).await.unwrap();
        let answer = serde_json::from_slice(&reply.body).unwrap();
        device.take(&request, &answer).await.unwrap();
        // The next request is lost, so that the sync stops at a visible point.
        shelf.fate(Fate::RequestLost);
        let _ = client.sync_now().await;
        let now = status.borrow().clone();
        assert!(!now.is_syncing);
        assert_eq!(now.fetched, part);
    }
}

/// The app is killed, or the network fails, after any page.
#[tokio::test(start_paused = true)]
async fn an_interrupted_first_sync_goes_on_where_it_was() {
    let directory = Directory::new();
    for fate in [Fate::RequestLost, Fate::AnswerLost] {
        let shelf = Shelf { pages: Some(10), ..Shelf::new(95, 10) };
        let file = directory.file();
        let mut most = 0;
        for round in 0.. {
            // Like a new process each time, as far as the store is concerned.
            let device = Device::new(SqliteStore::open(&file).await.unwrap());
            let before = device.clock().await.unwrap();
            shelf.heard();
            // The owner is checked first, once there is data.
            let client = shelf.client(&device);
            let questions = usize::from(round > 0);
            let interrupt = shelf.clone();
            let fate = fate.clone();
            let mut changes = device.changes();
            let interrupting = tokio::spawn(async move {
                let _ = changes.recv().await;
                interrupt.fate(fate);
            });
            let done = client.sync_now().await;
            interrupting.abort();
            shelf.fates.lock().unwrap().clear();
            let clock = device.clock().await.unwrap();
            assert_eq!(i64::try_from(count(&device).await).unwrap(), clock);
            let fetched = shelf.heard().into_iter().skip(questions);
            assert!(fetched.clone().all(|(clock, ..)| clock >= before), "nothing comes twice");
            most = round;
            if done.is_ok() {
                break;
            }
        }
        assert!(most >= 1, "it was interrupted");
        let device = Device::new(SqliteStore::open(&file).await.unwrap());
        assert_eq!((count(&device).await, device.has_more().await.unwrap()), (95, false));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_new_goes_out_behind_the_pages_and_in_no_page_is_anything_sent() {
    let shelf = Shelf { pages: Some(10), ..Shelf::new(35, 10) };
    let device = phone();
    device.create("tasks", Record::new("mine")).await.unwrap();
    shelf.client(&device).sync().await.unwrap();
    let heard: Vec<(i64, usize)> =
        shelf.heard().into_iter().map(|(clock, _, diffs)| (clock, diffs)).collect();
    assert_eq!(heard, [(0, 0), (10, 0), (20, 0), (30, 0), (35, 1)]);
    assert_eq!((count(&device).await, device.clock().await.unwrap()), (36, 36));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_keeps_up_pushes_without_fetching_first() {
    let shelf = Shelf::new(5, 10);
    let device = phone();
    let client = shelf.client(&device);
    client.sync().await.unwrap();
    shelf.heard();
    for change in 0..3 {
        device.create("tasks", Record::new(format!("mine {change}"))).await.unwrap();
        client.sync().await.unwrap();
        let heard = shelf.heard();
        assert_eq!(heard, [(5 + change, None, 1)]);
    }
    // A client that starts again asks for the owner, and learns that nothing was missed.
    device.create("tasks", Record::new("last")).await.unwrap();
    shelf.client(&device).sync().await.unwrap();
    assert_eq!(shelf.heard(), [(7, Some(1), 0), (8, None, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_was_away_for_a_day_fetches_first_whichever_way_its_clock_was_set() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    for (later, fetches) in [(DAY - 1, false), (DAY + 1, true), (-DAY - 1, true)] {
        let shelf = Shelf::new(5, 10);
        let now = Arc::new(AtomicI64::new(10 * DAY));
        let time = Arc::clone(&now);
        let device = phone().time(move || time.load(Ordering::Relaxed));
        let client = shelf.client(&device);
        client.sync().await.unwrap();
        shelf.heard();
        now.fetch_add(later, Ordering::Relaxed);
        device.create("tasks", Record::new("mine")).await.unwrap();
        client.sync().await.unwrap();
        let sizes: Vec<usize> = shelf.heard().iter().map(|(_, _, diffs)| *diffs).collect();
        assert_eq!(sizes, if fetches { vec![0, 1] } else { vec![1] }, "{later}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_of_before_is_synced_with_as_ever() {
    let shelf = Shelf::new(50, 10).of_before();
    let device = phone();
    device.create("tasks", Record::new("mine")).await.unwrap();
    let client = shelf.client(&device);
    client.sync().await.unwrap();
    assert_eq!((count(&device).await, device.has_pending().await.unwrap()), (51, false));
    let heads = |shelf: &Shelf| {
        let requests = shelf.requests.lock().unwrap();
        requests.iter().map(|request| request.head.clone()).collect::<Vec<_>>()
    };
    assert_eq!(heads(&shelf), [Some(String::new()), Some(String::new())]);

    // The server is updated, and has heads; then a process of the old version answers once more.
    let new = Shelf { pages: Some(u64::MAX), ..shelf.clone() };
    let one_more = |id: &str| device.create("tasks", Record::new(id.to_owned()));
    for (server, head) in [(&new, true), (&shelf, false), (&new, true)] {
        one_more(&format!("at {}", device.clock().await.unwrap())).await.unwrap();
        server.client(&device).sync().await.unwrap();
        shelf.heard();
        server.client(&device).sync().await.unwrap();
        let last = server.requests.lock().unwrap().last().unwrap().head.clone().unwrap();
        assert_eq!(!last.is_empty(), head, "{last}");
    }
}

/// Entries are 40 bytes or 100,000: in the end pages have about a MiB, and never fewer than ten entries.
#[tokio::test(start_paused = true)]
async fn pages_are_cut_by_bytes() {
    let shelf = Shelf::new(1200, 10_000);
    let device = phone();
    shelf.client(&device).sync().await.unwrap();
    let limits: Vec<u64> = shelf.heard().into_iter().filter_map(|(_, limit, _)| limit).collect();
    assert_eq!(limits[0], 1000);
    assert!((90..110).contains(limits.last().unwrap()), "{limits:?}");

    // A page that does not arrive is requested again with half the size.
    let shelf = Shelf::new(2000, 10);
    for _ in 0..4 {
        shelf.fate(Fate::RequestLost);
    }
    let device = phone();
    shelf.client(&device).sync().await.unwrap();
    let limits: Vec<u64> = shelf.heard().into_iter().filter_map(|(_, limit, _)| limit).collect();
    assert_eq!(limits[..5], [1000, 500, 250, 125, 62]);
    assert_eq!(count(&device).await, 2000);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_one_is_no_answer() {
    let diff = json!({"id": "x", "owner": "ada", "logical_clock": 11, "utc_timestamp": 1, "type":
        "create", "model": "tasks", "json_data": "{\"id\":\"x\"}"});
    let page = |clock: i64, more: i64, diffs: serde_json::Value| json!({"success": true, "message": "", "logical_clock": clock, "more": more, "diffs": diffs});
    for (what, body) in [
        ("no further than before", page(10, 20, json!([]))),
        ("back", page(9, 20, json!([]))),
        ("more is no more", page(12, 12, json!([diff]))),
        ("more is less", page(12, 11, json!([diff]))),
        ("a tick behind the page", page(11, 20, json!([diff]))),
        ("more is negative", page(12, -1, json!([diff]))),
    ] {
        let shelf = Shelf { pages: Some(10), ..Shelf::new(25, 10) };
        let device = phone();
        let client = shelf.client(&device);
        let request = device.fetch(10).await.unwrap();
        let reply = mobync::client::Transport::send(&shelf, request.body()).await.unwrap();
        device.take(&request, &serde_json::from_slice(&reply.body).unwrap()).await.unwrap();
        let request = device.fetch(10).await.unwrap();
        let refused = device.take(&request, &serde_json::from_value(body).unwrap()).await;
        assert!(refused.is_err(), "{what}");
        assert_eq!((count(&device).await, device.clock().await.unwrap()), (10, 10), "{what}");
        client.sync().await.unwrap();
        assert_eq!(count(&device).await, 25, "{what}");
    }

    // And an answer to a request that has changes.
    let device = phone();
    device.create("tasks", Record::new("mine")).await.unwrap();
    let request = device.request(10).await.unwrap();
    let answer = serde_json::from_value(page(12, 20, json!([diff]))).unwrap();
    device.take(&request, &answer).await.unwrap_err();
    assert!(device.has_pending().await.unwrap());
}

/// Every valid series of changes of one object that is there or not, up to this length; `u` is an update.
fn series(is_there: bool, most: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    if let Some(most) = most.checked_sub(1) {
        for (step, then) in if is_there { [('u', true), ('d', false)] } else { [('c', true); 2] } {
            all.extend(series(then, most).into_iter().map(|rest| format!("{step}{rest}")));
        }
    }
    all.sort();
    all.dedup();
    all
}

fn changes(series: &str, of: &str) -> Vec<Change> {
    let fields = |step: usize| {
        let record = Record::new("t1").with(if step.is_multiple_of(2) { "a" } else { "b" }, step);
        record.with(of, step)
    };
    let change = |(step, kind): (usize, char)| match kind {
        'c' => Change::create("tasks", fields(step).with("a", format!("of {of}"))),
        'u' => Change::update("tasks", fields(step)),
        _ => Change::delete("tasks", "t1"),
    };
    series.chars().enumerate().map(change).collect()
}

/// What a device shows, and what it will send.
async fn state(device: &Device<MemoryStore>) -> (Vec<Record>, Vec<String>) {
    let pending = device.pending().await.unwrap().into_iter();
    let pending = pending.map(|it| format!("{} {}", it.diff.operation, it.diff.json_data));
    (device.all("tasks").await.unwrap(), pending.collect())
}

/// For any missed history of an object and any pending changes of it, pages of every size have the same
/// result as one answer.
#[tokio::test]
async fn pages_of_every_size_settle_pending_changes_as_one_answer_does() {
    const SIZES: [u64; 5] = [1000, 1, 2, 3, 4];
    let ada = Owner::new("ada").unwrap();
    let mut seen = 0;
    for is_there in [false, true] {
        for (past, mine) in series(is_there, 5)
            .into_iter()
            .flat_map(|past| series(is_there, 3).into_iter().map(move |mine| (past.clone(), mine)))
        {
            for at in [5, i64::MAX] {
                let what = format!("there {is_there}, missed {past}, pending {mine}, at {at}");
                let server = Mobync::new(MemoryDatabase::new());
                let first = if is_there { "t1" } else { "other" };
                server.write(&ada, [Change::create("tasks", Record::new(first))]).await.unwrap();
                let devices = SIZES.map(|_| phone().time(move || at));
                for device in &devices {
                    let request = device.request(10).await.unwrap();
                    let answer = server.answer(&ada, request.body()).await.unwrap();
                    device.take(&request, &answer).await.unwrap();
                    for change in changes(&mine, "mine") {
                        device.record([change]).await.unwrap();
                    }
                }
                for change in changes(&past, "theirs") {
                    server.write(&ada, [change]).await.unwrap();
                }
                for (device, size) in devices.iter().zip(SIZES) {
                    loop {
                        let request = device.fetch(size).await.unwrap();
                        let answer = server.answer(&ada, request.body()).await.unwrap();
                        device.take(&request, &answer).await.unwrap();
                        if !device.has_more().await.unwrap() {
                            break;
                        }
                        // Nothing is sent before it has met all of the past.
                        let next = device.request(10).await.unwrap();
                        assert!(next.body().diffs.is_empty(), "{what}");
                    }
                    let one_answer = state(&devices[0]).await;
                    assert_eq!(state(device).await, one_answer, "{what}, pages of {size}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 500, "{seen}");
}

#[tokio::test]
async fn a_pending_create_outlives_another_life_that_began_and_ended_in_two_pages() {
    let ada = Owner::new("ada").unwrap();
    let server = Mobync::new(MemoryDatabase::new());
    let device = phone();
    device.create("tasks", Record::new("t1").with("name", "mine")).await.unwrap();
    server.write(&ada, [Change::create("tasks", Record::new("t1"))]).await.unwrap();
    server.write(&ada, [Change::delete("tasks", "t1")]).await.unwrap();
    while {
        let request = device.fetch(1).await.unwrap();
        let answer = server.answer(&ada, request.body()).await.unwrap();
        device.take(&request, &answer).await.unwrap();
        device.has_more().await.unwrap()
    } {}
    let request = device.request(10).await.unwrap();
    let answer = server.answer(&ada, request.body()).await.unwrap();
    device.take(&request, &answer).await.unwrap();
    let other = phone();
    let request = other.request(10).await.unwrap();
    let answer = server.answer(&ada, request.body()).await.unwrap();
    other.take(&request, &answer).await.unwrap();
    for device in [device, other] {
        let task = device.get("tasks", "t1").await.unwrap().unwrap();
        assert_eq!(task.get("name"), Some(&json!("mine")));
    }
}

/// Its server is restored while a pending create waits for the last page.
#[tokio::test]
async fn a_create_that_waits_for_the_last_page_meets_its_object_also_on_a_restored_server() {
    for (mine, expected) in [(1, "theirs"), (i64::MAX / 2, "mine")] {
        let server = || Mobync::new(MemoryDatabase::new()).time(|| 1_000_000);
        let (before, restored, ada) = (server(), server(), Owner::new("ada").unwrap());
        let theirs = Record::new("t1").with("name", "theirs").with("note", "kept");
        before.write(&ada, [Change::create("tasks", theirs)]).await.unwrap();
        before.write(&ada, [Change::create("tasks", Record::new("t2"))]).await.unwrap();

        let device = phone().time(move || mine);
        device.create("tasks", Record::new("t1").with("name", "mine")).await.unwrap();
        let request = device.fetch(1).await.unwrap();
        device.take(&request, &before.answer(&ada, request.body()).await.unwrap()).await.unwrap();
        assert!(device.has_more().await.unwrap());

        device.resync().await.unwrap();
        let request = device.request(1000).await.unwrap();
        let answer = restored.answer(&ada, request.body()).await.unwrap();
        device.take(&request, &answer).await.unwrap();
        let record = Record::new("t1").with("name", expected).with("note", "kept");
        assert_eq!(device.get("tasks", "t1").await.unwrap(), Some(record.clone()), "{mine}");
        assert_eq!(restored.read(&ada, "tasks", &[]).await.unwrap(), [record], "{mine}");
    }
}

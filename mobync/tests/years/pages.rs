//! First syncs and long absences: in pages, which are applied one by one.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use mobync::{
    Record,
    client::{Device, LocalStore, MemoryStore, SqliteStore},
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
            seen.push(*status.borrow_and_update());
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
        // What comes next is lost, so that the sync stops where it can be seen.
        shelf.fate(Fate::RequestLost);
        let _ = client.sync_now().await;
        let now = *status.borrow();
        assert!(!now.is_syncing);
        assert_eq!(now.fetched, part);
    }
}

/// The app is killed, or the network breaks, behind any page.
#[tokio::test(start_paused = true)]
async fn an_interrupted_first_sync_goes_on_where_it_was() {
    let directory = Directory::new();
    for fate in [Fate::RequestLost, Fate::AnswerLost] {
        let shelf = Shelf { pages: Some(10), ..Shelf::new(95, 10) };
        let file = directory.file();
        let mut most = 0;
        for round in 0.. {
            // A process of its own each time, as far as the store goes.
            let device = Device::new(SqliteStore::open(&file).await.unwrap());
            let before = device.clock().await.unwrap();
            shelf.heard();
            // Whose data it is comes first, once there is something.
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
    // A client that starts again asks whose data it is, and hears that nothing was missed.
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

    // The server is updated, and has heads; and then one process of the old version answers again.
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

/// Entries are 40 bytes or 100,000: pages have about a MiB in the end, and never fewer than ten entries.
#[tokio::test(start_paused = true)]
async fn pages_are_cut_by_bytes() {
    let shelf = Shelf::new(1200, 10_000);
    let device = phone();
    shelf.client(&device).sync().await.unwrap();
    let limits: Vec<u64> = shelf.heard().into_iter().filter_map(|(_, limit, _)| limit).collect();
    assert_eq!(limits[0], 1000);
    assert!((90..110).contains(limits.last().unwrap()), "{limits:?}");

    // What does not arrive is tried again with half as much.
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

    // And one to a request that has changes.
    let device = phone();
    device.create("tasks", Record::new("mine")).await.unwrap();
    let request = device.request(10).await.unwrap();
    let answer = serde_json::from_value(page(12, 20, json!([diff]))).unwrap();
    device.take(&request, &answer).await.unwrap_err();
    assert!(device.has_pending().await.unwrap());
}

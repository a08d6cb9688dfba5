//! What is waited for, and what ends a wait.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use mobync::{
    Record,
    client::{Client, Device, MemoryStore, Reply, SyncFailure},
};
use tokio::time::{Instant, sleep, timeout};

use super::way::{Way, add, device, reply};

fn waits(way: &Way) -> Vec<f64> {
    let sent = way.sent.lock().unwrap();
    sent.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect()
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_a_day_is_given_minutes() {
    for asked in [0, 1, 299, 300, 301, 3600, 86_400, 1 << 31, u64::MAX / 2, u64::MAX] {
        for (status, body) in
            [(503, r#"{"success":false,"message":"","code":"busy"}"#), (429, "no")]
        {
            let way = Way::new();
            let retry_after = Some(Duration::from_secs(asked));
            way.fate(Ok(Reply { retry_after, ..reply(status, body) }));
            way.client(&device(&["a"]).await).sync().await.unwrap();
            let wait = waits(&way)[0];
            let least = Duration::from_secs(asked.min(300)).as_secs_f64();
            assert!((least..least + 2.0).contains(&wait), "{asked}: {wait}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_occasion_ends_a_wait_and_what_was_asked_for_is_forgotten() {
    let way = Way::new();
    let retry_after = Some(Duration::from_mins(4));
    way.fate(Ok(Reply { retry_after, ..reply(503, "") }));
    for _ in 0..4 {
        way.fate(Err("no network"));
    }
    let client = way.client(&device(&["a"]).await);
    let syncing = tokio::spawn({
        let client = client.clone();
        async move { client.sync().await }
    });
    sleep(Duration::from_secs(5)).await;
    client.wake();
    sleep(Duration::from_mins(1)).await;
    syncing.await.unwrap().unwrap();
    let waits = waits(&way);
    assert!((4.9..5.1).contains(&waits[0]), "{waits:?}");
    assert!(waits[1] < 2.0, "the waits begin anew: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_does_not_stop_the_tries() {
    for jump in [-86_400_000, -1, 86_400_000, i64::MIN, i64::MAX] {
        let way = Way::new();
        for _ in 0..4 {
            way.fate(Err("no network"));
        }
        let time = Arc::new(AtomicI64::new(1_700_000_000_000));
        let now = Arc::clone(&time);
        let device = Device::new(MemoryStore::new()).time(move || now.load(Ordering::Relaxed));
        add(&device, "a").await;
        let client = way.client(&device);
        let syncing = tokio::spawn(async move { client.sync().await });
        sleep(Duration::from_millis(100)).await;
        time.store(jump, Ordering::Relaxed);
        timeout(Duration::from_secs(30), syncing).await.unwrap().unwrap().unwrap();
        assert_eq!(way.rows("ada"), ["a"]);
        add(&device, "b").await;
    }
}

/// A client that runs, and what it tells.
fn run(client: &Client<MemoryStore, Way>) -> Arc<Mutex<Vec<Result<usize, String>>>> {
    let told: Arc<Mutex<Vec<_>>> = Arc::default();
    let tell = Arc::clone(&told);
    let client = client.clone();
    tokio::spawn(async move {
        let tell = |synced: Result<mobync::client::Synced, SyncFailure>| {
            let line = synced.map(|synced| synced.objects);
            tell.lock().unwrap().push(line.map_err(|failure| failure.to_string()));
        };
        client.run(Duration::from_mins(10), tell).await
    });
    told
}

/// Failures that last until somebody acts, and what mends them on the server.
fn lasting(number: usize) -> (u16, &'static str) {
    [
        (401, "unauthenticated"),
        (403, "forbidden"),
        (409, "clock_ahead"),
        (415, "unsupported_media_type"),
        (422, "unknown_field"),
        (422, "unknown_model"),
        (422, "constraint"),
        (400, "invalid_json"),
    ][number]
}

#[tokio::test(start_paused = true)]
async fn what_was_mended_is_tried_again_behind_pauses_that_grow_and_behind_a_change_at_once() {
    for number in 0..8 {
        let (status, code) = lasting(number);
        let body = format!(r#"{{"success":false,"message":"No.","code":"{code}"}}"#);
        let way = Way::new();
        let client = way.client(&device(&["a"]).await);
        for _ in 0..40 {
            way.fate(Ok(reply(status, body.clone())));
        }
        let told = run(&client);
        sleep(Duration::from_hours(4)).await;
        let pauses: Vec<f64> = waits(&way).into_iter().filter(|pause| *pause > 1.0).collect();
        assert!((30.0..91.0).contains(&pauses[0]), "{code}: {pauses:?}");
        assert!(pauses.iter().all(|pause| *pause < 5401.0), "{code}: {pauses:?}");
        assert!((6..14).contains(&pauses.len()), "{code}: {pauses:?}");
        assert_eq!(told.lock().unwrap()[0], Err("No.".to_owned()), "{code}");

        // Mended, and the person works on; or the app comes to the front.
        way.fates.lock().unwrap().clear();
        let before = Instant::now();
        if number % 2 == 0 {
            add(client.device(), "b").await;
        } else {
            client.wake();
        }
        while client.device().has_pending().await.unwrap() {
            sleep(Duration::from_millis(10)).await;
        }
        assert!(before.elapsed() < Duration::from_secs(1), "{code}: {:?}", before.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_runs_syncs_behind_changes_and_hears_of_others_in_time() {
    let way = Way::new();
    let client = way.client(&device(&[]).await);
    let told = run(&client);
    sleep(Duration::from_secs(1)).await;
    add(client.device(), "a").await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(way.rows("ada"), ["a"]);
    let other = device(&["b"]).await;
    way.of("ada").client(&other).sync().await.unwrap();
    sleep(Duration::from_mins(11)).await;
    assert_eq!(client.device().all("tasks").await.unwrap().len(), 2);
    // Without a network a change is no reason to try before its time.
    for _ in 0..100 {
        way.fate(Err("no network"));
    }
    sleep(Duration::from_mins(30)).await;
    let before = way.sizes().len();
    for key in 0..20 {
        let change = Record::new("a").with("name", key);
        client.device().update("tasks", change).await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    assert!(way.sizes().len() <= before + 1);
    assert!(told.lock().unwrap().iter().any(Result::is_err), "it is told that there is no network");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_repeated_as_it_was_before_newer_changes_go_out() {
    let way = Way::new();
    let device = device(&[]).await;
    let client = way.client(&device);
    client.sync_now().await.unwrap();
    way.sent.lock().unwrap().clear();
    add(&device, "a").await;
    way.fate(Err("no network"));
    client.sync_now().await.unwrap_err();
    add(&device, "b").await;
    client.sync_now().await.unwrap();
    let sent = way.sent.lock().unwrap();
    let ids = |request: usize| -> Vec<&str> {
        sent[request].1.diffs.iter().map(|diff| &*diff.id).collect()
    };
    assert_eq!((ids(0), ids(2).len(), sent.len()), (ids(1), 1, 3));
}

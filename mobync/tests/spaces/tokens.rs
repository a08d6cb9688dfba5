//! The token is the person's, and counts for all spaces.

use std::time::Duration;

use mobync::client::Status;
use tokio::{sync::watch, task::AbortHandle, time::sleep};

use super::town::{Fate, Town, add, failure, member_of};

#[tokio::test(start_paused = true)]
async fn a_token_that_has_run_out_is_renewed_once_for_all() {
    let town = Town::new();
    let ada = member_of(&town, "ada", &["club", "work"]).await;
    let wire = town.wire("ada");
    let client = wire.client(&ada);
    client.sync().await.unwrap();
    for space in ["", "club", "work"] {
        add(&ada.space(space), "t1").await;
    }
    *wire.token.lock().unwrap() = "expired".to_owned();
    wire.heard();
    client.sync_now().await.unwrap();
    let heard = wire.heard();
    // With the new token, the person's own data comes first.
    assert!(heard[1].len() == 1 && heard[1][0].0.is_empty(), "{heard:?}");
    assert_eq!(heard.len(), 4, "{heard:?}");
    for owner in ["ada", "space club", "space work"] {
        assert_eq!(town.tasks(owner).len(), 1);
    }
    // If no token is any good, that is told, and not tried for ever.
    for space in ["", "club", "work"] {
        add(&ada.space(space), "t2").await;
    }
    for token in [&wire.token, &wire.next_token] {
        *token.lock().unwrap() = "expired".to_owned();
    }
    client.sync().await.unwrap_err();
    assert!(wire.heard().len() < 5);
}

/// The new token is another's, who is a member of the same spaces.
#[tokio::test(start_paused = true)]
async fn nothing_of_any_space_is_sent_with_the_token_of_somebody_else() {
    for is_older in [false, true] {
        for changes in [&["", "club"][..], &["club"], &["club", "work"], &[""]] {
            let town = Town::new();
            let ada = member_of(&town, "ada", &["club", "work"]).await;
            let grace = member_of(&town, "grace", &["club", "work"]).await;
            add(&grace, "of grace").await;
            add(&grace.space("club"), "of grace").await;
            town.wire("grace").client(&grace).sync().await.unwrap();
            let wire = town.wire("ada");
            let client = wire.client(&ada);
            add(&ada, "t0").await;
            client.sync().await.unwrap();
            for space in changes {
                add(&ada.space(space), "secret").await;
            }
            *wire.is_older.lock().unwrap() = is_older;
            *wire.token.lock().unwrap() = "expired".to_owned();
            *wire.next_token.lock().unwrap() = "grace".to_owned();
            wire.bodies.lock().unwrap().clear();
            let failed = client.sync_now().await.unwrap_err();
            let what = format!("{changes:?}, older: {is_older}: {failed}");
            for owner in ["grace", "space club", "space work"] {
                let tasks = town.tasks(owner);
                assert!(tasks.iter().all(|task| task.id() != "secret"), "{what}");
            }
            for space in changes {
                assert!(ada.space(space).has_pending().await.unwrap(), "{what}");
            }
            // Behind the first one, which had Ada's old token.
            let bodies = wire.bodies.lock().unwrap().clone();
            if !is_older {
                assert!(bodies[1..].iter().all(|it| !it.to_string().contains("secret")), "{what}");
            }
        }
    }
}

/// Time stands still while a task is busy, so that it has to be stopped.
async fn stop_what_spins(mut status: watch::Receiver<Status>, stop: AbortHandle) {
    for _ in 0..500 {
        if status.changed().await.is_err() {
            return;
        }
    }
    stop.abort();
}

/// The network fails, the token has run out, and the network fails again.
#[tokio::test(start_paused = true)]
async fn a_sync_is_at_rest_while_the_own_data_waits() {
    let town = Town::new();
    let ada = member_of(&town, "ada", &["club"]).await;
    let wire = town.wire("ada");
    let client = wire.client(&ada);
    client.sync().await.unwrap();
    add(&ada, "t1").await;
    add(&ada.space("club"), "t1").await;
    wire.fate(Fate::RequestLost);
    wire.fate(Fate::Says(401, None, failure("unauthenticated", "It has expired.")));
    wire.fate(Fate::RequestLost);
    let syncs = client.clone();
    let running = tokio::spawn(async move { syncs.sync().await });
    tokio::spawn(stop_what_spins(client.status(), running.abort_handle()));
    running.await.unwrap().unwrap();
    assert_eq!((town.tasks("ada").len(), town.tasks("space club").len()), (1, 1));
}

/// Spaces that wait for the person's own data do not keep the client busy until that is due.
#[tokio::test(start_paused = true)]
async fn a_client_that_runs_is_at_rest_while_the_own_data_waits() {
    for next_token in ["expired", "grace"] {
        let town = Town::new();
        let ada = member_of(&town, "ada", &["club", "work"]).await;
        add(&ada, "t0").await;
        let wire = town.wire("ada");
        let pause = Duration::from_mins(30);
        let client = wire.client(&ada).pauses(pause, pause);
        let runs = client.clone();
        let running = tokio::spawn(async move { runs.run(Duration::from_mins(1), |_| {}).await });
        let stopping = tokio::spawn(stop_what_spins(client.status(), running.abort_handle()));
        sleep(Duration::from_secs(10)).await;
        *wire.token.lock().unwrap() = "expired".to_owned();
        *wire.next_token.lock().unwrap() = next_token.to_owned();
        add(&ada, "t1").await;
        add(&ada.space("club"), "t1").await;
        sleep(Duration::from_mins(15)).await;
        assert!(!stopping.is_finished(), "{next_token}: it tries without end");
        assert!(wire.heard().len() < 10, "{next_token}");
        // It goes on with all of them when the person has logged in again.
        for token in [&wire.token, &wire.next_token] {
            *token.lock().unwrap() = "ada".to_owned();
        }
        client.wake();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(town.tasks("space club").len(), 1, "{next_token}");
        running.abort();
    }
}

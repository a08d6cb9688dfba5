//! Two people on one device.

use mobync::{
    Owner, Record,
    client::{Device, DeviceError, MemoryStore, SyncFailure},
};

use serde_json::json;

use super::way::{Way, add, device, reply};

/// What the store has heard of Ada.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ada {
    /// An answer has brought what another device had made.
    Read,
    /// Every answer was empty, for all was made here.
    Wrote,
    /// As that, in more ticks than Grace has.
    WroteMuch,
    /// As that of `Wrote`, and what was made first is gone again.
    WroteAndDeleted,
    /// The application has named her; nothing was synced.
    Named,
}

/// A server that names the owner, and an older one.
const SERVERS: [fn() -> Way; 2] = [Way::new, Way::older];

const ALL: [Ada; 5] = [Ada::Read, Ada::Wrote, Ada::WroteMuch, Ada::WroteAndDeleted, Ada::Named];

async fn of_ada(way: &Way, how: Ada) -> Device<MemoryStore> {
    let device = device(&["ada 1"]).await;
    match how {
        Ada::Named => return device.of_owner(&Owner::new("ada").unwrap()).await.unwrap(),
        Ada::Read => {
            let other = super::way::device(&["ada 0"]).await;
            way.client(&other).sync().await.unwrap();
        }
        Ada::Wrote => {}
        Ada::WroteMuch => {
            // One client, so that nobody asks whose data it is.
            let client = way.client(&device);
            for task in 2..=6 {
                client.sync().await.unwrap();
                add(&device, &format!("ada {task}")).await;
            }
            client.sync().await.unwrap();
            return device;
        }
        Ada::WroteAndDeleted => {
            way.client(&device).sync().await.unwrap();
            device.delete("tasks", "ada 1").await.unwrap();
            way.client(&device).sync().await.unwrap();
            add(&device, "ada 2").await;
        }
    }
    way.client(&device).sync().await.unwrap();
    device
}

fn is_other(failure: &SyncFailure) -> bool {
    // With nothing on the server, or less than before, an older one says so itself.
    failure.is_other_owner() || matches!(failure, SyncFailure::ClockAhead { .. })
}

#[tokio::test(start_paused = true)]
async fn a_store_of_ada_sends_nothing_to_grace_and_reads_nothing_of_hers() {
    for (how, server) in ALL.into_iter().flat_map(|how| SERVERS.map(|server| (how, server))) {
        for graces in 1..=4 {
            for pending in [false, true] {
                let way = server();
                let device = of_ada(&way, how).await;
                let grace = way.of("grace");
                for task in 0..graces {
                    let hers = super::way::device(&[&format!("grace {task}")]).await;
                    grace.client(&hers).sync().await.unwrap();
                }
                if pending {
                    add(&device, "secret").await;
                }
                let owner = device.owner().await.unwrap();
                let before = device.all("tasks").await.unwrap();
                let pending_before = device.pending().await.unwrap().len();
                let what = format!("{how:?}, {graces} of grace, pending {pending}");
                for _ in 0..2 {
                    let synced = grace.client(&device).sync().await;
                    let failure = synced.expect_err(&what);
                    assert!(is_other(&failure), "{what}: {failure}");
                }
                assert_eq!(device.all("tasks").await.unwrap(), before, "{what}");
                assert_eq!(device.pending().await.unwrap().len(), pending_before, "{what}");
                assert!(grace.rows("grace").iter().all(|id| id.starts_with("grace")), "{what}");
                assert_eq!(device.owner().await.unwrap(), owner, "{what}");
                // And Ada goes on.
                way.client(&device).sync().await.unwrap();
                assert!(!device.has_pending().await.unwrap(), "{what}");
            }
        }
    }
}

/// The token runs out while changes are under way, and the new one is another's.
#[tokio::test(start_paused = true)]
async fn a_new_token_of_somebody_else_is_found_out_before_anything_is_sent_with_it() {
    for (how, server) in ALL.into_iter().flat_map(|how| SERVERS.map(|server| (how, server))) {
        let way = server();
        let device = of_ada(&way, how).await;
        let hers = super::way::device(&["g1", "g2", "g3", "g4"]).await;
        way.of("grace").client(&hers).most_diffs(1).sync().await.unwrap();
        let client = way.client(&device);
        let synced = client.sync().await;
        assert!(synced.is_ok(), "{how:?}");
        add(&device, "secret").await;
        *way.token.lock().unwrap() = "expired".to_owned();
        *way.next_token.lock().unwrap() = "grace".to_owned();
        let failure = client.sync().await.unwrap_err();
        assert!(is_other(&failure), "{how:?}: {failure}");
        assert!(!way.rows("grace").contains(&"secret".to_owned()), "{how:?}");
        assert!(device.has_pending().await.unwrap());
    }
}

/// The server no longer keeps what would tell, and its first pages from clock 0 have nothing that goes back.
#[tokio::test(start_paused = true)]
async fn pages_without_changes_do_not_tell_whose_they_are() {
    for empty in 1..=2 {
        let way = Way::older();
        let device = of_ada(&way, Ada::Read).await;
        let grace = way.of("grace");
        let hers = super::way::device(&["g1", "g2", "g3", "g4"]).await;
        grace.client(&hers).most_diffs(1).sync().await.unwrap();
        add(&device, "secret").await;
        grace.sent.lock().unwrap().clear();
        let too_old = json!({"success": false, "code": "too_old", "message": "It was long ago."});
        grace.fate(Ok(reply(410, too_old.to_string())));
        for clock in 1..=empty {
            let page = json!({"success": true, "message": "", "logical_clock": clock, "more": 4, "diffs": []});
            grace.fate(Ok(reply(200, page.to_string())));
        }
        let failure = grace.client(&device).sync().await.unwrap_err();
        let is_other = matches!(failure, SyncFailure::Device(DeviceError::OtherOwner { .. }));
        assert!(is_other, "{failure}");
        assert!(grace.sizes().iter().all(|diffs| *diffs == 0), "nothing is sent");
        assert_eq!(device.pending().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_store_that_is_known_to_be_adas_is_refused_to_grace_at_open() {
    for how in ALL {
        let way = Way::older();
        let device = of_ada(&way, how).await;
        let grace = device.clone().of_owner(&Owner::new("grace").unwrap()).await;
        match how {
            // No answer has said whose it is.
            Ada::Wrote | Ada::WroteMuch => assert!(grace.is_ok()),
            Ada::Read | Ada::WroteAndDeleted | Ada::Named => {
                let failure = grace.unwrap_err();
                assert!(matches!(failure, DeviceError::OtherOwner { .. }), "{failure}");
                let ada = device.of_owner(&Owner::new("ada").unwrap()).await.unwrap();
                assert_eq!(ada.owner().await.unwrap().as_deref(), Some("ada"));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_person_goes_on_with_new_clients_and_tokens() {
    for (how, server) in ALL.into_iter().flat_map(|how| SERVERS.map(|server| (how, server))) {
        let way = server();
        let device = of_ada(&way, how).await;
        for round in 0..4 {
            add(&device, &format!("round {round}")).await;
            *way.token.lock().unwrap() = "expired".to_owned();
            way.client(&device).sync().await.unwrap();
            let change = Record::new("ada 1").with("name", round);
            if device.get("tasks", "ada 1").await.unwrap().is_some() {
                device.update("tasks", change).await.unwrap();
            }
            way.client(&device).sync_now().await.unwrap();
        }
        let all = device.all("tasks").await.unwrap();
        assert_eq!(way.rows("ada").len(), all.len(), "{how:?}");
    }
}

/// Another device has deleted all that this one has made, and has made something else.
#[tokio::test(start_paused = true)]
async fn whoever_has_lost_all_to_another_device_is_still_known() {
    for many in [1, 3, 40] {
        let way = Way::older();
        let ours = device(&[]).await;
        for task in 0..many {
            add(&ours, &format!("ours {task}")).await;
        }
        way.client(&ours).most_diffs(1).sync().await.unwrap();
        let other = device(&[]).await;
        way.client(&other).sync().await.unwrap();
        for task in 0..many {
            other.delete("tasks", format!("ours {task}")).await.unwrap();
        }
        add(&other, "theirs").await;
        way.client(&other).sync().await.unwrap();
        assert_eq!(ours.owner().await.unwrap(), None);
        way.client(&ours).sync().await.unwrap();
        assert_eq!(ours.all("tasks").await.unwrap()[0].id(), "theirs");
    }
}

/// The owner is the right one, and the server has forgotten what it knew.
#[tokio::test(start_paused = true)]
async fn a_restored_server_is_not_taken_for_another_persons() {
    for how in [Ada::Read, Ada::Wrote] {
        let way = Way::new();
        let device = of_ada(&way, how).await;
        add(&device, "later").await;
        way.client(&device).sync().await.unwrap();
        let restored = Way::new();
        let other = super::way::device(&["since"]).await;
        restored.client(&other).sync().await.unwrap();
        let client = restored.client(&device);
        let failure = client.sync().await.unwrap_err();
        assert!(matches!(failure, SyncFailure::ClockAhead { .. }), "{how:?}: {failure}");
        device.resync().await.unwrap();
        client.sync().await.unwrap();
        let rows = restored.rows("ada");
        assert!(rows.contains(&"later".to_owned()) && rows.contains(&"since".to_owned()));
        assert_eq!(device.all("tasks").await.unwrap().len(), rows.len());
    }
}

/// The operator has said that the server was restored. That does not make somebody else's account Ada's.
#[tokio::test(start_paused = true)]
async fn a_client_recovers_by_itself_only_where_the_owner_has_something() {
    for how in ALL {
        for (account, has_some) in
            [("ada", true), ("ada", false), ("grace", true), ("grace", false)]
        {
            let way = Way::new();
            let device = of_ada(&way, how).await;
            if how == Ada::Named {
                way.client(&device).sync().await.unwrap();
            }
            for task in ["later 1", "later 2"] {
                add(&device, task).await;
                way.client(&device).sync().await.unwrap();
            }
            add(&device, "pending").await;
            let restored = Way::new().of(account);
            if has_some {
                restored.client(&super::way::device(&["since"]).await).sync().await.unwrap();
            }
            let clock = device.clock().await.unwrap();
            let is_known = device.owner().await.unwrap().is_some();
            let synced = restored.client(&device).recover(true).sync_now().await;
            let what = format!("{how:?}, {account}, has some: {has_some}");
            if account == "ada" && has_some && is_known {
                synced.expect(&what);
                assert!(restored.rows("ada").contains(&"pending".to_owned()), "{what}");
            } else {
                let failure = synced.expect_err(&what);
                assert!(is_other(&failure), "{what}: {failure}");
                assert_eq!(restored.rows(account).len(), usize::from(has_some), "{what}");
                assert_eq!(device.clock().await.unwrap(), clock, "{what}");
                assert_eq!(device.pending().await.unwrap().len(), 1, "{what}");
            }
        }
    }
}

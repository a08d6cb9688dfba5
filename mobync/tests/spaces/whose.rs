//! A local database is one person's, on one server; and what happens when they log out.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mobync::{
    Change, Owner, Record,
    client::{
        Device, DeviceError, LocalStore, MemoryStore, OtherAccount, SqliteStore, SyncFailure,
    },
};
use tokio::time::sleep;

use super::{
    support::Directory,
    town::{Fate, Town, add, failure, member_of},
};

/// Everything that a local database has.
async fn all<S: LocalStore>(device: &Device<S>) -> Vec<String> {
    let mut all = Vec::new();
    for space in ["", "club", "work"] {
        let device = device.space(space);
        all.push(format!(
            "{:?} {:?} {:?} {}",
            device.all("tasks").await.unwrap(),
            device.pending().await.unwrap(),
            device.refused().await.unwrap(),
            device.clock().await.unwrap(),
        ));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn another_account_is_refused_and_the_database_kept() {
    for (own, club) in [(false, false), (true, false), (false, true), (true, true)] {
        let town = Town::new();
        let ada = member_of(&town, "ada", &["club", "work"]).await;
        town.join("club", "grace");
        add(&ada.space("club"), "t1").await;
        town.wire("ada").client(&ada).sync().await.unwrap();
        for (space, adds) in [("", own), ("club", club)] {
            if adds {
                add(&ada.space(space), "secret").await;
            }
        }
        let before = all(&ada).await;
        let grace = town.wire("grace");
        let client = grace.client(&ada);
        for _ in 0..2 {
            let failure = client.sync().await.unwrap_err();
            assert!(failure.is_other_owner() && !failure.is_temporary(), "{failure}");
            // The server says so itself, and in its own words.
            assert!(matches!(failure, SyncFailure::OtherOwner { .. }), "{failure}");
        }
        assert!(!grace.bodies.lock().unwrap().iter().any(|it| it.to_string().contains("secret")));
        assert_eq!(all(&ada).await, before);
        town.wire("ada").client(&ada).sync().await.unwrap();
        assert!(!ada.has_pending().await.unwrap());
    }
}

/// As with the cookies of a browser: the client does not know that the token is another one.
#[tokio::test(start_paused = true)]
async fn nothing_of_a_space_reaches_an_account_that_has_logged_in_without_a_word() {
    let town = Town::new();
    let ada = member_of(&town, "ada", &["club"]).await;
    town.join("club", "grace");
    let wire = town.wire("ada");
    let client = wire.client(&ada);
    client.sync().await.unwrap();
    "grace".clone_into(&mut wire.token.lock().unwrap());
    add(&ada.space("club"), "secret").await;
    let failed = client.sync().await.unwrap_err();
    assert!(failed.is_other_owner(), "{failed}");
    assert_eq!(town.tasks("space club"), []);
    assert!(ada.space("club").has_pending().await.unwrap());
    "ada".clone_into(&mut wire.token.lock().unwrap());
    client.sync().await.unwrap();
    assert_eq!(town.tasks("space club").len(), 1);
}

/// The token of somebody else is refused by a request with changes, if nothing was known before.
#[tokio::test(start_paused = true)]
async fn what_another_account_refuses_stays_as_it_was() {
    let town = Town::new();
    let ada = member_of(&town, "ada", &[]).await;
    let wire = town.wire("ada");
    let client = wire.client(&ada);
    client.sync().await.unwrap();
    add(&ada, "t1").await;
    wire.fate(Fate::Says(403, None, failure("other_owner", "It belongs to another account.")));
    let failed = client.sync_now().await.unwrap_err();
    assert!(matches!(failed, SyncFailure::OtherOwner { .. }), "{failed}");
    let pending = ada.pending().await.unwrap();
    assert_eq!((pending.len(), pending[0].sent), (1, false), "it did not arrive");
}

#[tokio::test(start_paused = true)]
async fn the_application_may_be_asked_and_may_forget() {
    for choice in [OtherAccount::Keep, OtherAccount::Forget] {
        let town = Town::new();
        let ada = member_of(&town, "ada", &["club"]).await;
        add(&ada, "of ada").await;
        add(&ada.space("club"), "of the club").await;
        town.wire("ada").client(&ada).sync().await.unwrap();
        add(&ada, "unsent").await;
        add(&ada.space("club"), "unsent").await;
        let hers = member_of(&town, "grace", &[]).await;
        add(&hers, "of grace").await;
        town.wire("grace").client(&hers).sync().await.unwrap();

        let before = all(&ada).await;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let asks = Arc::clone(&asked);
        let client = town.wire("grace").client(&ada).other_account(move |unsent| {
            asks.lock().unwrap().push((unsent.own, unsent.spaces.clone(), unsent.total()));
            async move { choice }
        });
        let synced = client.sync().await;
        let club = ("club".to_owned(), 1);
        assert_eq!(*asked.lock().unwrap(), [(1, [club].into(), 2)]);
        if choice == OtherAccount::Keep {
            assert!(synced.unwrap_err().is_other_owner());
            assert_eq!(all(&ada).await, before);
        } else {
            synced.unwrap();
            assert_eq!(ada.all("tasks").await.unwrap(), town.tasks("grace"));
            assert!(ada.spaces().await.unwrap().is_empty());
            assert_eq!(ada.owner().await.unwrap().as_deref(), Some("grace"));
            // And so it goes on.
            add(&ada, "more of grace").await;
            client.sync().await.unwrap();
        }
        for owner in ["grace", "space club"] {
            assert!(town.tasks(owner).iter().all(|task| task.id() != "unsent"));
        }
    }
}

/// The answer is on its way while the person logs out.
#[tokio::test(start_paused = true)]
async fn whatever_is_under_way_when_all_is_destroyed_comes_to_nothing() {
    for after in 0..60 {
        let town = Town::new();
        let ada = member_of(&town, "ada", &["club"]).await;
        let wire = town.wire("ada");
        for space in ["", "club"] {
            add(&ada.space(space), "t1").await;
        }
        let other = member_of(&town, "ada", &["club"]).await;
        add(&other.space("club"), "t2").await;
        town.wire("ada").client(&other).sync().await.unwrap();
        let client = wire.client(&ada);
        let mut changes = ada.space("club").changes();
        let running = tokio::spawn({
            let client = client.clone();
            async move { client.sync().await }
        });
        sleep(Duration::from_millis(after)).await;
        client.destroy().await.unwrap();
        let sent = wire.bodies.lock().unwrap().len();
        sleep(Duration::from_secs(1)).await;
        let ended = running.await.unwrap();
        assert!(matches!(ended, Ok(_) | Err(SyncFailure::Destroyed)), "{after}: {ended:?}");
        assert!(ada.all("tasks").await.unwrap().is_empty(), "{after}");
        assert!(ada.spaces().await.unwrap().is_empty(), "{after}");
        assert_eq!(ada.unsent().await.unwrap().total(), 0, "{after}");
        assert_eq!((ada.owner().await.unwrap(), ada.clock().await.unwrap()), (None, 0), "{after}");
        // Those who listen have seen it go.
        let mut shown = 0_i32;
        while let Ok(step) = changes.try_recv() {
            for object in step.objects {
                shown += if object.record.is_some() { 1 } else { -1 };
            }
        }
        assert!(shown <= 0, "{after}: {shown}");

        // The client has ended, and so has the device. A new one begins as a new device does.
        assert!(matches!(client.sync_now().await, Err(SyncFailure::Destroyed)), "{after}");
        assert_eq!(wire.bodies.lock().unwrap().len(), sent, "{after}");
        assert!(matches!(wire.client(&ada).sync_now().await, Err(SyncFailure::Destroyed)));
        let grace = Device::new(ada.store().clone());
        add(&grace, "of grace").await;
        town.wire("grace").client(&grace).sync().await.unwrap();
        assert_eq!(grace.owner().await.unwrap().as_deref(), Some("grace"), "{after}");
    }
}

/// Whatever part of an application has kept a device, and comes too late with it.
async fn what_comes_too_late_changes_nothing<S: LocalStore + Clone>(device: &Device<S>) {
    let late = |ended: Result<(), DeviceError>| {
        assert!(matches!(ended, Err(DeviceError::Destroyed)), "{ended:?}");
    };
    for space in ["", "club", "work", "new"] {
        let device = device.space(space).clone();
        late(device.create("tasks", Record::new("late")).await);
        late(device.record([Change::create("tasks", Record::new("late"))]).await);
        late(device.join("club").await);
        late(device.leave("club").await.map(drop));
        late(device.request(10).await.map(drop));
        late(device.resync().await);
        late(device.destroy().await);
    }
    late(device.clone().of_owner(&Owner::new("ada").unwrap()).await.map(drop));
    let new = Device::new(device.store().clone());
    assert_eq!(all(&new).await, vec!["[] [] [] 0"; 3]);
    assert!(new.spaces().await.unwrap().is_empty());
    add(&new, "of the next").await;
    late(device.update("tasks", Record::new("of the next").with("name", "late")).await);
    late(device.destroy().await);
    assert_eq!(new.pending().await.unwrap().len(), 1);
    new.join("work").await.unwrap();
    assert!(new.space("work").refused().await.unwrap().is_empty());
}

async fn destroyed<S: LocalStore + Clone>(device: Device<S>) {
    for space in ["club", "work"] {
        device.join(space).await.unwrap();
        add(&device.space(space), "t1").await;
    }
    add(&device, "t1").await;
    device.leave("work").await.unwrap();
    assert_eq!(device.space("work").refused().await.unwrap().len(), 1);
    let unsent = device.unsent().await.unwrap();
    assert_eq!(unsent.total(), 3);
    assert_eq!(
        (unsent.own, unsent.spaces, unsent.set_aside, device.spaces().await.unwrap().len()),
        (1, [("club".to_owned(), 1)].into(), [("work".to_owned(), 1)].into(), 2)
    );
    // Also when the space is joined again, until the person has seen it.
    device.join("work").await.unwrap();
    add(&device.space("work"), "t2").await;
    assert_eq!(device.unsent().await.unwrap().total(), 4);
    let aside = device.space("work").refused().await.unwrap().remove(0);
    device.space("work").dismiss(&aside.diff.id).await.unwrap();
    assert_eq!(device.unsent().await.unwrap().total(), 3);
    device.leave("work").await.unwrap();
    assert_eq!(device.unsent().await.unwrap().total(), 3);
    device.destroy().await.unwrap();
    assert_eq!(all(&device).await, vec!["[] [] [] 0"; 3]);
    assert!(device.spaces().await.unwrap().is_empty());
    what_comes_too_late_changes_nothing(&device).await;
}

#[tokio::test]
async fn nothing_is_left_of_anything_that_is_destroyed() {
    destroyed(Device::new(MemoryStore::new())).await;
    let directory = Directory::new();
    destroyed(Device::new(SqliteStore::open(directory.file()).await.unwrap())).await;
}

#[tokio::test]
async fn a_store_is_of_one_server_once_it_is_named_wherever_that_moves() {
    let store = MemoryStore::new();
    let device = Device::new(store.clone()).of_server("production").await.unwrap();
    device.create("tasks", Record::new("t1")).await.unwrap();
    for _ in 0..2 {
        let other = Device::new(store.clone()).of_server("test").await.unwrap_err();
        assert!(matches!(other, DeviceError::OtherServer { .. }), "{other}");
        let device = Device::new(store.clone()).of_server("production").await.unwrap();
        assert_eq!(device.pending().await.unwrap().len(), 1);
    }
    device.destroy().await.unwrap();
    Device::new(store).of_server("test").await.unwrap();
}

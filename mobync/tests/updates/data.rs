//! What an update does to the data of a device.

use std::sync::atomic::Ordering::SeqCst;

use fastrand::Rng;
use mobync::{
    Access, Record,
    client::{Device, DeviceError, LocalStore, LocalUnit, MemoryStore, SqliteStore},
};

use super::{
    drawn::Drawn,
    failing::Failing,
    seeds,
    support::Directory,
    world::{Phone, Server, Wire},
};

/// Everything that a store has.
async fn all(store: &impl LocalStore) -> String {
    let mut unit = store.begin(Access::Read).await.unwrap();
    let mut state = unit.state().await.unwrap();
    state.attempt = 0;
    format!(
        "{state:?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
        unit.objects(None).await.unwrap(),
        unit.pending(usize::MAX).await.unwrap(),
        unit.refused().await.unwrap(),
        unit.overridden().await.unwrap()
    )
}

async fn copy(from: &impl LocalStore, to: &impl LocalStore) {
    let mut from = from.begin(Access::Read).await.unwrap();
    let mut to = to.begin(Access::Write).await.unwrap();
    to.set_state(&from.state().await.unwrap()).await.unwrap();
    for located in from.objects(None).await.unwrap() {
        to.set_object(&located.model, &located.id, &located.object).await.unwrap();
    }
    for pending in from.pending(usize::MAX).await.unwrap() {
        to.set_pending(&pending).await.unwrap();
    }
    for refused in from.refused().await.unwrap() {
        to.set_refused(&refused).await.unwrap();
    }
    for lost in from.overridden().await.unwrap() {
        to.set_overridden(&lost).await.unwrap();
    }
    to.commit().await.unwrap();
}

/// A device that has been used, together with another one.
async fn used(seed: u64) -> (Drawn, Phone, Wire) {
    let mut rng = Rng::with_seed(seed);
    let drawn = Drawn::new(&mut rng);
    let version = rng.u64(1..drawn.newest());
    let wire = Wire::new(Server::new(&drawn, version), seed);
    let mut phones =
        [Phone::new(&drawn, version, 0, &wire).await, Phone::new(&drawn, version, 1, &wire).await];
    for phone in &mut phones {
        phone.sync().await;
    }
    wire.lost.store(25, SeqCst);
    for _ in 0..rng.usize(5..60) {
        let place = rng.usize(..2);
        match rng.u8(..5) {
            0 => drop(phones[place].sync().await),
            _ => phones[place].edit(&drawn, &mut rng).await,
        }
    }
    let [phone, _] = phones;
    (drawn, phone, wire)
}

#[tokio::test]
async fn updates_one_after_the_other_do_what_one_update_does() {
    let (mut sent, mut refused, mut overridden) = (0, 0, 0);
    for seed in seeds(300) {
        let (drawn, mut phone, wire) = used(seed).await;
        sent += phone.device().pending().await.unwrap().iter().filter(|it| it.sent).count();
        refused += phone.device().refused().await.unwrap().len();
        overridden += phone.device().overridden().await.unwrap().len();
        let before = phone.rows(&drawn).await;
        let (first, newest) = (phone.version, drawn.newest());
        let at_once = phone.store.copy().await;
        Device::new(at_once.clone()).schema(drawn.schema(newest)).await.unwrap();
        for version in first + 1..=newest {
            phone.update(&drawn, version, &wire).await;
        }
        assert_eq!(all(&phone.store).await, all(&at_once).await, "seed {seed}");
        let after = phone.rows(&drawn).await;
        assert_eq!(
            drawn.common(&after, first, newest),
            drawn.common(&before, first, newest),
            "seed {seed}"
        );
        // Once more, it changes nothing.
        Device::new(at_once.clone()).schema(drawn.schema(newest)).await.unwrap();
        assert_eq!(all(&phone.store).await, all(&at_once).await, "seed {seed}");
    }
    assert!(sent > 20 && refused > 5 && overridden > 5, "{sent} {refused} {overridden}");
}

async fn is_killed_anywhere<S: LocalStore + Clone>(seed: u64, store: S) {
    let (drawn, phone, _) = used(seed).await;
    copy(&phone.store, &store).await;
    let old = all(&store).await;
    let schema = drawn.schema(drawn.newest());
    let updated = phone.store.copy().await;
    Device::new(updated.clone()).schema(schema.clone()).await.unwrap();
    let new = all(&updated).await;
    for calls in 0.. {
        let failing = Failing::new(store.clone(), calls);
        let opened = Device::new(failing.clone()).schema(schema.clone()).await;
        let left = all(&store).await;
        if opened.is_ok() {
            assert!(!failing.has_failed(), "seed {seed}");
            assert_eq!(left, new, "seed {seed}");
            assert!(calls > 3, "seed {seed}");
            return;
        }
        assert!(left == old || left == new, "seed {seed}, killed at call {calls}: {left}");
    }
}

#[tokio::test]
async fn an_update_that_is_killed_at_any_call_has_happened_or_begins_again() {
    for seed in seeds(40) {
        is_killed_anywhere(seed, MemoryStore::new()).await;
    }
    for seed in seeds(5) {
        let directory = Directory::new();
        is_killed_anywhere(seed, SqliteStore::open(directory.file()).await.unwrap()).await;
    }
}

#[tokio::test]
async fn an_app_that_is_older_than_its_data_refuses_and_changes_nothing() {
    for seed in seeds(20) {
        let (drawn, mut phone, wire) = used(seed).await;
        let (old, version) = (phone.device().clone(), phone.version);
        let newest = drawn.newest();
        phone.update(&drawn, newest, &wire).await;
        let before = all(&phone.store).await;
        let is_newer = |failure: DeviceError, version| {
            assert!(
                matches!(failure, DeviceError::NewerData { data, app } if (data, app) == (newest, version)),
                "{failure}"
            );
        };
        for version in 1..newest {
            let opened = Device::new(phone.store.clone()).schema(drawn.schema(version)).await;
            is_newer(opened.unwrap_err(), version);
        }
        // Neither one that was open when another process has updated the data, nor one without a schema.
        for (device, version) in [(old, version), (Device::new(phone.store.clone()), 1)] {
            is_newer(device.get("tasks", "t1").await.unwrap_err(), version);
            is_newer(device.create("tasks", Record::new("t1")).await.unwrap_err(), version);
            is_newer(device.request(10).await.unwrap_err(), version);
            is_newer(device.resync().await.unwrap_err(), version);
        }
        assert_eq!(all(&phone.store).await, before, "seed {seed}");
    }
}

//! Devices of several versions and a server go on together, while all of them are updated.

use std::{collections::BTreeMap, sync::atomic::Ordering::SeqCst};

use fastrand::Rng;

use super::{
    drawn::Drawn,
    seeds,
    world::{Phone, Server, Wire},
};

/// Laws *Projection* and *Exactly once*, and of *Kept* that no pending diff is lost.
#[tokio::test]
async fn devices_of_all_versions_have_what_the_server_has_and_everything_counts_once() {
    for seed in seeds(300) {
        let mut rng = Rng::with_seed(seed);
        let drawn = Drawn::new(&mut rng);
        let newest = drawn.newest();
        let wire = Wire::new(Server::new(&drawn, rng.u64(1..=newest)), seed);
        let mut phones = Vec::new();
        for name in 0..3 {
            let mut phone = Phone::new(&drawn, rng.u64(1..=newest), name, &wire).await;
            assert!(phone.sync().await);
            phones.push(phone);
        }
        wire.lost.store(20, SeqCst);
        for _ in 0..rng.usize(10..60) {
            let place = rng.usize(..phones.len());
            let phone = &mut phones[place];
            match rng.u8(..20) {
                0..=11 => phone.edit(&drawn, &mut rng).await,
                12..=16 => drop(phone.sync().await),
                17 | 18 => {
                    let version = rng.u64(phone.version..=newest);
                    phone.update(&drawn, version, &wire).await;
                }
                _ => {
                    let mut server = wire.server.lock().await;
                    let version = rng.u64(server.version..=newest);
                    server.update(&drawn, version).await;
                }
            }
        }
        wire.lost.store(0, SeqCst);
        wire.server.lock().await.update(&drawn, newest).await;
        check(seed, &drawn, &mut phones, &wire).await;
        for phone in &mut phones {
            phone.update(&drawn, newest, &wire).await;
        }
        check(seed, &drawn, &mut phones, &wire).await;
    }
}

async fn check(seed: u64, drawn: &Drawn, phones: &mut [Phone], wire: &Wire) {
    for _ in 0..2 {
        for phone in &mut *phones {
            assert!(phone.sync().await, "seed {seed}");
        }
    }
    let server = wire.server.lock().await;
    let rows = server.rows(drawn);
    for (name, phone) in phones.iter().enumerate() {
        assert!(phone.device().pending().await.unwrap().is_empty(), "seed {seed}");
        let (own, newest) = (phone.version, server.version);
        let seen = drawn.common(&phone.rows(drawn).await, own, newest);
        assert_eq!(
            seen,
            drawn.common(&rows, own, newest),
            "seed {seed}, device {name} of version {own}\n{:?}",
            drawn.schema(newest).steps()
        );
        assert!(phone.device().fetch_beside(1).await.unwrap().is_none(), "seed {seed}");
    }
    let mut times = BTreeMap::<String, usize>::new();
    for entry in server.log().await {
        *times.entry(entry.id).or_default() += 1;
    }
    for diff in phones.iter().flat_map(|phone| &phone.diffs) {
        assert_eq!(times.get(&diff.id), Some(&1), "seed {seed}: {diff:?}");
    }
}

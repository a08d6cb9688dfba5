//! A server that has lost everything, and devices of different age that bring it back: each value is the
//! newest one that any of them had.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use fastrand::Rng;
use mobync::{
    Mobync, Record,
    client::{Device, MemoryStore},
    memory::MemoryDatabase,
};

use super::{
    line::Line,
    support::{T0, ada},
};

/// The clocks are right, and who changes something syncs. So of two devices the one with the greater clock
/// has the newer state, whether its objects have come as creates or as updates, or are its own.
#[tokio::test(start_paused = true)]
async fn the_newest_state_that_a_device_had_wins() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let now = Arc::new(AtomicI64::new(T0));
        let server = || {
            let now = Arc::clone(&now);
            Line::to(Mobync::new(MemoryDatabase::new()).time(move || now.load(Ordering::Relaxed)))
        };
        let phone = || {
            let now = Arc::clone(&now);
            Device::new(MemoryStore::new()).time(move || now.fetch_add(1, Ordering::Relaxed))
        };
        let line = server();
        let mut phones = [phone(), phone(), phone(), phone()];
        for value in 0..rng.u32(1..25) {
            now.fetch_add(rng.i64(0..50), Ordering::Relaxed);
            let place = rng.usize(..phones.len());
            match rng.u8(..10) {
                // It fetches everything again, or is installed anew, so that all comes as creates.
                0 => drop(phones[place].begin_anew().await.unwrap()),
                1 => phones[place] = phone(),
                2..5 => {}
                _ => {
                    line.sync(&phones[place]).await;
                    let id = format!("t{}", rng.u8(..2));
                    let record = Record::new(&*id).with(format!("f{}", rng.u8(..2)), value);
                    let is_there = phones[place].get("tasks", &id).await.unwrap().is_some();
                    if is_there {
                        phones[place].update("tasks", record).await.unwrap();
                    } else {
                        phones[place].create("tasks", record).await.unwrap();
                    }
                }
            }
            line.sync(&phones[place]).await;
        }

        // The device that was the last to sync may be among the lost ones.
        let restored = server();
        let kept = rng.usize(1..=phones.len());
        let phones = &phones[..kept];
        let mut newest = (-1, Vec::new());
        for phone in phones {
            let clock = phone.clock().await.unwrap();
            if clock > newest.0 {
                newest = (clock, phone.all("tasks").await.unwrap());
            }
        }
        let mut order: Vec<&Device<MemoryStore>> = phones.iter().collect();
        rng.shuffle(&mut order);
        for phone in order {
            now.fetch_add(rng.i64(0..50), Ordering::Relaxed);
            phone.resync().await.unwrap();
            restored.sync(phone).await;
        }
        let rows = restored.mobync.database().records(&ada(), "tasks");
        assert_eq!(rows, newest.1, "seed {seed}");
    }
}

//! What happens if a handler fails.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::*;
use support::{Server, ada, databases::on_every_database, owner};

on_every_database! {
    super::super::support::Server::new;
    an_error_is_tried_again_with_growing_pauses_and_skips_nothing
    a_panic_is_as_an_error
    a_failure_keeps_its_own_owner_only
}

async fn an_error_is_tried_again_with_growing_pauses_and_skips_nothing(
    server: Server<impl Cursors>,
) {
    fails_and_goes_on(server, || Err("the mail server is down".to_owned())).await;
}

async fn a_panic_is_as_an_error(server: Server<impl Cursors>) {
    fails_and_goes_on(server, || panic!("the handler has a fault")).await;
}

async fn fails_and_goes_on(
    server: Server<impl Cursors>,
    fail: impl Fn() -> Result<(), String> + Clone + Send + Sync + 'static,
) {
    let (heard, tries) = (Heard::default(), Arc::new(Mutex::new(Vec::new())));
    let handler = {
        let (heard, tries) = (heard.clone(), Arc::clone(&tries));
        handler(move |owner, entries: Vec<Diff>| {
            let (heard, tries, fail) = (heard.clone(), Arc::clone(&tries), fail.clone());
            async move {
                let count = {
                    let mut tries = tries.lock().unwrap();
                    tries.push((Instant::now(), entries[0].id.clone()));
                    tries.len()
                };
                if count < 5 {
                    return fail();
                }
                heard.add(owner, entries);
                Ok(())
            }
        })
    };
    let (first, longest) = (Duration::from_millis(30), Duration::from_millis(100));
    let follower = server.mobync.follow("f", handler).pauses(first, longest).batch(1);
    let _process = Process::running(follower.sweep_each(SOON)).await;
    let mut ids = sync(&server.mobync, &ada(), 1).await;
    until(|| !tries.lock().unwrap().is_empty()).await;
    // An announcement in the meantime shortens no pause.
    ids.extend(sync(&server.mobync, &ada(), 1).await);
    heard.has(2).await;
    assert_eq!(heard.ids(&ada()), ids);
    let tries = tries.lock().unwrap().clone();
    assert!(tries[..5].iter().all(|(_, id)| *id == ids[0]), "nothing else is tried meanwhile");
    let pauses: Vec<_> = tries[..5].windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    for (pause, least) in pauses.iter().zip([30, 60, 100, 100]) {
        assert!(*pause >= Duration::from_millis(least), "{pauses:?}");
    }
}

async fn a_failure_keeps_its_own_owner_only(server: Server<impl Cursors>) {
    let (heard, fails) = (Heard::default(), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (heard, fails) = (heard.clone(), Arc::clone(&fails));
        handler(move |of, entries| {
            let (heard, fails) = (heard.clone(), Arc::clone(&fails));
            async move {
                if of == ada() {
                    fails.fetch_add(1, Ordering::SeqCst);
                    return Err("no".to_owned());
                }
                heard.add(of, entries);
                Ok(())
            }
        })
    };
    let follower = server.mobync.follow("f", handler).owners_at_once(1);
    let _process = Process::running(follower.sweep_each(SOON).pauses(HOUR, HOUR)).await;
    sync(&server.mobync, &ada(), 1).await;
    until(|| fails.load(Ordering::SeqCst) == 1).await;
    sync(&server.mobync, &ada(), 1).await;
    for _ in 0..3 {
        sync(&server.mobync, &owner("bob"), 1).await;
    }
    heard.has(3).await;
    sleep(3 * SOON).await;
    assert_eq!(fails.load(Ordering::SeqCst), 1, "a sweep does not find it either");
}

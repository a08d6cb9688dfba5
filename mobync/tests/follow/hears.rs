//! What a follower receives, and when.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use mobync::{Change, Record};
use support::{Server, ada, databases::on_every_database, delete, owner};

on_every_database! {
    super::super::support::Server::new;
    a_follower_hears_of_what_devices_and_the_backend_did_in_the_logs_order
    what_changed_nothing_for_others_is_not_heard
    what_was_heard_gives_the_rows
    each_follower_has_a_cursor_of_its_own
    batches_are_whole_ticks_and_no_larger_than_they_must_be
    a_handler_is_not_called_for_what_is_not_committed
    no_more_owners_than_are_set_are_handled_at_once
}

async fn a_follower_hears_of_what_devices_and_the_backend_did_in_the_logs_order(
    server: Server<impl Cursors>,
) {
    let heard = Heard::default();
    let _process = Process::running(server.mobync.follow("f", heard.handler())).await;
    server
        .sync(0, [create("t1", json!({"a": 1})).at(5), create("t0", json!({"a": 2})).at(3)])
        .await;
    server.sync(0, [update("t1", json!({"b": 1})).at(9)]).await;
    server
        .mobync
        .write(&ada(), [Change::update("tasks", Record::new("t1").with("c", 3))])
        .await
        .unwrap();
    server.sync(2, [delete("t0").at(20)]).await;
    heard.has(5).await;
    let lines = [
        r#"create t0 {"a":2}"#,
        r#"create t1 {"a":1}"#,
        r#"update t1 {"b":1}"#,
        r#"update t1 {"c":3}"#,
        "delete t0",
    ];
    assert_eq!(heard.lines(), lines);
    let entries: Vec<Diff> = heard.batches().into_iter().flat_map(|(_, entries)| entries).collect();
    assert_eq!(entries, server.log().await, "and so as the log has it");
}

async fn what_changed_nothing_for_others_is_not_heard(server: Server<impl Cursors>) {
    let server = server.forbidding();
    let heard = Heard::default();
    let _process = Process::running(server.mobync.follow("f", heard.handler())).await;
    server.sync(0, [create("t1", json!({"a": 1, "b": 1})).at(10)]).await;
    // A receipt, a refused diff, a life within one sync, and a life apart.
    let forbidden = |id: &str| create(id, json!({"a": 1})).id(&format!("forbidden-{id}"));
    server.sync(1, [update("gone", json!({"a": 2}))]).await;
    server.sync(2, [forbidden("t2"), update("t1", json!({"a": 2})).id("forbidden")]).await;
    server.sync(3, [create("t3", json!({})), update("t3", json!({"a": 1})), delete("t3")]).await;
    server.sync(0, [create("t1", json!({"a": 4})), delete("t1"), create("t4", json!({}))]).await;
    // And fields that others had written later.
    server.sync(0, [update("t1", json!({"a": 5, "c": 5})).at(5)]).await;
    server.sync(6, [delete("t1").at(90)]).await;
    heard.has(4).await;
    let lines = [r#"create t1 {"a":1,"b":1}"#, "create t4", r#"update t1 {"c":5}"#, "delete t1"];
    assert_eq!(heard.lines(), lines);
}

/// A random history of three devices: the received entries, applied to rows, give those of the server.
async fn what_was_heard_gives_the_rows(server: Server<impl Cursors>) {
    let server = server.forbidding();
    let heard = Heard::default();
    let _process = Process::running(server.mobync.follow("f", heard.handler()).batch(5)).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut clocks = [0; 3];
    for round in 0..60 {
        let device = random.usize(..3);
        let sent: Vec<_> = (0..random.usize(1..5))
            .map(|number| {
                let (object, at) = (format!("t{}", random.usize(..4)), random.i64(0..100) + round);
                let fields = json!({["a", "b"][random.usize(..2)]: random.i32(0..9)});
                let forbidden = if random.usize(..6) == 0 { "forbidden" } else { "" };
                let id = format!("{forbidden}{round}-{number}");
                let sent = match random.usize(..5) {
                    0 | 1 => create(&object, fields),
                    2 => delete(&object),
                    _ => update(&object, fields),
                };
                sent.at(at).id(&id)
            })
            .collect();
        clocks[device] = server.sync(clocks[device], sent).await.logical_clock;
    }
    server.sync(clocks[0], [create("last", json!({}))]).await;
    until(|| heard.lines().last().is_some_and(|line| line == "create last")).await;
    let mut rows = std::collections::BTreeMap::new();
    for entry in heard.batches().into_iter().flat_map(|(_, entries)| entries) {
        let record = entry.record().unwrap();
        let id = record.id().to_owned();
        match entry.operation {
            mobync::Operation::Create => assert!(rows.insert(id, record).is_none(), "made once"),
            mobync::Operation::Update => {
                let row: &mut Record = rows.get_mut(&id).expect("what is changed is there");
                row.apply(record);
            }
            mobync::Operation::Delete => drop(rows.remove(&id).expect("so is what is deleted")),
        }
    }
    let rows: Vec<_> = rows
        .into_values()
        .map(|record| {
            let (id, fields) = record.into_parts();
            format!("{id} {}", serde_json::Value::Object(fields))
        })
        .collect();
    assert_eq!(rows, server.rows().await);
}

async fn each_follower_has_a_cursor_of_its_own(server: Server<impl Cursors>) {
    let (first, second) = (Heard::default(), Heard::default());
    let process = Process::running(server.mobync.follow("first", first.handler())).await;
    let mut ids = sync(&server.mobync, &ada(), 2).await;
    first.has(2).await;
    process.kill().await;
    ids.extend(sync(&server.mobync, &ada(), 1).await);
    let _process = Process::running(server.mobync.follow("second", second.handler())).await;
    ask(&server.mobync, &ada()).await;
    second.has(3).await;
    assert_eq!(second.ids(&ada()), ids);
    assert_eq!(first.ids(&ada()), ids[..2]);
}

async fn batches_are_whole_ticks_and_no_larger_than_they_must_be(server: Server<impl Cursors>) {
    for entries in [3, 3, 3, 9, 40, 1, 1] {
        sync(&server.mobync, &ada(), entries).await;
    }
    for (most, sizes) in [(7, &[6, 3, 9, 40, 2][..]), (1, &[3, 3, 3, 9, 40, 1, 1]), (100, &[60])] {
        let heard = Heard::default();
        let follower = server.mobync.follow(format!("of {most}"), heard.handler()).batch(most);
        let _process = Process::running(follower).await;
        ask(&server.mobync, &ada()).await;
        heard.has(60).await;
        let heard: Vec<_> = heard.batches().iter().map(|(_, entries)| entries.len()).collect();
        assert_eq!(heard, sizes);
    }
}

async fn a_handler_is_not_called_for_what_is_not_committed(server: Server<impl Cursors>) {
    use mobync::{Access, UnitOfWork};

    let heard = Heard::default();
    let follower = server.mobync.follow("f", heard.handler()).sweep_each(SOON);
    let _process = Process::running(follower).await;
    sync(&server.mobync, &ada(), 1).await;
    heard.has(1).await;
    let mut unit = server.mobync.database().open(&owner("bob"), Access::Write).await.unwrap();
    let mut entry = server.log().await.remove(0);
    "bob".clone_into(&mut entry.owner);
    unit.append(&owner("bob"), "diffs", vec![entry]).await.unwrap();
    server.mobync.live().announce(&owner("bob"), 1);
    sleep(4 * SOON).await;
    assert_eq!(heard.lines().len(), 1);
    drop(unit);
    sleep(4 * SOON).await;
    assert_eq!(heard.lines().len(), 1);
}

async fn no_more_owners_than_are_set_are_handled_at_once(server: Server<impl Cursors>) {
    let (at_once, done) = (Arc::new(Mutex::new((0, 0))), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (at_once, done) = (Arc::clone(&at_once), Arc::clone(&done));
        handler(move |_, _| {
            let (at_once, done) = (Arc::clone(&at_once), Arc::clone(&done));
            async move {
                {
                    let (now, most) = &mut *at_once.lock().unwrap();
                    *now += 1;
                    *most = (*most).max(*now);
                }
                sleep(5 * SOON).await;
                at_once.lock().unwrap().0 -= 1;
                done.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        })
    };
    let owners: Vec<_> = (0..9).map(|number| owner(&format!("owner{number}"))).collect();
    for owner in &owners {
        sync(&server.mobync, owner, 1).await;
    }
    let follower = server.mobync.follow("f", handler).owners_at_once(3);
    let _process = Process::running(follower).await;
    for owner in &owners {
        ask(&server.mobync, owner).await;
    }
    until(|| done.load(Ordering::SeqCst) == owners.len()).await;
    assert_eq!(at_once.lock().unwrap().1, 3);
}

//! Many devices at once.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::thread;

use conformance::{Server, every_server};

use self::support::{all, connect, create, request, seen, send};

const DEVICES: i64 = 6;
const ROUNDS: i64 = 8;

fn devices_of_one_owner_lose_nothing_and_share_no_tick(server: &Server) {
    let mut ticks: Vec<i64> = thread::scope(|scope| {
        let devices: Vec<_> = (0..DEVICES)
            .map(|device| {
                scope.spawn(move || {
                    let (mut connection, mut clock) = (connect(server), 0);
                    let mut sync = |round| {
                        let sent =
                            request("crowd", clock, &[create(&format!("t{device}-{round}"))]);
                        (clock, _) = seen(&connection.send(&sent).unwrap());
                        clock - 1
                    };
                    (0..ROUNDS).map(&mut sync).collect::<Vec<_>>()
                })
            })
            .collect();
        devices.into_iter().flat_map(|device| device.join().unwrap()).collect()
    });
    ticks.sort_unstable();
    assert_eq!(ticks, (0..DEVICES * ROUNDS).collect::<Vec<_>>());
    assert_eq!(all(server, "crowd"), (DEVICES * ROUNDS, 48));
}

fn owners_that_sync_at_once_do_not_mix(server: &Server) {
    thread::scope(|scope| {
        for owner in 0..DEVICES {
            scope.spawn(move || {
                let mut connection = connect(server);
                for round in 0..ROUNDS {
                    let diffs = [create(&format!("t{round}"))];
                    let sent = request(&format!("owner-{owner}"), round, &diffs);
                    assert_eq!(seen(&connection.send(&sent).unwrap()), (round + 1, 0));
                }
            });
        }
    });
    for owner in 0..DEVICES {
        assert_eq!(all(server, &format!("owner-{owner}")), (ROUNDS, 8));
    }
}

fn a_request_that_is_delivered_many_times_at_once_counts_once(server: &Server) {
    let sent = &request("again", 0, &[create("t1"), create("t2")]);
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(move || assert_eq!(seen(&send(server, sent)), (1, 0)));
        }
    });
    assert_eq!(all(server, "again"), (1, 2));
}

every_server!(
    devices_of_one_owner_lose_nothing_and_share_no_tick,
    owners_that_sync_at_once_do_not_mix,
    a_request_that_is_delivered_many_times_at_once_counts_once,
);

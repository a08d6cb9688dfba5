//! Every possible history of a few devices and one object with two fields, on the real merge.
//!
//! The devices are those of the protocol's text, which the simulator compares the real ones with. Edits,
//! requests and answers come in every order, with edits between a request and its answer, with equal, later
//! and earlier timestamps, with one lost answer, and with one that is a page. A device that has received an
//! answer, and has nothing pending, is equal to the server; and when all is quiet, all are equal. Every state
//! becomes quiet by requests and answers alone, so every state converges: the promise *Converge*.
//!
//! Of histories that differ in nothing that matters only one is visited: `search` and `likeness` define which
//! these are, and the tests check that nothing is missed.
//!
//! `cargo test` visits the smaller worlds; all twelve, up to four edits, take a while:
//!
//! ```text
//! SMALL_WORLDS=12 cargo test --release -p mobync --all-features --test small_worlds -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(unreachable_pub, dead_code, reason = "the modules are shared with other tests")]

#[path = "../simulator/convert.rs"]
mod convert;
mod likeness;
#[path = "../oracle/mod.rs"]
mod oracle;
mod search;
#[path = "../support/mod.rs"]
mod support;
#[path = "../simulator/versions.rs"]
mod versions;
mod world;

use std::{collections::HashSet, time::Instant};

use search::{pairs, search, search_plainly};
use world::{Flaw, World};

/// The number of devices and edits, and whether all devices have the object from the beginning; the smaller
/// worlds first.
const WORLDS: [(usize, usize, bool); 12] = [
    (2, 2, false),
    (2, 2, true),
    (3, 2, false),
    (2, 3, false),
    (3, 2, true),
    (2, 3, true),
    (3, 3, false),
    (2, 4, false),
    (3, 3, true),
    (2, 4, true),
    (3, 4, false),
    (3, 4, true),
];

/// How many of them to visit.
fn count() -> usize {
    std::env::var("SMALL_WORLDS").map_or(5, |count| count.parse().unwrap())
}

#[test]
fn every_history_of_a_small_world_converges() {
    for (devices, edits, is_made) in WORLDS.into_iter().take(count()) {
        let started = Instant::now();
        let found = search(World::new(devices, edits, is_made, Flaw::None), World::check);
        let object = if is_made { "all have" } else { "nobody has" };
        eprintln!(
            "{devices} devices, {edits} edits of what {object}: {} worlds, {} devices in them, \
             all converge; {:?}",
            found.worlds,
            found.devices,
            started.elapsed()
        );
        assert!(found.worlds > 50, "a world in which nothing happens");
    }
}

/// The same worlds with their log compacted once: *Twin*, *Exact* and *No undead*.
fn compacted(devices: usize, edits: usize, is_made: bool, flaw: Flaw) -> World {
    let mut world = World::new(devices, edits, is_made, flaw);
    // `tests/retention` tests pages of compacted logs.
    (world.compactions_left, world.pages_left) = (1, 0);
    world
}

#[test]
fn every_history_of_a_small_world_with_one_compaction_converges() {
    let more = if count() > 5 { 8 } else { 3 };
    for (devices, edits, is_made) in WORLDS.into_iter().take(more) {
        let started = Instant::now();
        let found = search(compacted(devices, edits, is_made, Flaw::None), World::check);
        let object = if is_made { "all have" } else { "nobody has" };
        eprintln!(
            "compacted once: {devices} devices, {edits} edits of what {object}: {} worlds; {:?}",
            found.worlds,
            started.elapsed()
        );
        assert!(found.worlds > 100, "a world in which nothing happens");
    }
}

#[test]
#[should_panic(expected = "no diff is in the log twice")]
fn a_server_that_answers_below_its_horizon_is_found_out() {
    search(compacted(3, 2, true, Flaw::HorizonIsTooLow), World::check);
}

#[test]
#[should_panic(expected = "no diff is in the log twice")]
fn a_server_that_forgets_ids_at_once_is_found_out() {
    search(compacted(2, 3, false, Flaw::IdsAreForgottenAtOnce), World::check);
}

#[test]
fn nothing_is_lost_by_visiting_one_of_each_kind_of_history() {
    let more = if count() > 5 { &WORLDS[2..5] } else { &[] };
    let worlds = [(2, 2, false), (2, 2, true), (3, 1, true)];
    for (devices, edits, is_made) in worlds.iter().chain(more).copied() {
        let world = World::new(devices, edits, is_made, Flaw::None);
        let (mut some, mut all) = (HashSet::new(), HashSet::new());
        let found = search(world.clone(), pairs(&mut some));
        let states = search_plainly(world, pairs(&mut all));
        eprintln!("{states} states: {} worlds, {} pairs", found.worlds, all.len());
        assert!(some == all, "{} of {} pairs of a device and the server", some.len(), all.len());
    }
}

#[test]
#[should_panic(expected = "the answer makes the device equal")]
fn a_server_that_takes_the_known_for_the_seen_is_found_out() {
    search(World::new(2, 2, true, Flaw::KnownIsSeen), World::check);
}

#[test]
#[should_panic(expected = "the answer makes the device equal")]
fn a_device_that_forgets_changes_in_flight_is_found_out() {
    search(World::new(2, 2, false, Flaw::ChangesInFlightAreForgotten), World::check);
}

#[test]
#[should_panic(expected = "the answer makes the device equal")]
fn a_server_that_does_not_say_old_deletes_is_found_out() {
    search(World::new(3, 2, true, Flaw::OldDeletesAreNotSaid), World::check);
}

#[test]
#[should_panic(expected = "from")]
fn a_server_whose_pages_end_late_is_found_out() {
    search(World::new(2, 3, true, Flaw::PagesEndLate), World::check);
}

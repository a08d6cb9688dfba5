//! Apps that are updated: the protocol's "When the app is updated".
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(unreachable_pub, reason = "the modules are as those of a library")]

mod beside;
mod data;
mod drawn;
mod failing;
mod fleet;
mod refused;
#[path = "../support/mod.rs"]
#[macro_use]
mod support;
mod world;

/// So many runs, or the one of `UPDATES_SEED`, or as many as `UPDATES_SEEDS` says.
fn seeds(many: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("UPDATES_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("UPDATES_SEEDS").unwrap_or(many),
    }
}

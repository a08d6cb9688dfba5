//! Random histories with every kind of fault, on the real engine and the real device, checked by an oracle
//! that was written from the protocol's text alone.
//!
//! After every step the server's log, rows and answers, and each device's rows, pending and refused changes,
//! are as the text requires. In the end all devices are equal, including a new one: the promises *Converge*,
//! *Nothing lost*, *Exactly once* and *Isolation*, whatever happens.
//!
//! `cargo test` runs a few hundred seeds. A failing one is reduced to its shortest script. To run more, or to
//! repeat one:
//!
//! ```text
//! SIM_SEEDS=1000000 cargo test --release -p mobync --all-features --test simulator -- --nocapture
//! SIM_SECONDS=600   cargo test --release -p mobync --all-features --test simulator -- --nocapture
//! SIM_SEED=17       cargo test           -p mobync --all-features --test simulator -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::panic, reason = "that is how a test fails")]
#![allow(unreachable_pub, reason = "the modules are as those of a library")]

mod by_hand;
mod convert;
mod databases;
mod faults;
mod hand;
#[path = "../oracle/mod.rs"]
mod oracle;
mod ours;
mod published;
mod rules;
mod run;
mod server;
mod shrink;
mod sql_tables;
mod step;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod teams;
mod versions;
mod world;

use mobync::{Access, Database, DatabaseError, Owner, memory::MemoryDatabase};

use tokio::sync::OnceCell;

use support::captured::{Captured, Features, Mutant};

#[test]
fn whatever_happens_to_a_memory_database_is_what_the_text_says() {
    run::run("memory", 400, async || MemoryDatabase::new());
}

#[test]
fn devices_fetch_what_is_below_a_horizon_in_pages() {
    assert!(run::pages_below(100, &async || MemoryDatabase::new()));
}

#[test]
fn whatever_happens_to_a_database_of_seven_methods_is_what_the_text_says() {
    run::run("seven methods", 100, async || support::Plain::default());
}

#[test]
fn whatever_happens_to_sqlite_is_what_the_text_says() {
    run::run("SQLite", 60, databases::sqlite);
}

#[test]
fn whatever_happens_to_postgresql_is_what_the_text_says() {
    run::run("PostgreSQL", 25, databases::postgres);
}

#[test]
fn whatever_an_application_writes_to_sqlite_has_the_last_word() {
    run::run("SQLite by hand", 50, databases::sqlite_by_hand);
}

#[test]
fn whatever_an_application_writes_to_postgresql_has_the_last_word() {
    run::run("PostgreSQL by hand", 20, databases::postgres_by_hand);
}

#[test]
fn marks_that_break_a_law_on_sqlite_are_found_out() {
    for done in sql_tables::WRONG_MARKS_SQLITE {
        let place = OnceCell::new();
        let new = async || {
            let place = place.get_or_init(|| databases::new_sqlite_by_hand(done)).await;
            databases::emptied(place.clone(), sql_tables::EMPTY_SQLITE).await
        };
        assert!(run::fails(400, &new), "{done}");
    }
}

#[test]
fn marks_that_break_a_law_on_postgresql_are_found_out() {
    for done in sql_tables::WRONG_MARKS_POSTGRES {
        let place = OnceCell::new();
        let new = async || {
            let place = place.get_or_init(|| databases::new_postgres_by_hand(done)).await;
            databases::emptied(place.clone(), sql_tables::EMPTY_POSTGRES).await
        };
        assert!(run::fails(400, &new), "{done}");
    }
}

/// A database that lets the syncs of one owner overlap, although it claims not to.
#[derive(Clone, Debug, Default)]
struct Overlapping(support::Plain);

impl Database for Overlapping {
    type Unit = support::Plain;

    async fn open(&self, owner: &Owner, access: Access) -> Result<support::Plain, DatabaseError> {
        self.0.open(owner, access).await
    }
}

#[test]
fn a_database_that_lets_syncs_overlap_is_found_out() {
    assert!(run::fails(400, &async || Overlapping::default()));
}

const NOTHING: Features =
    Features { upper: false, serial: false, touched: false, cascade: false, counts: false };

#[test]
fn whatever_others_write_to_the_rows_has_the_last_word() {
    run::run("others write", 300, async || Captured::new(NOTHING));
}

#[test]
fn whatever_cascades_and_triggers_write_has_the_last_word() {
    let features = Features { cascade: true, counts: true, ..NOTHING };
    run::run("cascades", 300, async || Captured::new(features));
}

#[test]
fn whatever_columns_make_of_values_has_the_last_word() {
    let named = Features { upper: true, serial: true, ..NOTHING };
    run::run("columns with a will", 200, async || Captured::new(named));
    let any = Features { touched: true, cascade: true, counts: true, ..named };
    run::run("all that there is", 200, async || Captured::new(any));
}

#[test]
fn a_database_that_breaks_a_law_of_the_last_word_is_found_out() {
    let all = Features { upper: true, serial: true, touched: true, cascade: true, counts: true };
    for mutant in
        [Mutant::CapturedValue, Mutant::MarksForgotten, Mutant::SetOffNow, Mutant::NothingSetOff]
    {
        let new = async || Captured::new(all).mutant(mutant);
        assert!(run::fails(400, &new), "{mutant:?}");
    }
}

//! Worlds of teams: people with their own data and with spaces, of which they become members, readers and
//! strangers at any moment.
//!
//! Each space is an owner as in the other worlds, checked by the same oracle. In addition, each answer must be the
//! one that its part of the request would get alone, for somebody who is what the application has said at that
//! moment: *Apart*. No answer has a byte of what was not granted: *Gone*. Whoever leaves a space and joins it again
//! ends as a new device does, and never sends what was set aside: *Rejoin*.

mod club;
mod driven;
mod flaws;
mod held;
mod ours;
mod phone;
mod post;
mod rest;
mod script;
mod serve;
mod small;
mod text;
mod world;

use mobync::memory::MemoryDatabase;

use self::{club::Flaw, phone::Wrong, rest::SOUND, script::Script, world::World};
use crate::{databases, hand::Place, run, world::Failure};

/// Runs worlds of teams on this database.
fn run<D, F>(name: &str, seeds: u64, new: F)
where
    D: Place,
    F: AsyncFn() -> D + Sync,
{
    let play = |runtime: &_, script: &Script| {
        run::in_world(runtime, async { World::play(new().await, script, SOUND.0, SOUND.1).await })
    };
    let gone = run::run_each(name, seeds, |seed| Script::of_seed(seed, true), play);
    eprintln!("{name}: in {gone} worlds somebody was told that a space is gone");
    assert!(gone > 0, "a world in which nobody is removed");
}

#[test]
fn whatever_happens_to_teams_in_memory_is_what_the_text_says() {
    run("teams in memory", 40, async || MemoryDatabase::new());
}

#[test]
fn whatever_happens_to_teams_on_sqlite_is_what_the_text_says() {
    run("teams on SQLite", 6, databases::sqlite);
}

#[test]
fn whatever_happens_to_teams_on_postgresql_is_what_the_text_says() {
    run("teams on PostgreSQL", 4, databases::postgres);
}

#[test]
fn every_history_of_a_small_team_ends_well() {
    let events = std::env::var("SMALL_TEAMS").map_or(2, |events| events.parse().unwrap());
    let histories = small::histories(events);
    let count = u64::try_from(histories.len()).unwrap();
    let play = |runtime: &_, script: &Script| {
        let database = MemoryDatabase::new();
        run::in_world(runtime, World::play(database, script, SOUND.0, SOUND.1))
    };
    let history = |number: u64| histories[usize::try_from(number % count).unwrap()].clone();
    let gone = run::run_each(&format!("small teams, {events} events"), count, history, play);
    eprintln!("in {gone} of {count} histories, somebody was told before the end that it is gone");
    assert!(gone > 0 || events < 4, "a world in which nobody is removed");
}

/// The first seed that fails, and why.
fn found(seeds: u64, flaw: Flaw, wrong: Wrong) -> Option<(u64, Failure)> {
    run::first_failing(seeds, async |seed| {
        World::play(MemoryDatabase::new(), &Script::of_seed(seed, false), flaw, wrong).await
    })
}

#[test]
fn a_server_that_breaks_a_law_of_teams_is_found_out() {
    for flaw in [
        Flaw::MembershipIsKept,
        Flaw::OfTheMemberBefore,
        Flaw::SpaceIsIgnored,
        Flaw::ReadersWrite,
        Flaw::OneFailsAll,
        Flaw::AnswersAreSwapped,
        Flaw::OnceMore,
    ] {
        let (seed, failure) = found(300, flaw, Wrong::None).expect("a failure");
        eprintln!("{flaw:?}: seed {seed}: {}", failure.0.lines().next().unwrap_or_default());
    }
}

#[test]
fn a_client_that_breaks_a_law_of_teams_is_found_out() {
    for wrong in [
        Wrong::SendsAgain,
        Wrong::KeepsWhatIsGone,
        Wrong::SwapsAnswers,
        Wrong::HearsOfBefore,
        Wrong::ForgetsUnsent,
    ] {
        let (seed, failure) = found(300, Flaw::None, wrong).expect("a failure");
        eprintln!("{wrong:?}: seed {seed}: {}", failure.0.lines().next().unwrap_or_default());
    }
}

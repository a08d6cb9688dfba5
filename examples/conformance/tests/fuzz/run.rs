//! Plays many sessions, and tells of the first one that fails.

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use conformance::CODES;
use tokio::runtime::Builder;

use super::{
    servers,
    session::{self, CASES, Outcomes},
    shrink,
};

/// Plays that many cases, unless the environment says otherwise.
///
/// # Panics
/// If something goes wrong: with the smallest session found in which it does.
pub fn run(cases: u64) {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let (seed, long) = (number("FUZZ_SEED"), number("FUZZ_CASES"));
    let first = seed.or_else(|| number("FUZZ_FIRST")).unwrap_or(0);
    let per_session = u64::try_from(CASES).unwrap();
    let sessions = if seed.is_some() { 1 } else { long.unwrap_or(cases).div_ceil(per_session) };
    let threads =
        if seed.is_some() { 1 } else { thread::available_parallelism().map_or(1, usize::from) };

    let started = Instant::now();
    let next = AtomicU64::new(0);
    let outcomes = Mutex::new(Outcomes::new());
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                    let servers = servers::start().await;
                    let mut seen = Outcomes::new();
                    while failed.lock().unwrap().is_none() {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= sessions {
                            break;
                        }
                        let seed = first.wrapping_add(number);
                        if let Err(failure) = session::play(&servers, seed, &mut seen).await {
                            failed.lock().unwrap().get_or_insert((seed, failure));
                        }
                        if long.is_some() && number % 10_000 == 9_999 {
                            eprintln!(
                                "{} cases in {:?}",
                                (number + 1) * per_session,
                                started.elapsed()
                            );
                        }
                    }
                    for (outcome, count) in seen {
                        *outcomes.lock().unwrap().entry(outcome).or_default() += count;
                    }
                });
            });
        }
    });

    if let Some((seed, failure)) = failed.into_inner().unwrap() {
        fail(seed, failure);
    }
    let outcomes = outcomes.into_inner().unwrap();
    let played: u64 = outcomes.values().sum();
    eprintln!(
        "{played} cases through each of {:?} in {:?}: {outcomes:#?}",
        servers::NAMES,
        started.elapsed()
    );
    if played >= cases {
        // Or it proves little.
        for outcome in CODES.into_iter().chain(["ok", "several"]) {
            assert!(outcomes.contains_key(outcome), "no case came to {outcome}");
        }
    }
}

/// Tells the smallest session found that fails like that of the seed.
fn fail(seed: u64, failure: session::Failure) -> ! {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let servers = runtime.block_on(servers::start());
    let (cases, reason) = shrink::shrink(failure.cases, |cases| {
        runtime.block_on(session::replay(&servers, cases)).err()
    });
    let cases: Vec<String> = cases.iter().map(ToString::to_string).collect();
    panic!(
        "seed {seed} fails. Play it again:\n\n  FUZZ_SEED={seed} cargo test -p conformance --test fuzz -- \
         --nocapture\n\n{}\n\n{reason}\n\n(As it was found: {})\n",
        cases.join("\n\n"),
        failure.reason
    );
}

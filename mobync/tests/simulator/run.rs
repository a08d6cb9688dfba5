//! Runs many seeds, and reports the first one that fails.

use std::{
    cell::Cell,
    env,
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex, Once,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

use super::{
    hand::Place,
    shrink::{self, History},
    step::Script,
    world::{Failure, World},
};

/// How much to run: as set by the environment, or else this many seeds.
struct Extent {
    first: u64,
    seeds: u64,
    time: Duration,
    is_long: bool,
}

impl Extent {
    fn new(seeds: u64) -> Self {
        let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
        let (seed, long, seconds) =
            (number("SIM_SEED"), number("SIM_SEEDS"), number("SIM_SECONDS"));
        let forever = Duration::from_secs(u64::from(u32::MAX));
        Self {
            first: seed.or_else(|| number("SIM_FIRST")).unwrap_or(0),
            seeds: match (seed, long, seconds) {
                (Some(_), ..) => 1,
                (_, Some(seeds), _) => seeds,
                (_, _, Some(_)) => u64::MAX,
                _ => seeds,
            },
            time: seconds.map_or(forever, Duration::from_secs),
            is_long: long.is_some() || seconds.is_some(),
        }
    }
}

/// Runs scripts, each on a new database.
///
/// # Panics
/// If one of them has a result that differs from the text; the message has the shortest such script found.
pub fn run<D, F>(name: &str, seeds: u64, new: F)
where
    D: Place,
    F: AsyncFn() -> D + Sync,
{
    let play = |runtime: &Runtime, script: &Script| play(runtime, &new, script);
    let below = run_each(name, seeds, script::<D>, play);
    eprintln!("{name}: {below} seeds with pages below a horizon");
}

/// Plays the history of each seed, and returns how many of them have had something.
///
/// # Panics
/// If one fails; the message has the shortest such history found.
pub fn run_each<S: History>(
    name: &str,
    seeds: u64,
    of_seed: impl Fn(u64) -> S + Sync,
    play: impl Fn(&Runtime, &S) -> Result<usize, Failure> + Sync,
) -> u64 {
    let extent = Extent::new(seeds);
    let started = Instant::now();
    let (next, had) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = Mutex::new(None);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    silence_worlds();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let runtime = runtime();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let is_over = number >= extent.seeds || started.elapsed() > extent.time;
                    if is_over || failed.lock().unwrap().is_some() {
                        next.fetch_sub(1, Ordering::Relaxed);
                        return;
                    }
                    let seed = extent.first.wrapping_add(number);
                    match play(&runtime, &of_seed(seed)) {
                        Ok(some) => drop(had.fetch_add(u64::from(some > 0), Ordering::Relaxed)),
                        Err(failure) => {
                            failed.lock().unwrap().get_or_insert((seed, failure));
                        }
                    }
                    if extent.is_long && number % 500 == 499 {
                        eprintln!("{name}: {} seeds in {:?}", number + 1, started.elapsed());
                    }
                }
            });
        }
    });
    let found = failed.into_inner().unwrap().map(|(seed, failure)| {
        let runtime = runtime();
        let fails = |history: &S| play(&runtime, history).err();
        (seed, shrink::shrink(of_seed(seed), failure, fails))
    });
    if let Some((seed, (history, failure))) = found {
        panic!(
            "{name}: seed {seed} fails. Play it again:\n\n  SIM_SEED={seed} cargo test -p mobync \
             --all-features --test simulator -- --nocapture\n\n{}\n{}\n\n{}\n",
            history.settings(),
            history.lines(),
            failure.0
        );
    }
    let (played, took) = (next.into_inner(), started.elapsed());
    eprintln!("{name}: {played} seeds in {took:?}, all as the text says");
    had.into_inner()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Whether one of the first scripts has a page that ends below a horizon.
pub fn pages_below<D: Place>(seeds: u64, new: &impl AsyncFn() -> D) -> bool {
    let runtime = runtime();
    (0..seeds).any(|seed| play(&runtime, new, &script::<D>(seed)).is_ok_and(|pages| pages > 0))
}

/// Whether one of the first scripts fails, as expected for a database that breaks a promise.
pub fn fails<D: Place>(seeds: u64, new: &impl AsyncFn() -> D) -> bool {
    silence_worlds();
    let runtime = runtime();
    (0..seeds).any(|seed| play(&runtime, new, &script::<D>(seed).plain()).is_err())
}

/// The first of these seeds whose world fails.
pub fn first_failing(
    seeds: u64,
    play: impl AsyncFn(u64) -> Result<usize, Failure>,
) -> Option<(u64, Failure)> {
    silence_worlds();
    let runtime = runtime();
    (0..seeds).find_map(|seed| Some((seed, in_world(&runtime, play(seed)).err()?)))
}

fn script<D: Place>(seed: u64) -> Script {
    let mut script = Script::of_seed(seed);
    script.settings.numbers = D::HAS_NUMBERS;
    // Applications that write SQL would write older names into the marks.
    script.settings.versions &= !D::HAS_HAND;
    if D::HAS_HAND { script.with_hand(seed) } else { script }
}

thread_local! {
    static IN_WORLD: Cell<bool> = const { Cell::new(false) };
}

/// A panic in a world is a finding that is first reduced, then reported.
fn silence_worlds() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IN_WORLD.get() {
                hook(info);
            }
        }));
    });
}

fn play<D: Place>(
    runtime: &Runtime,
    new: &impl AsyncFn() -> D,
    script: &Script,
) -> Result<usize, Failure> {
    in_world(runtime, async { World::play(new().await, script).await })
}

/// The result of a world, in which a panic is a failure.
pub fn in_world(
    runtime: &Runtime,
    world: impl Future<Output = Result<usize, Failure>>,
) -> Result<usize, Failure> {
    IN_WORLD.set(true);
    let played = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(world)));
    IN_WORLD.set(false);
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Failure(format!("panic: {}", text.unwrap_or_default())))
    })
}

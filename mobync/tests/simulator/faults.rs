//! A database that fails on request, takes its time, and does not accept every value.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use fastrand::Rng;
use mobync::{Change, DatabaseError, Diff, Owner};

use super::{
    hand::Hand,
    oracle::Kind,
    rules::rejects,
    step::Settings,
    support::{captured::Statement, hooked::Hook},
    versions,
};

/// What goes wrong with a database.
#[derive(Clone, Default)]
pub struct Faults {
    picky: bool,
    batches: bool,
    /// The number of calls until the failure, and whether it is busy then; the greatest number after it has
    /// failed.
    next: Arc<Mutex<Option<(usize, bool)>>>,
    /// How long calls take while two requests are served.
    pace: Arc<Mutex<Option<Rng>>>,
    /// The version of the schema of the server that writes the log; 0 for the newest.
    wrote: Arc<AtomicU64>,
    /// Others who write, and after how many calls.
    meanwhile: Arc<Mutex<Vec<Meanwhile>>>,
    /// The owners whose data cannot be read now, and whether the database is busy with it.
    shut: Arc<Mutex<BTreeMap<String, bool>>>,
}

struct Meanwhile {
    calls: usize,
    hand: Arc<dyn Hand>,
    statements: Vec<Statement>,
    rolls_back: bool,
}

impl Faults {
    pub fn new(settings: &Settings) -> Self {
        let faults =
            Self { picky: settings.constraints, batches: settings.batches, ..Self::default() };
        faults.wrote.store(u64::from(settings.versions), Ordering::Relaxed);
        faults
    }

    /// The server is replaced by one of the next version.
    pub fn deploy(&self) {
        let wrote = self.wrote.load(Ordering::Relaxed);
        self.wrote.store(versions::NEWEST.min(wrote + 1), Ordering::Relaxed);
    }

    pub fn fail_in(&self, calls: usize, busy: bool) {
        *self.next.lock().unwrap() = Some((calls, busy));
    }

    /// From now on, every request for this owner's data fails.
    pub fn shut(&self, owner: &str, busy: bool) {
        self.shut.lock().unwrap().insert(owner.to_owned(), busy);
    }

    pub fn open_all(&self) {
        self.shut.lock().unwrap().clear();
    }

    /// Whether requests for this owner's data fail, and whether as busy.
    pub fn is_shut(&self, owner: &str) -> Option<bool> {
        self.shut.lock().unwrap().get(owner).copied()
    }

    pub fn calm(&self) {
        self.open_all();
        *self.next.lock().unwrap() = None;
        self.meanwhile.lock().unwrap().clear();
    }

    /// Others write after this many calls.
    pub fn write_in(
        &self,
        calls: usize,
        hand: Arc<dyn Hand>,
        statements: Vec<Statement>,
        rolls_back: bool,
    ) {
        let meanwhile = Meanwhile { calls, hand, statements, rolls_back };
        self.meanwhile.lock().unwrap().push(meanwhile);
    }

    async fn others_write(&self) {
        let mut begun = Vec::new();
        self.meanwhile.lock().unwrap().retain_mut(|meanwhile| match meanwhile.calls {
            0 => {
                let statements = std::mem::take(&mut meanwhile.statements);
                meanwhile.hand.begin(statements, meanwhile.rolls_back);
                begun.push(Arc::clone(&meanwhile.hand));
                false
            }
            _ => {
                meanwhile.calls -= 1;
                true
            }
        });
        for hand in begun {
            hand.proceed().await;
        }
    }

    /// Whether the planned failure has happened since the last query.
    pub fn take_failure(&self) -> bool {
        let mut next = self.next.lock().unwrap();
        next.take_if(|(calls, _)| *calls == usize::MAX).is_some()
    }

    /// From now on, calls wait for each other as determined by this seed.
    pub fn set_pace(&self, seed: Option<u64>) {
        *self.pace.lock().unwrap() = seed.map(Rng::with_seed);
    }
}

impl Hook for Faults {
    async fn pause(&self) {
        let turns = self.pace.lock().unwrap().as_mut().map_or(0, |rng| rng.u8(..4));
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        self.others_write().await;
    }

    fn call(&self, name: &'static str) -> Result<(), DatabaseError> {
        // Checks whether a unit continues after a rejection; a failure here does not fail the sync.
        if name == "probe" {
            return Ok(());
        }
        let mut next = self.next.lock().unwrap();
        match &mut *next {
            Some((calls @ 0, busy)) => {
                *calls = usize::MAX;
                let cause = format!("{name} failed");
                let failure = if *busy { DatabaseError::busy } else { DatabaseError::failed };
                if name == "idle" {
                    // The requests are then answered one by one.
                    *next = None;
                }
                Err(failure(cause))
            }
            Some((usize::MAX, _)) | None => Ok(()),
            Some((calls, _)) => {
                *calls -= 1;
                Ok(())
            }
        }
    }

    fn open(&self, owner: &Owner) -> Result<(), DatabaseError> {
        match self.is_shut(owner.as_str()) {
            None => Ok(()),
            Some(true) => Err(DatabaseError::busy("its rows are locked")),
            Some(false) => Err(DatabaseError::failed("its rows are on a broken disk")),
        }
    }

    fn batches(&self) -> bool {
        self.batches
    }

    fn log(&self, entries: Vec<Diff>) -> Vec<Diff> {
        match self.wrote.load(Ordering::Relaxed) {
            0 | versions::NEWEST => entries,
            version => versions::as_written_by(version, entries),
        }
    }

    fn change(&self, change: &Change) -> Result<(), DatabaseError> {
        let (kind, fields) = match change {
            Change::Create { record, .. } => (Kind::Create, Some(record.fields())),
            Change::Update { changes, .. } => (Kind::Update, Some(changes.fields())),
            Change::Delete { .. } => (Kind::Delete, None),
        };
        let values = fields.into_iter().flat_map(|fields| fields.values());
        match rejects(kind, change.id(), values).filter(|_| self.picky) {
            Some("invalid_value") => Err(DatabaseError::invalid_value("a", "must not be bad")),
            Some(_) => Err(DatabaseError::constraint("parent")),
            None => Ok(()),
        }
    }
}

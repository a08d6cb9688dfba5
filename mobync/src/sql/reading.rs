//! Whether the names that were read from the catalogue still hold.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::error::DatabaseError;

/// How long names hold after they were read again and had not changed, at first and at most: each time
/// twice as long as before.
const HOLDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// One reading of the catalogue. All models that were read share it.
///
/// If the schema has renames, a missing table or column may have got another name while this process runs.
/// Then the catalogue is read again, and the sync begins again. Without renames, nothing is ever read again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading(Option<Arc<State>>);

#[derive(Debug, Default)]
struct State {
    is_doubted: AtomicBool,
    confirmed: Mutex<Option<Confirmed>>,
}

#[derive(Clone, Copy, Debug)]
struct Confirmed {
    at: Instant,
    holds: Duration,
}

impl Reading {
    pub(super) fn new(may_be_renamed: bool) -> Self {
        Self(may_be_renamed.then(Arc::default))
    }

    /// Requests that the catalogue is read again, because a table or column is missing. Returns whether that
    /// may help.
    pub(crate) fn doubt(&self) -> bool {
        let Some(state) = &self.0 else { return false };
        let confirmed = *state.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        if confirmed.is_some_and(|it| it.at.elapsed() < it.holds) {
            return false;
        }
        state.is_doubted.store(true, Ordering::Relaxed);
        true
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.is_doubted.load(Ordering::Relaxed))
    }

    /// Records that the catalogue was read again, and has nothing else.
    pub(super) fn confirm(&self) {
        let Some(state) = &self.0 else { return };
        let mut confirmed = state.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = confirmed.map_or(HOLDS.0, |it| HOLDS.1.min(it.holds * 2));
        *confirmed = Some(Confirmed { at: Instant::now(), holds });
        drop(confirmed);
        state.is_doubted.store(false, Ordering::Relaxed);
    }

    /// The error of a statement that met other names.
    pub(crate) fn conflict() -> DatabaseError {
        DatabaseError::conflict("a table or column is missing; it may have been renamed")
    }
}

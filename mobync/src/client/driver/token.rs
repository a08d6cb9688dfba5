//! What a client knows about its token.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What is known about the token, which is the person's for all spaces.
#[derive(Debug, Default)]
pub(super) struct Token {
    /// Whether the server was found to answer for the owner of the store.
    known: AtomicBool,
    /// Whether requests for spaces may have it: the person's own data was synced with it, or it is known.
    checked: AtomicBool,
    /// Whether it is new since the last answer.
    renewed: AtomicBool,
    /// Whether it is new since the last answer for a space.
    renewed_for_spaces: AtomicBool,
}

impl Token {
    pub(super) fn is_known(&self) -> bool {
        self.known.load(Relaxed)
    }

    pub(super) fn know(&self) {
        self.known.store(true, Relaxed);
    }

    pub(super) fn is_checked(&self) -> bool {
        self.checked.load(Relaxed)
    }

    pub(super) fn set_checked(&self) {
        self.checked.store(true, Relaxed);
    }

    /// There was an answer.
    pub(super) fn is_accepted(&self, space: Option<&str>) {
        self.renewed.store(false, Relaxed);
        if space.is_some() {
            self.renewed_for_spaces.store(false, Relaxed);
        }
    }

    pub(super) fn begin_try(&self) {
        self.renewed.store(false, Relaxed);
        self.renewed_for_spaces.store(false, Relaxed);
    }

    pub(super) fn know_nothing(&self) {
        self.known.store(false, Relaxed);
        self.checked.store(false, Relaxed);
    }

    /// Notes that it may be another one, unless it was that since the last answer.
    pub(super) fn renew(&self, for_spaces: bool) -> bool {
        let was_renewed = self.renewed.swap(true, Relaxed);
        let for_spaces = for_spaces && self.renewed_for_spaces.swap(true, Relaxed);
        !was_renewed && !for_spaces
    }
}

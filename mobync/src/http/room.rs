//! How much the answers to several requests in one may take.

use std::sync::{Mutex, PoisonError};

use super::{
    body::{Answers, LARGE},
    budget::Share,
};

/// An answer of less than this many bytes always fits: it brings little or nothing.
const SLIGHT: usize = 2 * 1024;

/// What the answers to the members of one request take of the [memory](Answers) for large answers. Together
/// they count like one answer.
pub(super) struct Room<'l> {
    answers: &'l Answers,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    bytes: usize,
    share: Option<Share>,
    has_waited: bool,
}

/// Whether there is room for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Now,
    /// When others have read their answers. Only one member may wait, and only while no answer has room: else
    /// two requests could wait for each other.
    Later,
    Not,
}

impl<'l> Room<'l> {
    pub(super) fn new(answers: &'l Answers) -> Self {
        Self { answers, taken: Mutex::default() }
    }

    /// Takes room for an answer of that many bytes.
    pub(super) fn fit(&self, bytes: usize) -> Fit {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all = taken.bytes.saturating_add(bytes);
        if bytes < SLIGHT {
            return Fit::Now;
        }
        let fits = match &mut taken.share {
            None if all < LARGE => true,
            // A single answer always fits.
            share @ None => {
                *share = self.answers.try_take(all);
                share.is_some()
            }
            Some(share) => self.answers.try_grow(share, all),
        };
        if fits {
            taken.bytes = all;
            return Fit::Now;
        }
        let waits = taken.share.is_none() && !taken.has_waited;
        taken.has_waited |= waits;
        if waits { Fit::Later } else { Fit::Not }
    }

    /// Adds the room that an answer of that many bytes has waited for.
    pub(super) fn add(&self, bytes: usize, room: Share) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.bytes = taken.bytes.saturating_add(bytes);
        match &mut taken.share {
            Some(share) => share.merge(room),
            share => *share = Some(room),
        }
    }

    /// The memory for all of them, if they are large together.
    pub(super) fn into_share(self) -> Option<Share> {
        self.taken.into_inner().unwrap_or_else(PoisonError::into_inner).share
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BUDGET: usize = 4 * LARGE;

    #[test]
    fn answers_fit_until_they_are_too_large_together_and_slight_ones_always() {
        let answers = Answers::new(BUDGET, Duration::MAX);
        let room = Room::new(&answers);
        for _ in 0..7 {
            assert_eq!(room.fit(LARGE / 2), Fit::Now);
        }
        assert_eq!(room.fit(LARGE), Fit::Not, "it would wait for what this request itself has");
        assert_eq!(room.fit(LARGE / 2), Fit::Now);
        assert_eq!((room.fit(SLIGHT), room.fit(SLIGHT - 1)), (Fit::Not, Fit::Now));
        assert!(answers.try_take(1).is_none(), "all is taken");
        drop(room);
        assert!(answers.try_take(BUDGET).is_some(), "and given back");
    }

    #[test]
    fn one_answer_fits_however_large_and_then_no_other() {
        let answers = Answers::new(BUDGET, Duration::MAX);
        let room = Room::new(&answers);
        assert_eq!((room.fit(SLIGHT), room.fit(9 * BUDGET)), (Fit::Now, Fit::Now));
        assert_eq!((room.fit(LARGE), room.fit(SLIGHT)), (Fit::Not, Fit::Not));
    }

    #[test]
    fn one_answer_waits_for_other_requests_if_this_one_has_none_yet() {
        let answers = Answers::new(BUDGET, Duration::MAX);
        let others = answers.try_take(BUDGET);
        let room = Room::new(&answers);
        assert_eq!((room.fit(LARGE - 1), room.fit(LARGE)), (Fit::Now, Fit::Later));
        assert_eq!(room.fit(LARGE), Fit::Not, "only one waits");
        drop(others);
        room.add(LARGE, answers.try_take(LARGE).unwrap());
        assert_eq!(room.fit(LARGE), Fit::Now);
        assert!(room.into_share().is_some());
    }
}

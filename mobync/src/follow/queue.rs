//! The queue of owners that a follower has to look at.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{Owner, hash::HashMap};

/// The maximum length of the queue; a sweep finds the others.
const MOST_WAITING: usize = 100_000;
/// For how many owners the handled clock is remembered, to ignore announcements that are no news.
const MOST_HANDLED: usize = 10_000;

/// The owners that may have unhandled entries. Each is in it once, and handled by one worker at a time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// An owner was added.
    changed: Notify,
    /// An owner was taken.
    shorter: Notify,
    /// An announcement may have been missed.
    missed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Owner>,
    /// Owners by the time at which they become ready; the number makes the key unique.
    later: BTreeMap<(Instant, u64), Owner>,
    numbers: u64,
    seats: HashMap<Owner, Seat>,
    /// The clocks up to which entries are handled, as far as remembered.
    handled: HashMap<Owner, i64>,
}

#[derive(Debug)]
struct Seat {
    at: At,
    /// The number of failures in a row.
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Ready,
    /// A worker has it. `again`: it was announced since.
    Busy {
        again: bool,
    },
    /// Waits. `hurries`: an announcement ends the wait.
    Later {
        key: (Instant, u64),
        hurries: bool,
    },
}

/// The outcome of a visit to an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// All entries are handled, up to this clock.
    Done(i64),
    /// There are more entries.
    More,
    /// Another process has the lease: look again after this time, or when the owner is announced.
    Held(Duration),
    /// It failed: look again after this time, and not before.
    Failed(Duration),
}

impl Queue {
    /// The owner's clock was announced.
    pub(crate) fn hear(&self, owner: &Owner, clock: i64) {
        let mut state = self.state();
        if state.handled.get(owner).is_some_and(|handled| *handled >= clock) {
            return;
        }
        let has_room = state.ready.len() < MOST_WAITING;
        let is_new = state.add(owner, has_room);
        drop(state);
        if is_new && has_room {
            self.changed.notify_one();
        } else if is_new {
            self.miss();
        }
    }

    /// An announcement may have been missed: a sweep is due.
    pub(crate) fn miss(&self) {
        self.missed.notify_one();
    }

    /// Adds owners with unhandled entries, and waits until the queue is short.
    pub(super) async fn add(&self, owners: Vec<Owner>) {
        for owner in owners {
            if self.state().add(&owner, true) {
                self.changed.notify_one();
            }
        }
        loop {
            let shorter = self.shorter.notified();
            if self.state().ready.len() < 1_000 {
                return;
            }
            shorter.await;
        }
    }

    /// Waits until a sweep is due, at most for that long.
    pub(super) async fn missed(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.missed.notified()).await;
    }

    /// Waits for the next owner. Also returns its number of failures in a row.
    pub(super) async fn next(&self) -> (Owner, u32) {
        loop {
            let changed = self.changed.notified();
            let due = match self.state().next(Instant::now()) {
                Ok(next) => {
                    self.shorter.notify_waiters();
                    return next;
                }
                Err(due) => due,
            };
            match due {
                Some(due) => drop(timeout_at(due, changed).await),
                None => changed.await,
            }
        }
    }

    /// Whether another owner is ready.
    pub(super) fn others_wait(&self) -> bool {
        !self.state().ready.is_empty()
    }

    /// A worker is done with the owner.
    pub(super) fn leave(&self, owner: Owner, went: Went) {
        self.state().leave(owner, went);
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns whether the owner became ready; without room, whether it would have.
    fn add(&mut self, owner: &Owner, has_room: bool) -> bool {
        let seat = self.seats.get_mut(owner);
        let failures = match seat {
            Some(Seat { at: At::Busy { again }, .. }) => {
                *again = true;
                return false;
            }
            Some(Seat { at: At::Later { key, hurries: true }, failures }) => {
                self.later.remove(key);
                *failures
            }
            Some(_) => return false,
            None => 0,
        };
        if has_room {
            self.seats.insert(owner.clone(), Seat { at: At::Ready, failures });
            self.ready.push_back(owner.clone());
        } else {
            self.seats.remove(owner);
        }
        true
    }

    /// # Errors
    /// No owner is ready: the time at which the next one will be.
    fn next(&mut self, now: Instant) -> Result<(Owner, u32), Option<Instant>> {
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            self.ready.push_back(first.remove());
        }
        let Some(owner) = self.ready.pop_front() else {
            return Err(self.later.first_key_value().map(|((due, _), _)| *due));
        };
        let seat = self.seats.entry(owner.clone()).or_insert(Seat { at: At::Ready, failures: 0 });
        seat.at = At::Busy { again: false };
        Ok((owner, seat.failures))
    }

    fn leave(&mut self, owner: Owner, went: Went) {
        let Some(Seat { at: At::Busy { again }, failures }) = self.seats.remove(&owner) else {
            return;
        };
        let (wait, failures, hurries) = match went {
            Went::Done(clock) => {
                if self.handled.len() >= MOST_HANDLED {
                    self.handled.clear();
                }
                self.handled.insert(owner.clone(), clock);
                if !again {
                    return;
                }
                (None, 0, true)
            }
            Went::More => (None, 0, true),
            Went::Held(wait) => (Some(wait), failures.saturating_add(1), true),
            Went::Failed(wait) => (Some(wait), failures.saturating_add(1), false),
        };
        let at = match wait {
            None => {
                self.ready.push_back(owner.clone());
                At::Ready
            }
            // A sweep finds it after the pause, which the database stores.
            Some(_) if self.later.len() >= MOST_WAITING => return,
            Some(wait) => {
                self.numbers += 1;
                let key = (Instant::now() + wait, self.numbers);
                self.later.insert(key, owner.clone());
                At::Later { key, hurries }
            }
        };
        self.seats.insert(owner, Seat { at, failures });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn owner(name: &str) -> Owner {
        Owner::new(name).unwrap()
    }

    /// The owners that are ready now.
    fn ready(queue: &Queue) -> Vec<String> {
        let mut names = Vec::new();
        while let Ok((owner, _)) = queue.state().next(Instant::now()) {
            names.push(owner.to_string());
        }
        names
    }

    #[tokio::test]
    async fn an_owner_is_there_once_and_comes_again_if_it_is_heard_of_meanwhile() {
        let (queue, ada, bob) = (Queue::default(), owner("ada"), owner("bob"));
        for clock in [1, 2] {
            queue.hear(&ada, clock);
            queue.hear(&bob, clock);
        }
        assert_eq!(ready(&queue), ["ada", "bob"]);
        queue.hear(&ada, 3);
        assert!(ready(&queue).is_empty(), "somebody is at it");
        queue.leave(ada, Went::Done(2));
        queue.leave(bob, Went::Done(2));
        assert_eq!(ready(&queue), ["ada"]);
    }

    #[tokio::test]
    async fn what_is_handled_is_not_looked_for() {
        let (queue, ada) = (Queue::default(), owner("ada"));
        queue.hear(&ada, 2);
        ready(&queue);
        queue.leave(ada.clone(), Went::Done(2));
        queue.hear(&ada, 2);
        assert!(ready(&queue).is_empty());
        queue.hear(&ada, 3);
        assert_eq!(ready(&queue), ["ada"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_keeps_its_owner_away_whatever_is_heard_and_no_other() {
        let (queue, ada) = (Queue::default(), owner("ada"));
        queue.hear(&ada, 1);
        ready(&queue);
        queue.leave(ada.clone(), Went::Failed(SECOND));
        queue.hear(&ada, 2);
        queue.hear(&owner("bob"), 1);
        assert_eq!(ready(&queue), ["bob"]);
        let started = Instant::now();
        assert_eq!(queue.next().await, (ada.clone(), 1));
        assert_eq!(started.elapsed(), SECOND);
        queue.leave(ada.clone(), Went::Failed(SECOND));
        assert_eq!(queue.next().await, (ada.clone(), 2));
        queue.leave(ada.clone(), Went::Done(2));
        queue.hear(&ada, 3);
        assert_eq!(queue.next().await, (ada, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_another_holds_comes_at_once_if_it_is_heard_of() {
        let (queue, ada) = (Queue::default(), owner("ada"));
        queue.hear(&ada, 1);
        ready(&queue);
        queue.leave(ada.clone(), Went::Held(SECOND));
        assert!(ready(&queue).is_empty());
        queue.hear(&ada, 2);
        assert_eq!(ready(&queue), ["ada"]);
        queue.leave(ada, Went::Done(2));
        tokio::time::advance(2 * SECOND).await;
        assert!(ready(&queue).is_empty(), "and not twice");
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_hear_of_somebody_who_comes_earlier() {
        let queue = std::sync::Arc::new(Queue::default());
        for (name, wait) in [("ada", 2 * SECOND), ("bob", SECOND)] {
            queue.hear(&owner(name), 1);
            ready(&queue);
            let next = {
                let queue = queue.clone();
                tokio::spawn(async move { queue.next().await })
            };
            tokio::task::yield_now().await;
            queue.leave(owner(name), Went::Failed(wait));
            let started = Instant::now();
            assert_eq!(next.await.unwrap().0, owner(name));
            assert_eq!(started.elapsed(), wait);
        }
    }
}

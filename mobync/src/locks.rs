//! A queue per owner, within one process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{hash::HashMap, owner::Owner};

/// Queues by owner, in order; empty queues are removed.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnerLocks(Arc<Mutex<HashMap<Owner, Queue>>>);

#[derive(Debug)]
struct Queue {
    turns: Arc<Semaphore>,
    /// The number of syncs that hold a turn or wait for one.
    tickets: usize,
}

/// The owner's turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct OwnerGuard {
    // Dropped in this order: the ticket must be the last reference to the queue.
    _turn: Option<OwnedSemaphorePermit>,
    _ticket: Ticket,
}

/// The owner's queue is too long.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too many syncs of one owner wait")]
pub(crate) struct TooMany;

impl OwnerLocks {
    /// Waits for the owner's exclusive turn.
    #[cfg(any(test, feature = "memory"))]
    pub(crate) async fn lock(&self, owner: &Owner) -> OwnerGuard {
        let (ticket, turns) = self.ticket(owner, 1);
        OwnerGuard { _turn: turns.acquire_owned().await.ok(), _ticket: ticket }
    }

    /// Waits for one of the owner's turns, unless more than `most` syncs would hold or wait for one.
    pub(crate) async fn enter(
        &self,
        owner: &Owner,
        turns: usize,
        most: usize,
    ) -> Result<OwnerGuard, TooMany> {
        let (ticket, turns) = self.ticket(owner, turns);
        if self.map().get(owner).is_some_and(|queue| queue.tickets > most) {
            return Err(TooMany);
        }
        Ok(OwnerGuard { _turn: turns.acquire_owned().await.ok(), _ticket: ticket })
    }

    fn ticket(&self, owner: &Owner, turns: usize) -> (Ticket, Arc<Semaphore>) {
        let mut map = self.map();
        let queue = map.entry(owner.clone()).or_insert_with(|| Queue {
            turns: Arc::new(Semaphore::new(turns.clamp(1, Semaphore::MAX_PERMITS))),
            tickets: 0,
        });
        queue.tickets += 1;
        (Ticket { owner: owner.clone(), locks: self.clone() }, Arc::clone(&queue.turns))
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Owner, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a holder or waiter. The last one to be dropped (also by cancellation) removes the
/// queue.
#[derive(Debug)]
struct Ticket {
    owner: Owner,
    locks: OwnerLocks,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut map = self.locks.map();
        if let Some(queue) = map.get_mut(&self.owner) {
            queue.tickets -= 1;
            if queue.tickets == 0 {
                map.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::new(name).unwrap()
    }

    #[tokio::test]
    async fn owners_do_not_wait_for_each_other_and_one_owner_does() {
        let locks = OwnerLocks::default();
        let ada = owner("ada");
        let held = locks.lock(&ada).await;
        let _bob = locks.lock(&owner("bob")).await;
        let again = locks.lock(&ada);
        assert!(tokio::time::timeout(Duration::from_millis(20), again).await.is_err());
        drop(held);
        locks.lock(&ada).await;
    }

    #[tokio::test]
    async fn locks_of_owners_long_gone_are_forgotten_also_after_a_cancelled_wait() {
        let locks = OwnerLocks::default();
        for number in 0..1000 {
            locks.lock(&owner(&format!("owner{number}"))).await;
        }
        let ada = owner("ada");
        let held = locks.lock(&ada).await;
        let waiting = locks.lock(&ada);
        assert!(tokio::time::timeout(Duration::from_millis(5), waiting).await.is_err());
        assert_eq!(locks.map().len(), 1);
        assert_eq!(locks.map()[&ada].tickets, 1);
        drop(held);
        assert!(locks.map().is_empty());
    }

    #[tokio::test]
    async fn a_queue_has_so_many_turns_and_so_many_places_and_is_fair() {
        let (locks, ada) = (OwnerLocks::default(), owner("ada"));
        let mut held = vec![locks.enter(&ada, 2, 4).await.unwrap()];
        held.push(locks.enter(&ada, 2, 4).await.unwrap());
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..2)
            .map(|place| {
                let (locks, ada, order) = (locks.clone(), ada.clone(), Arc::clone(&order));
                tokio::spawn(async move {
                    let _turn = locks.enter(&ada, 2, 4).await.unwrap();
                    order.lock().unwrap().push(place);
                })
            })
            .collect();
        while locks.map()[&ada].tickets < 4 {
            tokio::task::yield_now().await;
        }
        assert!(locks.enter(&ada, 2, 4).await.is_err(), "a fifth has no place");
        assert!(locks.enter(&owner("bob"), 2, 4).await.is_ok(), "but others have");
        assert!(order.lock().unwrap().is_empty());
        drop(held);
        for waiting in waiting {
            waiting.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1]);
        assert!(locks.map().is_empty());
    }
}

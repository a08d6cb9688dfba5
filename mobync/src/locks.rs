//! A lock per owner, within one process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::{Owner, hash::HashMap};

type Lock = Arc<tokio::sync::Mutex<()>>;

/// Locks by owner; those that nobody holds or waits for are forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnerLocks(Arc<Mutex<HashMap<Owner, Lock>>>);

/// While this lives, nobody else holds the owner's lock.
#[derive(Debug)]
pub(crate) struct OwnerGuard {
    // Dropped in this order: the ticket must be the last to know the lock.
    _held: OwnedMutexGuard<()>,
    _ticket: Ticket,
}

impl OwnerLocks {
    /// Waits for the owner's turn, first come first served.
    pub(crate) async fn lock(&self, owner: &Owner) -> OwnerGuard {
        let ticket = self.ticket(owner);
        let held = Arc::clone(&ticket.lock).lock_owned().await;
        OwnerGuard { _held: held, _ticket: ticket }
    }

    fn ticket(&self, owner: &Owner) -> Ticket {
        let lock = Arc::clone(self.map().entry(owner.clone()).or_default());
        Ticket { owner: owner.clone(), lock, locks: self.clone() }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Owner, Lock>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A holder's or waiter's place; the last one that goes (also a cancelled one) removes the lock.
#[derive(Debug)]
struct Ticket {
    owner: Owner,
    lock: Lock,
    locks: OwnerLocks,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Locks are handed out under the map's mutex only, so the count cannot grow meanwhile.
        let mut map = self.locks.map();
        if Arc::strong_count(&self.lock) == 2 {
            map.remove(&self.owner);
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
        drop(held);
        assert!(locks.map().is_empty());
    }
}

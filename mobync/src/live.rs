//! The listeners for owners' clocks.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
};

use tokio::sync::watch;

use crate::{error::Error, follow::Queue, owner::Owner};

/// The devices that listen in this process for the clocks of their owners.
///
/// A [`Mobync`](crate::Mobync) has one, announces the clock of every sync to it, and returns it with
/// [`live`](crate::Mobync::live). The listeners are the streams of a
/// [`LiveEndpoint`](crate::http::LiveEndpoint). Only the newest clock of an owner is stored, and only while
/// the owner has listeners. Cheap to clone; clones share their listeners.
///
/// If several processes serve one database, each learns of the others' syncs from the database:
/// [`announce`](Self::announce) these clocks, and call [`disconnect`](Self::disconnect) if some may have
/// been missed.
///
/// ```
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let live = mobync.live();
/// live.announce(&Owner::new("ada")?, 7); // another process has come to clock 7
/// live.disconnect(); // the connection to the others was lost, and is back
/// live.close(); // this process is about to end
/// # Ok::<(), mobync::InvalidOwner>(())
/// ```
#[derive(Clone, Debug)]
pub struct Live {
    // `None` once closed.
    open: Arc<RwLock<Option<Open>>>,
    followers: Arc<RwLock<Vec<Weak<Queue>>>>,
}

/// Dropping a sender ends the streams that listen to it.
#[derive(Debug)]
struct Open {
    owners: HashMap<Owner, watch::Sender<i64>>,
    until: watch::Sender<()>,
}

impl Live {
    /// Tells the owner's listeners that the clock has reached this tick, unless they know a later one.
    pub fn announce(&self, owner: &Owner, clock: i64) {
        self.each_follower(|follower| follower.hear(owner, clock));
        if let Some(sender) = self.read().as_ref().and_then(|open| open.owners.get(owner)) {
            sender.send_if_modified(|newest| {
                let is_newer = clock > *newest;
                *newest = clock.max(*newest);
                is_newer
            });
        }
    }

    /// Ends all streams. The devices reconnect, and so learn of clocks that they have missed.
    pub fn disconnect(&self) {
        self.each_follower(Queue::miss);
        if let Some(open) = self.write().as_mut() {
            *open = Open::default();
        }
    }

    /// Ends all streams, and accepts no new ones. Call it when the server shuts down, because a
    /// graceful shutdown waits for open streams.
    pub fn close(&self) {
        self.write().take();
    }

    /// The number of listeners. A stream over several spaces is one of the person's own data, and one of each
    /// space.
    pub fn listeners(&self) -> usize {
        let open = self.read();
        let senders = open.iter().flat_map(|open| open.owners.values());
        senders.map(watch::Sender::receiver_count).sum()
    }

    /// Starts listening for the owner, unless it already has `most` listeners.
    pub(crate) fn listen(&self, owner: &Owner, most: usize) -> Result<Listener, Error> {
        let mut open = self.write();
        let owners = &mut open.as_mut().ok_or_else(Error::closing)?.owners;
        let newest = match owners.get(owner) {
            Some(sender) if sender.receiver_count() >= most => {
                return Err(Error::TooManyListeners { most });
            }
            None if most == 0 => return Err(Error::TooManyListeners { most }),
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, newest) = watch::channel(0);
                owners.insert(owner.clone(), sender);
                newest
            }
        };
        Ok(Listener { newest, _seat: Seat { owner: owner.clone(), live: self.clone() } })
    }

    /// Waits until all streams of now should end, for one that may have no listener.
    pub(crate) fn until(&self) -> Result<impl Future<Output = ()> + Send + use<>, Error> {
        let open = self.read();
        let mut until = open.as_ref().ok_or_else(Error::closing)?.until.subscribe();
        Ok(async move { while until.changed().await.is_ok() {} })
    }

    /// Sends all owners' clocks to the follower, as long as it exists.
    pub(crate) fn follow(&self, follower: &Arc<Queue>) {
        let mut followers = self.followers.write().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(Arc::downgrade(follower));
    }

    fn each_follower(&self, tell: impl Fn(&Queue)) {
        let followers = self.followers.read().unwrap_or_else(PoisonError::into_inner);
        followers.iter().filter_map(Weak::upgrade).for_each(|follower| tell(&follower));
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Open>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Open>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Live {
    fn default() -> Self {
        Self { open: Arc::new(RwLock::new(Some(Open::default()))), followers: Arc::default() }
    }
}

impl Default for Open {
    fn default() -> Self {
        Self { owners: HashMap::new(), until: watch::Sender::new(()) }
    }
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Listener {
    // Dropped in this order: the receiver must be gone before the seat.
    newest: watch::Receiver<i64>,
    _seat: Seat,
}

impl Listener {
    /// Waits for a clock greater than `told`; `None` if the stream should end.
    pub(crate) async fn beyond(&mut self, told: i64) -> Option<i64> {
        self.newest.wait_for(|clock| *clock > told).await.ok().map(|clock| *clock)
    }

    /// The newest clock that was announced since somebody listens.
    pub(crate) fn newest(&self) -> i64 {
        *self.newest.borrow()
    }
}

/// A listener's place. The last one that is dropped removes the owner.
#[derive(Debug)]
struct Seat {
    owner: Owner,
    live: Live,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.live.write();
        let Some(Open { owners, .. }) = open.as_mut() else { return };
        if owners.get(&self.owner).is_some_and(|sender| sender.receiver_count() == 0) {
            owners.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::new(name).unwrap()
    }

    fn owners(live: &Live) -> usize {
        live.read().as_ref().map_or(0, |open| open.owners.len())
    }

    #[tokio::test]
    async fn only_the_newest_clock_is_kept_for_one_who_is_slow() {
        let (live, ada) = (Live::default(), owner("ada"));
        let mut slow = live.listen(&ada, 1).unwrap();
        for clock in 1..=1000 {
            live.announce(&ada, clock);
        }
        live.announce(&ada, 7);
        assert_eq!(slow.beyond(0).await, Some(1000));
    }

    #[tokio::test]
    async fn owners_without_listeners_hold_nothing() {
        let live = Live::default();
        for number in 0..100 {
            live.announce(&owner(&format!("owner{number}")), 1);
        }
        assert_eq!(owners(&live), 0);
        let (first, second) = (live.listen(&owner("ada"), 9), live.listen(&owner("ada"), 9));
        drop(first);
        assert_eq!((owners(&live), live.listeners()), (1, 1));
        drop(second);
        assert_eq!((owners(&live), live.listeners()), (0, 0));
    }

    #[tokio::test]
    async fn a_listener_from_before_a_disconnect_does_not_take_a_newer_one_along() {
        let (live, ada) = (Live::default(), owner("ada"));
        let mut before = live.listen(&ada, 9).unwrap();
        live.disconnect();
        assert_eq!(before.beyond(0).await, None);
        let mut after = live.listen(&ada, 9).unwrap();
        drop(before);
        live.announce(&ada, 3);
        assert_eq!(after.beyond(0).await, Some(3));
    }
}

//! The cursors of followers, in memory.

use std::time::Duration;

use tokio::time::Instant;

use super::MemoryDatabase;
use crate::{
    DatabaseError, Diff, Owner,
    follow::{Cursors, LONGEST, News, Page, Place, Start},
    hash::HashMap,
};

/// By follower and owner.
#[derive(Debug, Default)]
pub(super) struct Followers(HashMap<String, HashMap<Owner, Cursor>>);

impl Followers {
    /// The least clock that a follower has reached.
    pub(super) fn handled(&self, owner: &Owner) -> Option<i64> {
        let clock = |cursors: &HashMap<Owner, Cursor>| cursors.get(owner).map_or(0, |it| it.clock);
        self.0.values().map(clock).min()
    }
}

#[derive(Debug, Default)]
struct Cursor {
    clock: i64,
    /// The holder of the lease, and when it ends.
    holder: Option<(String, Instant)>,
}

impl Cursor {
    fn is_held(&self) -> bool {
        self.holder.as_ref().is_some_and(|(_, until)| *until > Instant::now())
    }

    fn is_of(&self, holder: &str) -> bool {
        self.holder.as_ref().is_some_and(|(name, _)| name == holder)
    }
}

impl Cursors for MemoryDatabase {
    async fn prepare(&self, log: &str, follower: &str, start: Start) -> Result<(), DatabaseError> {
        // Both are locked, so that nothing is committed in between.
        let (spaces, mut followers) = (self.spaces(), self.followers());
        if followers.0.contains_key(follower) {
            return Ok(());
        }
        let cursors = followers.0.entry(follower.to_owned()).or_default();
        if start == Start::Now {
            for (owner, space) in spaces.iter() {
                let cursor = Cursor { clock: space.clock(log), holder: None };
                cursors.insert(owner.clone(), cursor);
            }
        }
        Ok(())
    }

    async fn take(&self, place: &Place<'_>, hold: Duration) -> Result<Option<i64>, DatabaseError> {
        let mut followers = self.followers();
        let cursors = followers.0.entry(place.follower.to_owned()).or_default();
        let cursor = cursors.entry(place.owner.clone()).or_default();
        if cursor.is_held() && !cursor.is_of(place.holder) {
            return Ok(None);
        }
        cursor.holder = Some((place.holder.to_owned(), Instant::now() + hold.min(LONGEST)));
        Ok(Some(cursor.clock))
    }

    async fn keep(
        &self,
        place: &Place<'_>,
        clock: i64,
        hold: Duration,
    ) -> Result<bool, DatabaseError> {
        let mut followers = self.followers();
        let cursors = followers.0.get_mut(place.follower);
        let cursor = cursors.and_then(|cursors| cursors.get_mut(place.owner));
        let cursor = cursor.filter(|cursor| cursor.is_of(place.holder) && cursor.clock <= clock);
        let Some(cursor) = cursor else { return Ok(false) };
        cursor.clock = clock;
        cursor.holder = Some((place.holder.to_owned(), Instant::now() + hold.min(LONGEST)));
        Ok(true)
    }

    async fn forget(&self, _: &str, follower: &str) -> Result<(), DatabaseError> {
        self.followers().0.remove(follower);
        Ok(())
    }

    async fn behind(
        &self,
        log: &str,
        follower: &str,
        _: Option<&Owner>,
        _: usize,
    ) -> Result<Page, DatabaseError> {
        let (spaces, followers) = (self.spaces(), self.followers());
        let cursors = followers.0.get(follower);
        let is_behind = |owner: &Owner, clock| match cursors.and_then(|cursors| cursors.get(owner))
        {
            Some(cursor) => cursor.clock < clock && !cursor.is_held(),
            None => clock > 0,
        };
        let owners = spaces.iter().filter(|(owner, space)| is_behind(owner, space.clock(log)));
        Ok(Page::new(owners.map(|(owner, _)| owner.clone()).collect(), None))
    }

    async fn entries(
        &self,
        log: &str,
        owner: &Owner,
        since: i64,
        most: usize,
    ) -> Result<News, DatabaseError> {
        let spaces = self.spaces();
        let log = spaces.get(owner).map(|space| space.log(log)).unwrap_or_default();
        let first = log.partition_point(|entry| entry.logical_clock < since);
        let log = log.get(first..).unwrap_or_default();
        let ticks = log.chunk_by(|left, right| left.logical_clock == right.logical_clock);
        let mut entries: Vec<Diff> = Vec::new();
        for tick in ticks {
            if !entries.is_empty() && entries.len() + tick.len() > most {
                break;
            }
            let with_owner = |entry: &Diff| Diff { owner: owner.to_string(), ..entry.clone() };
            entries.extend(tick.iter().map(with_owner));
        }
        let more = entries.len() < log.len();
        entries.sort_by(|left, right| left.order().cmp(&right.order()));
        let mut news = News::default();
        (news.entries, news.more) = (entries, more);
        Ok(news)
    }
}

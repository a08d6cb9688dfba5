//! A device that starts again from clock 0: after its server was restored, or because it was away for too
//! long.

use std::collections::BTreeSet;

use mobync::{
    Access,
    client::{LocalStore, LocalUnit, Request},
};

use super::{Change, Entry, Failure, Kept, Key, Kind, Ours, Seen, Step, convert, same};

impl Ours {
    /// Objects that waited to be deleted, and that the answer has brought, are deleted by a change of the
    /// device's own.
    pub(super) async fn delete_again(&mut self, brought: &[Entry], left: &BTreeSet<Key>) -> Step {
        let back = self.told.back(brought, left);
        if back.is_empty() {
            return Ok(());
        }
        let fate = self.device.store();
        let next = fate.suspend();
        let pending = self.device.pending().await.map_err(Failure::of)?;
        fate.resume(next);
        let new = pending.iter().skip(self.told.pending.len());
        let new: Vec<Change> = new.map(|it| convert::change(&it.diff)).collect();
        // The text does not say in which order.
        let mut keys: Vec<(Key, Kind)> = new.iter().map(|it| (it.key(), it.kind)).collect();
        keys.sort_unstable();
        let said: Vec<(Key, Kind)> = back.into_iter().map(|key| (key, Kind::Delete)).collect();
        same("what is deleted again", &keys, &said)?;
        for change in new {
            self.told.record(change);
        }
        Ok(())
    }

    /// The server no longer keeps what the device has missed.
    pub async fn hear_too_old(
        &mut self,
        number: usize,
        request: &Request,
        forgotten: bool,
    ) -> Step {
        if self.waits_for != Some(number) {
            return Ok(());
        }
        let outcome = self.device.too_old(request, forgotten).await;
        if !matches!(self.was_kept(outcome).await?, Kept::No) {
            // This request had an answer.
            self.told.sent.retain(|id| !self.first_sent.contains(id));
            self.seen = Seen::default();
            if forgotten {
                self.hear_of_set_aside().await?;
            }
            self.told.too_old();
            self.versions.sent = self.versions.app;
            self.waits_for = None;
        }
        self.check().await
    }

    /// Passes to the oracle what was set aside: changes that may have counted, and those that depend on them.
    async fn hear_of_set_aside(&mut self) -> Step {
        let fate = self.device.store();
        let next = fate.suspend();
        let refused = self.device.refused().await.map_err(Failure::of)?;
        fate.resume(next);
        for refused in refused {
            let id = refused.diff.id;
            if self.told.refused.iter().all(|(known, _)| *known != id) {
                self.told.pending.retain(|change| change.id != id);
                self.told.refused.push((id, "too_old"));
            }
        }
        let may_count = self.told.pending.iter().any(|change| self.told.sent.contains(&change.id));
        same("that what may have counted is still pending", &may_count, &false)
    }

    /// The device has seen another history: it starts again with this one, and keeps what it has.
    pub async fn start_again(&mut self, number: usize) -> Step {
        if self.waits_for != Some(number) {
            return Ok(());
        }
        let outcome = self.device.resync().await;
        if !matches!(self.was_kept(outcome).await?, Kept::No) {
            (self.waits_for, self.starts_again, self.seen) = (None, true, Seen::default());
            self.mirror().await?;
            self.told.start_again();
            self.versions.sent = self.versions.app;
        }
        self.check().await
    }

    /// The text does not say here how a device starts again, only that all converge.
    async fn mirror(&mut self) -> Step {
        let fate = self.device.store();
        let next = fate.suspend();
        let pending = self.device.pending().await.map_err(Failure::of)?;
        let objects = self.rows().await?;
        let unit = fate.begin(Access::Read).await.map_err(Failure::of);
        let waiting = unit?.state().await.map_err(Failure::of)?.deleted_before_resync;
        fate.resume(next);
        let sent = pending.iter().filter(|pending| pending.sent);
        self.told.sent = sent.map(|pending| pending.diff.id.clone()).collect();
        self.told.pending = pending.iter().map(|it| convert::change(&it.diff)).collect();
        self.told.objects = objects;
        self.told.waiting = waiting.into_iter().collect();
        Ok(())
    }
}

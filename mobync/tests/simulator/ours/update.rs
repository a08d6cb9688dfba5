//! A device whose app is updated: its data has newer names, and everything is fetched once more.

use mobync::client::{Device, DeviceError, Request};

use super::{Failure, Kept, Kind, Oracle, Ours, Step, Version, same};
use crate::{
    oracle::device::apply,
    versions::{self, NEWEST},
};

impl Ours {
    /// The app is updated by this many versions, without a network.
    pub async fn update(&mut self, by: u64) -> Step {
        let Some(version) = self.versions.app.0.filter(|version| *version < NEWEST) else {
            return Ok(());
        };
        let app = Version(Some(NEWEST.min(version + by)));
        let store = self.device.store().clone();
        let updated = Device::new(store.clone()).schema(versions::schema(app.0.unwrap())).await;
        let outcome = updated.map(drop);
        // An update that the app did not survive begins again.
        if store.take_death().is_none() {
            outcome.map_err(Failure::of)?;
        }
        self.update_told(app);
        self.restart().await;
        let older = Device::new(store).schema(versions::schema(version)).await;
        same("*Kept*: an older app is refused", &is_newer(older.err().as_ref()), &true)?;
        self.check().await
    }

    /// The data of the text is given to an app of this version.
    pub(super) fn update_told(&mut self, app: Version) {
        if self.versions.app == app {
            return;
        }
        let (had_old, told) = (self.versions.app.has_old("tasks"), &mut self.told);
        if had_old && !app.has_old("tasks") {
            told.objects.values_mut().for_each(|row| drop(row.remove("old")));
            told.pending.iter_mut().for_each(|change| drop(change.fields.remove("old")));
            let sent = &told.sent;
            told.pending.retain(|change| {
                change.kind != Kind::Update
                    || !change.fields.is_empty()
                    || sent.contains(&change.id)
            });
            told.held.iter_mut().for_each(|entry| drop(entry.fields.remove("old")));
            told.release_idle();
        }
        // A device that has received nothing will get everything anyway.
        let sent = if self.told.clock == 0 { app } else { self.versions.sent };
        self.versions = super::Versions { app, sent };
    }

    /// The next request for a page of what is fetched once more.
    pub async fn fetch_beside(
        &mut self,
        number: usize,
        page: Option<u64>,
    ) -> Result<Option<Request>, Failure> {
        let has_all = self.versions.sent == self.versions.app;
        if has_all || !self.is_quiet() || self.told.has_more || number % 2 == 1 {
            return Ok(None);
        }
        let outcome = self.device.fetch_beside(page.unwrap_or(1000)).await;
        match self.was_kept(outcome).await? {
            Kept::Yes(request) => {
                same("that something is fetched once more", &request.is_some(), &true)?;
                Ok(request)
            }
            _ => Ok(None),
        }
    }

    /// The answer to it.
    pub async fn hear_beside(
        &mut self,
        request: &Request,
        answer: &mobync::SyncResponse,
        oracle: &Oracle,
    ) -> Step {
        self.take(request, answer).await?;
        self.take_over(oracle).await?;
        self.check().await
    }

    /// The server does not have what was fetched once more so far.
    pub async fn begin_beside_again(&mut self, request: &Request) -> Step {
        let outcome = self.device.too_old(request, false).await;
        self.was_kept(outcome).await?;
        self.check().await
    }

    /// If everything has been fetched once more, it takes the place of what the device had.
    pub(super) async fn take_over(&mut self, oracle: &Oracle) -> Step {
        if self.versions.sent == self.versions.app {
            return Ok(());
        }
        let fate = self.device.store();
        let next = fate.suspend();
        let beside = self.device.fetch_beside(1).await.map_err(Failure::of)?;
        fate.resume(next);
        if beside.is_some() {
            return Ok(());
        }
        let app = self.versions.app;
        self.versions.sent = app;
        let mut objects = app.rows(&oracle.past(self.told.clock).objects());
        for ((model, _), row) in objects.iter_mut().filter(|((model, _), _)| app.has_old(model)) {
            debug_assert_eq!(model, "tasks");
            row.insert("old".to_owned(), versions::replaced());
        }
        for change in &self.told.pending {
            apply(&mut objects, change.key(), change.kind, &change.fields);
        }
        self.told.objects = objects;
        Ok(())
    }
}

fn is_newer(error: Option<&DeviceError>) -> bool {
    matches!(error, Some(DeviceError::NewerData { .. }))
}

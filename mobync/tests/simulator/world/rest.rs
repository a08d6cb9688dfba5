//! How a world ends.

use super::{Client, Device, Failure, NEWEST, Ours, Place, Version, World, same};

impl<D: Place> World<D> {
    /// Faults end, nobody writes, all sync: then all are equal, and stay equal.
    pub(super) async fn come_to_rest(&mut self) -> Result<(), Failure> {
        self.server.calm();
        for device in &self.devices {
            if let Client::Ours(ours) = &device.client {
                ours.spare();
            }
        }
        for _ in 0..2 {
            for device in 0..self.devices.len() {
                self.sync_until_quiet(device).await?;
            }
        }
        // Marks wait for a device that gets an answer.
        for owner in 0..self.settings.owners {
            let mut devices = self.devices.iter().filter(|device| device.owner == owner);
            if devices.all(Device::is_lost) {
                self.add_fresh(owner).await?;
            }
        }
        self.server.check_rest().await?;
        let clocks: Vec<i64> =
            (0..self.settings.owners).map(|o| self.server.oracle(o).clock()).collect();
        for device in 0..self.devices.len() {
            self.sync(device).await?;
        }
        let after: Vec<i64> =
            (0..self.settings.owners).map(|o| self.server.oracle(o).clock()).collect();
        same("the clocks of owners at rest", &after, &clocks)?;

        for owner in 0..self.settings.owners {
            let rows = self.server.oracle(owner).objects();
            for device in self.devices.iter().filter(|device| device.owner == owner) {
                device.compare(&rows, self.settings.published())?;
            }
            self.add_fresh(owner).await?;
            self.devices
                .last()
                .map_or(Ok(()), |fresh| fresh.compare(&rows, self.settings.published()))?;
        }
        Ok(())
    }

    /// Adds a new device, which syncs.
    async fn add_fresh(&mut self, owner: usize) -> Result<(), Failure> {
        let app = Version(self.settings.versions.then_some(NEWEST));
        let client = Client::Ours(Box::new(Ours::new(100, app).await));
        self.devices.push(Device { owner, client, off: 0, sent: None });
        self.sync_until_quiet(self.devices.len() - 1).await
    }

    async fn sync_until_quiet(&mut self, device: usize) -> Result<(), Failure> {
        for _ in 0..200 {
            self.pass(1);
            self.sync(device).await?;
            let device = &self.devices[device];
            let now = self.server.oracle(device.owner).clock();
            let is_quiet = match &device.client {
                Client::Ours(ours) => ours.has_all() && ours.clock() == now,
                Client::Published { now: published, .. } => {
                    published.is_lost || published.clock == now
                }
            };
            if is_quiet {
                return Ok(());
            }
        }
        Err(Failure("a device has changes that never go out".to_owned()))
    }
}

//! How a world of teams ends.

use super::{
    club::{Club, Flaw, OWNERS, Whose},
    phone::{Client, Phone, Wrong},
    script::Kind,
    world::World,
};
use crate::{hand::Place, ours::same, world::Failure};

impl<D: Place> World<D> {
    /// Faults end, nobody writes, nobody moves, all sync: then the members of each space are equal, and nobody
    /// else has anything of it.
    pub(super) async fn come_to_rest(&mut self) -> Result<(), Failure> {
        self.desk.server.calm();
        self.desk.is_old = false;
        self.club(Club::calm);
        for phone in &mut self.phones {
            phone.spare();
        }
        for _ in 0..2 {
            for phone in 0..self.phones.len() {
                self.sync_until_quiet(phone).await?;
            }
        }
        // All join all that there is, once more: those who are no members are told so.
        for phone in 0..self.phones.len() {
            for space in 0..self.settings.spaces {
                self.phones[phone].join(space).await?;
            }
            self.sync_until_quiet(phone).await?;
        }
        self.desk.server.check_rest().await?;
        let clocks = self.clocks();
        for phone in 0..self.phones.len() {
            self.sync(phone).await?;
        }
        same("the clocks of owners at rest", &self.clocks(), &clocks)?;
        for phone in 0..self.phones.len() {
            self.check_phone(phone).await?;
        }
        for person in 0..self.settings.people {
            let kind = Kind::Text { limit: 100 };
            let number = self.phones.len();
            let names = self.settings.names;
            self.phones.push(Phone::new(number, person, kind, names, Wrong::None));
            for space in 0..self.settings.spaces {
                self.phones[number].join(space).await?;
            }
            self.sync_until_quiet(number).await?;
            self.check_phone(number).await?;
        }
        Ok(())
    }

    fn clocks(&self) -> Vec<i64> {
        (0..OWNERS.len()).map(|owner| self.desk.server.oracle(owner).clock()).collect()
    }

    /// It has exactly what its person may see, as the server has it.
    async fn check_phone(&self, phone: usize) -> Result<(), Failure> {
        let phone = &self.phones[phone];
        phone.check_gone().await?;
        let mut all: Vec<Whose> = vec![None];
        if !matches!(phone.client, Client::Published(_)) {
            all.extend((0..self.settings.spaces).map(Some));
        }
        let may: Vec<Whose> =
            all.into_iter().filter(|whose| self.may(phone.person, *whose).is_some()).collect();
        for whose in &may {
            if let Some(owner) = self.may(phone.person, *whose) {
                phone.compare(*whose, &self.rows(owner))?;
            }
        }
        let said: Vec<usize> = may.into_iter().flatten().collect();
        same("the spaces that a phone has", &phone.spaces(), &said)
    }

    async fn sync_until_quiet(&mut self, phone: usize) -> Result<(), Failure> {
        for _ in 0..200 {
            self.pass(1);
            self.sync(phone).await?;
            let it = &self.phones[phone];
            let mut all = it.spaces().into_iter().map(Some).chain([None]);
            let is_quiet = |whose: Whose| {
                let owner = self.may(it.person, whose);
                owner
                    .is_some_and(|owner| it.is_quiet(whose, self.desk.server.oracle(owner).clock()))
            };
            if all.all(is_quiet) {
                return Ok(());
            }
        }
        Err(Failure("a phone has changes that never go out".to_owned()))
    }
}

/// Nobody breaks a rule.
pub const SOUND: (Flaw, Wrong) = (Flaw::None, Wrong::None);

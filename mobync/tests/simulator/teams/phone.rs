//! A phone: what it has by the text, and the client on it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    club::{OWNERS, SPACES, Whose, owner_of},
    driven::Driven,
    held::{self, Outcome},
    ours,
    post::{One, Sent, part},
    script::Kind,
    serve::{Answered, Whole},
};
use crate::{
    convert,
    oracle::{Change, Entry, Fields, Objects},
    ours::same,
    published::Published,
    server::Reply,
    step::{Edit, KilledAt},
    store::Mortal,
    world::{Failure, kind},
};

/// A rule of the client that is broken, to check that it is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    None,
    /// What was not sent when a space was left is sent when it is joined again.
    SendsAgain,
    /// A space that is gone stays on the phone.
    KeepsWhatIsGone,
    /// Two answers are applied to each other's spaces.
    SwapsAnswers,
    /// The answer to a request from before a space was left is applied when it was joined again.
    HearsOfBefore,
    /// What was not sent when a space was left is forgotten.
    ForgetsUnsent,
}

pub struct Phone {
    pub(super) number: usize,
    pub person: usize,
    /// The person whose token it has.
    pub token: usize,
    pub told: held::Phone,
    pub client: Client,
    /// How far its clock is off, in milliseconds.
    pub off: i64,
    pub(super) now: i64,
    /// Grows with each start of the app.
    pub life: usize,
    /// The request that it waits for.
    pub waits_for: Option<usize>,
    /// How often it has left a space because it was told.
    pub told_gone: usize,
    /// The greatest number of diffs of a space in a request, and of spaces.
    pub(super) limit: usize,
    pub(super) most_spaces: usize,
    /// Whether the server did not know `syncs` the last time.
    pub(super) is_old: bool,
    pub(super) names: bool,
    pub(super) wrong: Wrong,
    pub(super) recorded: BTreeMap<Whose, usize>,
    backup: Option<Box<Saved>>,
    /// For [`Wrong::SendsAgain`] and [`Wrong::HearsOfBefore`].
    pub(super) stash: BTreeMap<Whose, (Vec<Change>, Option<usize>)>,
}

pub enum Client {
    /// It does what the text says.
    Text,
    Ours(Box<Driven>),
    Published(Box<Published>),
}

enum Saved {
    Text(held::Phone),
    Ours(held::Phone, Mortal),
    Published(Box<Published>),
}

impl Phone {
    pub fn new(number: usize, person: usize, kind: Kind, names: bool, wrong: Wrong) -> Self {
        let (client, limit) = match kind {
            Kind::Text { limit } => (Client::Text, limit),
            Kind::Ours { limit } => (ours::client(limit), limit),
            Kind::Published => (Client::Published(Box::default()), usize::MAX),
        };
        Self {
            number,
            person,
            token: person,
            told: held::Phone::new(),
            client,
            off: 0,
            now: 0,
            life: 0,
            waits_for: None,
            told_gone: 0,
            limit,
            most_spaces: 100,
            is_old: false,
            names,
            wrong,
            recorded: BTreeMap::new(),
            backup: None,
            stash: BTreeMap::new(),
        }
    }

    pub fn set_time(&mut self, now: i64) {
        self.now = (now + self.off).max(0);
        if let Client::Ours(driven) = &self.client {
            driven.set_time(self.now);
        }
    }

    pub fn is_waiting(&self) -> bool {
        match &self.client {
            Client::Ours(driven) => driven.is_waiting(),
            Client::Text | Client::Published(_) => self.waits_for.is_some(),
        }
    }

    /// Dies at that point of its store, after it was there so often.
    pub fn kill(&mut self, at: KilledAt, after: usize) {
        match &self.client {
            Client::Ours(driven) => driven.kill(at, after),
            Client::Text | Client::Published(_) => self.waits_for = None,
        }
    }

    /// Nothing happens to it any more.
    pub fn spare(&mut self) {
        if let Client::Ours(driven) = &self.client {
            driven.spare();
        }
        self.log_in(self.person);
        (self.is_old, self.most_spaces) = (false, 100);
    }

    /// The app is started with another token. Its data is of somebody already, if the phone knows whose.
    pub fn log_in(&mut self, person: usize) {
        let own = self.told.held.get(&None);
        if let Client::Ours(driven) = &mut self.client
            && own.is_some_and(|own| own.told.owner.is_some())
            && self.token != person
        {
            driven.restart();
            (self.token, self.waits_for) = (person, None);
            self.life += 1;
        }
    }

    /// The changes of that owner's data that it may repeat at clock 0.
    pub fn repeats_from_0(&self, owner: usize) -> Vec<String> {
        if let Client::Published(now) = &self.client {
            let saved = match self.backup.as_deref() {
                Some(Saved::Published(saved)) => Some(saved),
                _ => None,
            };
            let both = std::iter::once(now).chain(saved).filter(|_| owner == self.person);
            return both.flat_map(|it| it.repeats_from_0().cloned()).collect();
        }
        let is_of = |whose: &Whose| whose.map_or(Some(self.person), owner_of) == Some(owner);
        let saved = match self.backup.as_deref() {
            Some(Saved::Text(saved) | Saved::Ours(saved, _)) => Some(saved),
            _ => None,
        };
        let mut ids = Vec::new();
        for told in std::iter::once(&self.told).chain(saved) {
            let held =
                told.held.iter().filter(|(whose, held)| is_of(whose) && held.told.clock == 0);
            for (_, held) in held {
                ids.extend(held.told.sent.iter().cloned());
                // What the copy does not know to be sent, the phone may have sent since.
                ids.extend(held.told.pending.iter().map(|change| change.id.clone()));
            }
        }
        ids
    }

    pub async fn edit(&mut self, whose: Whose, edit: &Edit, fields: Fields) -> Result<(), Failure> {
        let key = edit.key();
        match &mut self.client {
            Client::Text => {
                let Some(held) = self.told.held.get(&whose) else { return Ok(()) };
                let does = kind(edit, held.told.objects.contains_key(&key));
                self.record(whose, key, does, fields);
            }
            Client::Ours(_) => {
                let Some(held) = self.told.held.get(&whose) else { return Ok(()) };
                let does = kind(edit, held.told.objects.contains_key(&key));
                return self.edit_ours(whose, key, does, fields).await;
            }
            Client::Published(now) => {
                let recorded = self.recorded.entry(None).or_default();
                *recorded += 1;
                let id = format!("p{}.{recorded}", self.number);
                let does = kind(edit, now.objects.contains_key(&key));
                let (model, object) = key;
                now.record(Change { id, at: self.now, kind: does, model, object, fields });
            }
        }
        Ok(())
    }

    pub async fn join(&mut self, space: usize) -> Result<(), Failure> {
        match self.client {
            Client::Ours(_) => return self.join_ours(space).await,
            Client::Text if !self.told.held.contains_key(&Some(space)) => {}
            Client::Text | Client::Published(_) => return Ok(()),
        }
        self.told.join(space);
        let stash = self.stash.remove(&Some(space));
        if let (Some((pending, waits_for)), Some(held)) =
            (stash, self.told.held.get_mut(&Some(space)))
        {
            match self.wrong {
                Wrong::SendsAgain => pending.into_iter().for_each(|it| {
                    if held.told.may_record(&it) {
                        held.told.record(it);
                    }
                }),
                Wrong::HearsOfBefore => held.waits_for = waits_for,
                _ => {}
            }
        }
        Ok(())
    }

    pub async fn leave(&mut self, space: usize) -> Result<(), Failure> {
        match self.client {
            Client::Ours(_) => return self.leave_ours(space).await,
            Client::Text => {
                self.keep_stash(Some(space));
                self.told.leave(space);
            }
            Client::Published(_) => {}
        }
        Ok(())
    }

    /// The next request, with this number, for some of what it has.
    pub async fn send(
        &mut self,
        number: usize,
        some: u64,
        page: Option<u64>,
    ) -> Result<Option<Sent>, Failure> {
        let (body, does_check) = match &mut self.client {
            Client::Text => (self.ask(number, some, page), true),
            Client::Ours(_) => return self.send_ours(number).await,
            Client::Published(now) => {
                let clock = now.clock;
                let diffs: Vec<_> =
                    now.request().iter().map(|change| convert::diff(change, clock)).collect();
                let options = (false, false);
                (part(None, clock, &diffs, None, None, options, None).to_string(), false)
            }
        };
        let mut sent = Sent::read(self.number, self.person, self.life, body)?;
        for part in sent.parts.iter_mut().filter(|_| does_check) {
            self.told.check_aside(part)?;
            self.told.ask(number, part)?;
        }
        self.waits_for = Some(number);
        Ok(Some(sent))
    }

    /// An answer arrives.
    pub async fn hear(
        &mut self,
        answer: &Answered,
        sent: &Sent,
        next: usize,
    ) -> Result<Option<Sent>, Failure> {
        if let Client::Ours(_) = self.client {
            return self.hear_ours(answer, sent, next).await;
        }
        self.waits_for.take_if(|number| *number == answer.request);
        match &answer.kind {
            Whole::Old => self.is_old = true,
            Whole::Failed => {}
            Whole::TooLarge => {
                let parts = sent.parts.len();
                if parts > 1 {
                    self.most_spaces = (parts / 2).max(1);
                } else {
                    self.limit = (sent.diffs() / 2).max(1);
                }
                self.too_large(answer.request, sent);
            }
            Whole::Parts(parts) => {
                self.is_old &= sent.is_batch;
                if let Client::Published(now) = &mut self.client {
                    return hear_published(now, sent, parts).map(|()| None);
                }
                self.hear_parts(answer.request, sent, parts)?;
            }
        }
        Ok(None)
    }

    pub async fn lose(&mut self, next: usize) -> Result<Option<Sent>, Failure> {
        if let Client::Ours(_) = self.client {
            return self.lose_ours(next).await;
        }
        self.waits_for = None;
        Ok(None)
    }

    pub fn install(&mut self) {
        self.life += 1;
        (self.waits_for, self.told, self.token) = (None, held::Phone::new(), self.person);
        self.stash.clear();
        if let Client::Ours(driven) = &mut self.client {
            driven.put_back(Mortal::default());
        }
    }

    pub async fn back_up(&mut self) -> Result<(), Failure> {
        self.backup = Some(Box::new(match &self.client {
            Client::Text => Saved::Text(self.told.clone()),
            Client::Ours(driven) => Saved::Ours(self.told.clone(), driven.copy().await),
            Client::Published(now) => Saved::Published(now.clone()),
        }));
        Ok(())
    }

    pub async fn restore(&mut self) -> Result<(), Failure> {
        if self.backup.is_none() {
            return Ok(());
        }
        self.life += 1;
        (self.waits_for, self.token) = (None, self.person);
        match (&mut self.client, self.backup.as_deref()) {
            (Client::Text, Some(Saved::Text(told))) => {
                self.told = told.clone();
                self.stash.clear();
            }
            (Client::Ours(driven), Some(Saved::Ours(told, store))) => {
                self.told = told.clone();
                self.told.held.values_mut().for_each(|held| held.waits_for = None);
                driven.put_back(store.copy().await);
            }
            (Client::Published(now), Some(Saved::Published(saved))) => now.clone_from(saved),
            _ => {}
        }
        Ok(())
    }

    /// Its rows are these, except objects that went astray in the published client.
    pub fn compare(&self, whose: Whose, rows: &Objects) -> Result<(), Failure> {
        if let Client::Published(now) = &self.client {
            if now.is_lost {
                return Ok(());
            }
            let but_astray = |rows: &Objects| -> Objects {
                let rows = rows.iter().filter(|(key, _)| !now.astray.contains(*key));
                rows.map(|(key, row)| (key.clone(), row.clone())).collect()
            };
            let (is, said) = (but_astray(&now.objects), but_astray(rows));
            return super::world::same_rows("a published device", &is, &said);
        }
        match self.told.held.get(&whose) {
            Some(held) => held.is(rows),
            None => Err(Failure(format!("phone {} does not have {whose:?}", self.number))),
        }
    }

    /// Whether it has everything of that, and nothing is pending.
    pub fn is_quiet(&self, whose: Whose, clock: i64) -> bool {
        match &self.client {
            Client::Published(now) => now.is_lost || now.clock == clock,
            Client::Text | Client::Ours(_) => {
                self.told.held.get(&whose).is_none_or(|held| held.is_quiet(clock))
            }
        }
    }

    /// *Gone*: it has nothing of a space that it does not have.
    pub async fn check_gone(&self) -> Result<(), Failure> {
        let spaces: BTreeSet<Option<usize>> =
            self.told.held.keys().map(|whose| whose.map_or(Some(self.person), owner_of)).collect();
        let aside = self.spaces_with_aside();
        let aside: BTreeSet<Option<usize>> =
            aside.iter().filter_map(|it| it.map(owner_of)).collect();
        let text = match self.stored_text().await {
            Some(text) => text,
            None => format!("{:?}", self.told.held),
        };
        for owner in (0..OWNERS.len()).filter(|owner| !spaces.contains(&Some(*owner))) {
            let has_it = text.contains(OWNERS[owner]) && !aside.contains(&Some(owner));
            same("whether it has what is gone", &(OWNERS[owner], has_it), &(OWNERS[owner], false))?;
        }
        Ok(())
    }

    pub fn spaces(&self) -> Vec<usize> {
        (0..SPACES.len()).filter(|space| self.told.held.contains_key(&Some(*space))).collect()
    }
}

fn hear_published(
    now: &mut Published,
    sent: &Sent,
    parts: &[(One, Outcome)],
) -> Result<(), Failure> {
    let (Some((one, outcome)), Some(part)) = (parts.first(), sent.parts.first()) else {
        return Ok(());
    };
    let Outcome::Answer(reply) = outcome else { return Ok(()) };
    match (&**reply, &one.heard.answer) {
        (Reply::Answer { rows, .. }, Some(answer)) => {
            let changes: Vec<Change> = part.posted.diffs.iter().map(convert::change).collect();
            let entries: Vec<Entry> = answer.diffs.iter().map(convert::entry).collect();
            if now.receive(&changes, answer.logical_clock, &entries) {
                let but_astray = |rows: &Objects| -> Objects {
                    let rows = rows.iter().filter(|(key, _)| !now.astray.contains(*key));
                    rows.map(|(key, row)| (key.clone(), row.clone())).collect()
                };
                let (is, said) = (but_astray(&now.objects), but_astray(rows));
                super::world::same_rows("a published device", &is, &said)?;
            }
            Ok(())
        }
        (Reply::TooOld { .. }, _) => {
            now.is_lost = true;
            Ok(())
        }
        _ => Ok(()),
    }
}

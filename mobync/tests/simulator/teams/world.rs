//! A world of teams: one server, the phones of several people, and a network between them.

use std::collections::BTreeSet;

use super::{
    club::{Club, Flaw, OWNERS, SPACES, Verdict, Whose, owner_of},
    phone::{Client, Phone, Wrong},
    post::Sent,
    script::{Script, Settings, Step},
    serve::{Answered, Desk},
};
use crate::{
    hand::Place,
    oracle::{Fields, Objects, without_nulls},
    ours::same,
    server::Server,
    step::Edit,
    world::Failure,
};

/// A time long after 1970, in milliseconds.
const T0: i64 = 1_700_000_000_000;

pub struct World<D> {
    pub(super) desk: Desk<D>,
    pub(super) phones: Vec<Phone>,
    pub(super) requests: Vec<Sent>,
    answers: Vec<Answered>,
    now: i64,
    pub(super) settings: Settings,
}

impl<D: Place> World<D> {
    /// # Errors
    /// The first difference from the text. Without one, how often a phone has left a space because it was told.
    pub async fn play(
        database: D,
        script: &Script,
        flaw: Flaw,
        wrong: Wrong,
    ) -> Result<usize, Failure> {
        let settings = script.settings.clone();
        let server = Server::of_owners(database, &settings.server, OWNERS.iter());
        let club = Club::new(&settings.members, flaw);
        let mut phones = Vec::new();
        for (number, kind) in settings.phones.iter().enumerate() {
            let person = number % settings.people;
            phones.push(Phone::new(number, person, *kind, settings.names, wrong));
        }
        let mut world = Self {
            desk: Desk::new(server, club, settings.server.max_diffs, flaw),
            phones,
            requests: Vec::new(),
            answers: Vec::new(),
            now: T0,
            settings,
        };
        for step in &script.steps {
            world.pass(1);
            world.step(step).await?;
        }
        let gone = world.phones.iter().map(|phone| phone.told_gone).sum();
        world.come_to_rest().await?;
        Ok(gone)
    }

    pub(super) fn pass(&mut self, millis: i64) {
        self.now += millis;
        self.desk.server.set_time(self.now);
        for phone in &mut self.phones {
            phone.set_time(self.now);
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let (phones, people) = (self.phones.len(), self.settings.people);
        match step {
            Step::Edit { phone, whose, edit } => self.edit(phone % phones, *whose, edit).await,
            Step::Send { phone, some } => self.send(phone % phones, *some).await,
            Step::Deliver { request } if !self.requests.is_empty() => {
                self.deliver(&[self.before_newest(*request)], None).await
            }
            Step::DeliverTogether { requests, pace } if !self.requests.is_empty() => {
                let requests = requests.map(|request| self.before_newest(request));
                self.deliver(&requests, Some(*pace)).await
            }
            Step::Hear { phone } => self.hear(phone % phones).await,
            Step::HearLate { answer } if !self.answers.is_empty() => {
                self.hear_late(answer % self.answers.len()).await
            }
            Step::Arrive { phone } => match self.phones[phone % phones].waits_for {
                Some(request) => self.deliver(&[request], None).await,
                None => Ok(()),
            },
            Step::Deliver { .. } | Step::DeliverTogether { .. } | Step::HearLate { .. } => Ok(()),
            Step::Lose { phone } => self.lose(phone % phones).await,
            Step::Sync { phone } => self.sync(phone % phones).await,
            Step::Join { phone, space } => {
                self.phones[phone % phones].join(space % SPACES.len()).await
            }
            Step::Leave { phone, space } => {
                self.phones[phone % phones].leave(space % SPACES.len()).await
            }
            Step::Member { person, space, role, calls } => {
                let (person, space) = (person % people, space % SPACES.len());
                self.club(|club| club.move_member(person, space, *role, *calls));
                Ok(())
            }
            Step::Trouble { calls, trouble } => {
                self.club(|club| club.trouble(*calls, *trouble));
                Ok(())
            }
            Step::Blind { is_blind } => {
                self.club(|club| club.blind(*is_blind));
                Ok(())
            }
            Step::Fault { calls, busy } => {
                self.desk.server.fail_in(*calls, *busy);
                Ok(())
            }
            Step::Shut { owner, busy } => {
                self.desk.server.faults().shut(OWNERS[owner % OWNERS.len()], *busy);
                Ok(())
            }
            Step::OpenAll => {
                self.desk.server.faults().open_all();
                Ok(())
            }
            Step::Old { is_old } => {
                // An older server does not say whose data it is, so that only some mix-ups can be noticed.
                let is_mixed_up = self.phones.iter().any(|phone| phone.token != phone.person);
                self.desk.is_old = *is_old && !is_mixed_up;
                Ok(())
            }
            Step::Login { phone, person } => {
                if !self.desk.is_old {
                    self.phones[phone % phones].log_in(person % people);
                }
                Ok(())
            }
            Step::Restart => {
                self.desk.server.restart();
                Ok(())
            }
            Step::Write { owner, edit } => self.write(owner % OWNERS.len(), edit).await,
            Step::Compact { owner, calls } => self.compact(owner % OWNERS.len(), *calls).await,
            Step::Kill { phone, at, after } => {
                self.phones[phone % phones].kill(*at, *after);
                Ok(())
            }
            Step::Install { phone } => {
                self.phones[phone % phones].install();
                Ok(())
            }
            Step::Backup { phone } => self.phones[phone % phones].back_up().await,
            Step::Restore { phone } => self.phones[phone % phones].restore().await,
            Step::Pass { millis } => {
                self.pass(*millis);
                Ok(())
            }
            Step::Jump { phone, off } => {
                self.phones[phone % phones].off = *off;
                self.pass(0);
                Ok(())
            }
        }
    }

    pub(super) fn club<T>(&self, of: impl FnOnce(&mut Club) -> T) -> T {
        of(&mut self.desk.club.lock().unwrap())
    }

    async fn edit(&mut self, phone: usize, whose: usize, edit: &Edit) -> Result<(), Failure> {
        let phone = &mut self.phones[phone];
        let all: Vec<Whose> = phone.told.held.keys().copied().collect();
        let Some(whose) = all.get(whose % all.len()) else { return Ok(()) };
        let owner = whose.map_or(Some(phone.person), owner_of);
        let mark = owner.map_or("nobody", |owner| OWNERS[owner]);
        let fields = marked(edit.values(&self.settings.server), mark);
        phone.edit(*whose, edit, fields).await
    }

    async fn write(&mut self, owner: usize, edit: &Edit) -> Result<(), Failure> {
        if self.desk.server.faults().is_shut(OWNERS[owner]).is_some() {
            return Ok(());
        }
        let fields = marked(edit.values(&self.settings.server), OWNERS[owner]);
        self.desk.server.write_fields(owner, edit, fields).await
    }

    /// As in other worlds, only requests that repeat nothing that is forgotten.
    async fn compact(&mut self, owner: usize, calls: Option<usize>) -> Result<(), Failure> {
        let is_shut = self.desk.server.faults().is_shut(OWNERS[owner]).is_some();
        if is_shut || !self.settings.server.compacts {
            return Ok(());
        }
        let repeated: BTreeSet<String> =
            self.phones.iter().flat_map(|phone| phone.repeats_from_0(owner)).collect();
        self.desk.server.compact(owner, calls, &repeated).await
    }

    pub(super) async fn send(&mut self, phone: usize, some: u64) -> Result<(), Failure> {
        let number = self.requests.len();
        let page = self.settings.server.page;
        let sent = self.phones[phone].send(number, some, page).await?;
        self.requests.extend(sent);
        Ok(())
    }

    /// A request, counted back from the newest one, wrapping around.
    fn before_newest(&self, request: usize) -> usize {
        let count = self.requests.len();
        count - 1 - request % count
    }

    async fn deliver(&mut self, requests: &[usize], pace: Option<u64>) -> Result<(), Failure> {
        let sent: Vec<(usize, &Sent)> =
            requests.iter().map(|request| (*request, &self.requests[*request])).collect();
        let answers = self.desk.serve(&sent, pace).await?;
        self.answers.extend(answers);
        Ok(())
    }

    async fn hear(&mut self, phone: usize) -> Result<(), Failure> {
        let waits_for = self.phones[phone].waits_for;
        let answer = self.answers.iter().rposition(|answer| Some(answer.request) == waits_for);
        match answer {
            Some(answer) => self.hear_answer(answer).await,
            None => Ok(()),
        }
    }

    async fn hear_late(&mut self, answer: usize) -> Result<(), Failure> {
        let sent = &self.requests[self.answers[answer].request];
        match &self.phones[sent.phone].client {
            Client::Text => self.hear_answer(answer).await,
            _ => Ok(()),
        }
    }

    async fn hear_answer(&mut self, answer: usize) -> Result<(), Failure> {
        let answer = &self.answers[answer];
        let sent = &self.requests[answer.request];
        let phone = &mut self.phones[sent.phone];
        if phone.life != sent.life {
            return Ok(());
        }
        let next = self.requests.len();
        let more = phone.hear(answer, sent, next).await?;
        self.requests.extend(more);
        Ok(())
    }

    async fn lose(&mut self, phone: usize) -> Result<(), Failure> {
        let next = self.requests.len();
        let more = self.phones[phone].lose(next).await?;
        self.requests.extend(more);
        Ok(())
    }

    /// A phone sends, and receives the answers, as often as it has something to say, within reason.
    pub(super) async fn sync(&mut self, phone: usize) -> Result<(), Failure> {
        for round in 0..60 {
            if !self.phones[phone].is_waiting() {
                if round > 0 {
                    break;
                }
                self.send(phone, u64::MAX).await?;
            }
            let is_waiting = self.phones[phone].is_waiting();
            let Some(request) = self.phones[phone].waits_for.filter(|_| is_waiting) else { break };
            if !self.answers.iter().any(|answer| answer.request == request) {
                self.deliver(&[request], None).await?;
            }
            self.hear(phone).await?;
        }
        Ok(())
    }

    /// The state that the members of a space see now.
    pub(super) fn rows(&self, owner: usize) -> Objects {
        self.desk.server.oracle(owner).objects()
    }

    /// Whether that person may see it now.
    pub(super) fn may(&self, person: usize, whose: Whose) -> Option<usize> {
        match self.club(|club| club.verdict(person, whose)) {
            Verdict::Grants(owner, _) => Some(owner),
            _ => None,
        }
    }
}

/// Values that tell whose data they are of.
fn marked(mut fields: Fields, mark: &str) -> Fields {
    for value in fields.values_mut() {
        if let Some(text) = value.as_str().filter(|text| text.starts_with('v')) {
            *value = format!("{text} {mark}").into();
        }
    }
    fields
}

pub(super) fn same_rows(what: &str, is: &Objects, said: &Objects) -> Result<(), Failure> {
    same(what, &without_nulls(is), &without_nulls(said))
}

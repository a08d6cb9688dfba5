//! What a phone has, by the text: a device for the person's own data and for each of its spaces, and what was set
//! aside when it left one.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    club::Whose,
    post::{One, Part, Seen},
};
use crate::{
    convert,
    oracle::{
        Change, Entry, Key, Objects,
        device::{Device as Told, Said},
    },
    ours::same,
    server::Reply,
    world::Failure,
};

/// What a phone has of one space.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub told: Told,
    pub seen: Seen,
    /// The request whose answer counts.
    pub waits_for: Option<usize>,
    /// The changes that were in no request before that one.
    first_sent: BTreeSet<String>,
}

/// What has become of a request for one space.
#[derive(Debug)]
pub enum Outcome {
    Answer(Box<Reply>),
    NoMember,
    /// The same request may succeed later, or never; nothing has changed.
    Failed,
}

/// What follows from an answer.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// It is not for what the phone has now.
    Ignored,
    /// Nothing was applied of it.
    Nothing,
    /// It was applied; these objects have to be deleted again.
    Applied(Vec<Key>),
    /// It starts again from clock 0. With `true`, what may have counted was set aside.
    Anew(bool),
    /// The space is gone.
    Left,
}

/// A change that was not sent when its space was left, or that may have counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Aside {
    pub whose: Whose,
    pub id: String,
    pub code: &'static str,
}

impl Aside {
    pub fn new(whose: Whose, id: &str, code: &'static str) -> Self {
        Self { whose, id: id.to_owned(), code }
    }
}

/// A phone by the text.
#[derive(Clone, Debug, Default)]
pub struct Phone {
    pub held: BTreeMap<Whose, Held>,
    pub aside: Vec<Aside>,
}

impl Phone {
    pub fn new() -> Self {
        Self { held: BTreeMap::from([(None, Held::default())]), aside: Vec::new() }
    }

    /// "To join a space: add it, at clock 0."
    pub fn join(&mut self, space: usize) {
        self.held.entry(Some(space)).or_default();
    }

    /// "To leave a space."
    pub fn leave(&mut self, space: usize) {
        if let Some(held) = self.held.remove(&Some(space)) {
            let whose = Some(space);
            // What was refused before stays where the person sees it.
            let refused = held.told.refused.iter();
            self.aside.extend(refused.map(|(id, code)| Aside::new(whose, id, code)));
            let pending = held.told.pending.iter();
            self.aside.extend(pending.map(|it| Aside::new(whose, &it.id, "no_member")));
        }
    }

    /// It is asked for the number of the request, and whether the parts have what the text says.
    pub fn ask(&mut self, number: usize, part: &mut Part) -> Result<(), Failure> {
        let Some(held) = self.held.get_mut(&part.whose) else {
            return Err(Failure(format!(
                "a phone asks for {:?}, which it does not have",
                part.whose
            )));
        };
        held.ask(number, part)
    }

    /// *Rejoin*: what was set aside is never sent again.
    pub fn check_aside(&self, part: &Part) -> Result<(), Failure> {
        let is_aside = |id: &String| self.has_aside(part.whose, id);
        let again: Vec<&String> =
            part.posted.diffs.iter().map(|diff| &diff.id).filter(|id| is_aside(id)).collect();
        same("what is sent although it was set aside", &again, &Vec::new())
    }

    pub fn has_aside(&self, whose: Whose, id: &str) -> bool {
        self.aside.iter().any(|aside| aside.whose == whose && aside.id == id)
    }

    /// An answer has come for a part of the request with this number.
    pub fn hear(
        &mut self,
        number: usize,
        part: &Part,
        one: Option<&One>,
        outcome: &Outcome,
    ) -> Result<Effect, Failure> {
        let Some(held) = self.held.get_mut(&part.whose) else { return Ok(Effect::Ignored) };
        if held.waits_for != Some(number) {
            return Ok(Effect::Ignored);
        }
        match (outcome, one.and_then(|one| one.heard.answer.as_ref())) {
            (Outcome::Answer(reply), answer) => match (&**reply, answer) {
                (Reply::Answer { told, rows, seen, .. }, Some(answer)) => {
                    let entries: Vec<Entry> = answer.diffs.iter().map(convert::entry).collect();
                    let sent: Vec<Change> = part.posted.diffs.iter().map(convert::change).collect();
                    let said = Said {
                        clock: answer.logical_clock,
                        entries: &entries,
                        owner: answer.diffs.first().map(|diff| &*diff.owner),
                        refused: answer.refused.iter().map(|it| &*it.diff_id).collect(),
                    };
                    if !held.told.may_take(&sent, &said) {
                        return Ok(Effect::Nothing);
                    }
                    let is_left = |it: &&Change| !sent.iter().any(|sent| sent.id == it.id);
                    let left: BTreeSet<Key> =
                        held.told.pending.iter().filter(is_left).map(Change::key).collect();
                    let end = (told.clock, answer.more.is_some());
                    held.told.receive(&sent, end, &entries, &told.refused);
                    let owner = said.owner.map(ToOwned::to_owned);
                    let named = one.and_then(|one| one.names.clone());
                    held.told.owner = owner.or(named).or(held.told.owner.take());
                    held.waits_for = None;
                    if held.told.anew {
                        return Ok(Effect::Applied(Vec::new()));
                    }
                    held.seen.log = seen.clone().unwrap_or_default();
                    let head = answer.head.clone();
                    held.seen.head = head.unwrap_or(std::mem::take(&mut held.seen.head));
                    if held.told.pending.is_empty() {
                        held.is(rows)?;
                    }
                    Ok(Effect::Applied(held.told.back(&entries, &left)))
                }
                (Reply::TooOld { forgotten }, _) => {
                    // This request had an answer.
                    let first = &held.first_sent;
                    held.told.sent.retain(|id| !first.contains(id));
                    (held.seen, held.waits_for) = (Seen::default(), None);
                    Ok(Effect::Anew(*forgotten))
                }
                (Reply::TooLarge, _) => Ok(Effect::Nothing),
                _ => Ok(Effect::Nothing),
            },
            (Outcome::NoMember, _) => match part.whose {
                Some(space) => {
                    self.leave(space);
                    Ok(Effect::Left)
                }
                None => Ok(Effect::Nothing),
            },
            (Outcome::Failed, _) => Ok(Effect::Nothing),
        }
    }
}

impl Held {
    /// The request is the one that the text has for this space.
    fn ask(&mut self, number: usize, part: &mut Part) -> Result<(), Failure> {
        let clock = self.told.clock;
        let before = self.told.sent.clone();
        let said = self.told.request(part.posted.diffs.len());
        self.first_sent = self.told.sent.difference(&before).cloned().collect();
        let diffs: Vec<Change> = part.posted.diffs.iter().map(convert::change).collect();
        same("the request", &(part.posted.clock, diffs), &(clock, said))?;
        if let Some(head) = &part.posted.head {
            same("the head of a device", head, &self.seen.head)?;
        }
        part.posted.seen.clone_from(&self.seen.log);
        self.waits_for = Some(number);
        Ok(())
    }

    /// Nothing of the request with this number was applied. If all of its diffs were in a request before, which
    /// had no answer, that was the same one.
    pub fn not_applied(&mut self, number: usize) {
        if self.waits_for == Some(number) {
            let first = &self.first_sent;
            self.told.sent.retain(|id| !first.contains(id) && !first.is_empty());
            self.waits_for = None;
        }
    }

    /// "Away for too long", for a client that chooses itself what depends on what may have counted.
    pub fn set_aside_sent(&mut self, whose: Whose) -> Vec<Aside> {
        let mut aside = Vec::new();
        let mut keys = BTreeSet::new();
        let sent = &self.told.sent;
        self.told.pending.retain(|change| {
            let goes = sent.contains(&change.id) || keys.contains(&change.key());
            if goes {
                keys.insert(change.key());
                aside.push(Aside::new(whose, &change.id, "too_old"));
            }
            !goes
        });
        self.told.sent.clear();
        aside
    }

    /// It has these rows.
    pub fn is(&self, rows: &Objects) -> Result<(), Failure> {
        use crate::oracle::without_nulls;
        same("what a phone holds", &without_nulls(&self.told.objects), &without_nulls(rows))
    }

    /// Whether it has everything, and nothing is pending.
    pub fn is_quiet(&self, clock: i64) -> bool {
        let told = &self.told;
        told.clock == clock && told.pending.is_empty() && !told.has_more && !told.anew
    }
}

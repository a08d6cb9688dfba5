//! What a phone does that runs a client written from the text alone.

use serde_json::{Value, json};

use super::{
    club::{ALIAS, Whose},
    held::{Effect, Outcome},
    phone::{Phone, Wrong},
    post::{One, Sent, part},
};
use crate::{
    convert,
    oracle::{Change, Fields, Key, Kind},
    ours::same,
    world::Failure,
};

impl Phone {
    /// A change by the person, in a space that it has.
    pub(super) fn record(&mut self, whose: Whose, key: Key, does: Kind, fields: Fields) {
        if does == Kind::Update && fields.is_empty() {
            return;
        }
        let recorded = self.recorded.entry(whose).or_default();
        *recorded += 1;
        // Changes in different spaces have the same ids, unless they have the same owner.
        let apart = if whose == Some(ALIAS) { "-" } else { "." };
        let id = format!("t{}.{}{apart}{recorded}", self.number, self.life);
        let (model, object) = key;
        let change = Change { id, at: self.now, kind: does, model, object, fields };
        if let Some(held) = self.told.held.get_mut(&whose).filter(|it| it.told.may_record(&change))
        {
            held.told.record(change);
        }
    }

    pub(super) fn keep_stash(&mut self, whose: Whose) {
        if let Some(held) = self.told.held.get(&whose) {
            self.stash.insert(whose, (held.told.pending.clone(), held.waits_for));
        }
    }

    /// The body that a client has which was written from the text.
    pub(super) fn ask(&self, number: usize, some: u64, page: Option<u64>) -> String {
        let is_chosen = |place: usize| some == u64::MAX || some >> (place % 60) & 1 == 1;
        let all: Vec<Whose> = self.told.held.keys().copied().collect();
        let mut chosen: Vec<Whose> =
            all.iter().enumerate().filter(|it| is_chosen(it.0)).map(|it| *it.1).collect();
        if self.is_old || chosen.is_empty() {
            chosen = vec![None];
        }
        if some & 1 << 61 > 0 {
            chosen.reverse();
        }
        // As many as it may, and others the next time.
        let first = number % chosen.len();
        if chosen.len() > self.most_spaces {
            chosen.rotate_left(first);
        }
        chosen.truncate(self.most_spaces);
        let body = |whose: &Whose| {
            let held = &self.told.held[whose];
            let mut next = held.told.clone();
            let diffs: Vec<_> = next
                .request(self.limit)
                .iter()
                .map(|change| convert::diff(change, held.told.clock))
                .collect();
            let page = page.filter(|_| diffs.is_empty() && number.is_multiple_of(4));
            let owner = held.told.owner.as_deref().unwrap_or("");
            let names = self.names.then_some(owner);
            let options = (number % 4 < 3, number % 4 > 1);
            part(*whose, next.clock, &diffs, Some(&held.seen.head), page, options, names)
        };
        let mut bodies: Vec<Value> = chosen.iter().map(body).collect();
        let is_plain = chosen == [None] && (self.is_old || number.is_multiple_of(2));
        if is_plain { bodies.remove(0).to_string() } else { json!({"syncs": bodies}).to_string() }
    }

    /// A 4xx is an answer: nothing of the request was applied.
    pub(super) fn too_large(&mut self, number: usize, sent: &Sent) {
        for part in &sent.parts {
            if let Some(held) = self.told.held.get_mut(&part.whose) {
                held.not_applied(number);
            }
        }
    }

    pub(super) fn hear_parts(
        &mut self,
        number: usize,
        sent: &Sent,
        parts: &[(One, Outcome)],
    ) -> Result<(), Failure> {
        for (place, part) in sent.parts.iter().enumerate() {
            let from = match self.wrong {
                Wrong::SwapsAnswers => parts.len() - 1 - place,
                _ => place,
            };
            let (one, outcome) = &parts[from];
            let pending: Vec<String> = match self.told.held.get(&part.whose) {
                Some(held) if held.waits_for == Some(number) => {
                    held.told.pending.iter().map(|change| change.id.clone()).collect()
                }
                _ => Vec::new(),
            };
            if self.wrong == Wrong::KeepsWhatIsGone && matches!(outcome, Outcome::NoMember) {
                continue;
            }
            if matches!(outcome, Outcome::NoMember) {
                self.keep_stash(part.whose);
            }
            let effect = self.told.hear(number, part, Some(one), outcome)?;
            if self.wrong == Wrong::ForgetsUnsent {
                self.told.aside.clear();
            }
            self.follow(part.whose, effect, &pending)?;
        }
        Ok(())
    }

    /// What a client has to do after an answer, and what must be so then.
    pub(super) fn follow(
        &mut self,
        whose: Whose,
        effect: Effect,
        pending: &[String],
    ) -> Result<(), Failure> {
        match effect {
            Effect::Applied(back) => {
                for key in back {
                    self.record(whose, key, Kind::Delete, Fields::new());
                }
            }
            Effect::Anew(forgotten) => {
                if let Some(held) = self.told.held.get_mut(&whose) {
                    if forgotten {
                        let aside = held.set_aside_sent(whose);
                        self.told.aside.extend(aside);
                    }
                    held.told.too_old();
                }
            }
            Effect::Left => {
                self.told_gone += 1;
                let is_aside = |id: &&String| self.told.has_aside(whose, id);
                let lost: Vec<&String> = pending.iter().filter(|id| !is_aside(id)).collect();
                same("what was not sent, and is not set aside", &lost, &Vec::new())?;
            }
            Effect::Nothing | Effect::Ignored => {}
        }
        Ok(())
    }
}

//! The library's client, compared with what the phone has by the text.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicI64},
};

use super::{
    club::Whose,
    driven::{Driven, Has, Stage},
    held::{Aside, Effect, Held},
    phone::{Client, Phone},
    post::{Part, Sent},
    serve::{Answered, Whole},
};
use crate::{
    oracle::{Change, Fields, Key, Kind},
    ours::same,
    store::Mortal,
    world::Failure,
};

type Next = Result<Option<Sent>, Failure>;

pub fn client(limit: usize) -> Client {
    let time = Arc::new(AtomicI64::new(0));
    Client::Ours(Box::new(Driven::new(Mortal::default(), &time, limit)))
}

impl Phone {
    fn driven(&mut self) -> Result<&mut Driven, Failure> {
        match &mut self.client {
            Client::Ours(driven) => Ok(driven),
            _ => Err(Failure("it is not our client".to_owned())),
        }
    }

    /// Begins to sync, or goes on.
    pub(super) async fn send_ours(&mut self, number: usize) -> Next {
        if self.driven()?.is_waiting() {
            return Ok(None);
        }
        let stage = self.driven()?.go_on().await;
        self.note_death()?;
        self.reach(stage, number).await
    }

    /// The server's answer reaches it.
    pub(super) async fn hear_ours(&mut self, answer: &Answered, sent: &Sent, next: usize) -> Next {
        if self.waits_for != Some(answer.request) {
            return Ok(None);
        }
        let body = answer.body.clone();
        self.driven()?.hear(answer.status, answer.retry_after, body);
        let stage = self.driven()?.go_on().await;
        let has_died = self.note_death()?;
        if let (Whole::TooLarge, [part]) = (&answer.kind, &sent.parts[..])
            && let Some(held) = self.told.held.get_mut(&part.whose)
        {
            held.not_applied(answer.request);
        }
        if let Whole::Parts(parts) = &answer.kind {
            for (part, (one, outcome)) in sent.parts.iter().zip(parts) {
                if is_probe(part, self.told.held.get(&part.whose)) {
                    continue;
                }
                let before = self.told.clone();
                let effect = self.told.hear(answer.request, part, Some(one), outcome)?;
                if effect == Effect::Ignored {
                    continue;
                }
                let followed = self.follow_ours(part.whose, effect).await;
                let is_so = match followed {
                    Ok(()) => self.compare_with_own(part.whose).await,
                    other => other,
                };
                if let (Err(_), true) = (&is_so, has_died) {
                    // It has died before it stored this.
                    self.told = before;
                    self.settle_killed(part.whose).await?;
                } else {
                    is_so?;
                }
            }
        }
        self.reach(stage, next).await
    }

    /// Nothing comes back.
    pub(super) async fn lose_ours(&mut self, next: usize) -> Next {
        if !self.driven()?.is_waiting() {
            return Ok(None);
        }
        self.driven()?.lose();
        let stage = self.driven()?.go_on().await;
        self.note_death()?;
        self.reach(stage, next).await
    }

    async fn reach(&mut self, stage: Stage, number: usize) -> Next {
        self.waits_for = None;
        let Stage::Asks(body) = stage else {
            return self.check_ours().await.map(|()| None);
        };
        if !self.driven()?.is_waiting() {
            // It has died meanwhile.
            return self.check_ours().await.map(|()| None);
        }
        let mut sent = Sent::read(self.number, self.token, self.life, body)?;
        if self.token != self.person {
            let spaces: Vec<Whose> =
                sent.parts.iter().filter_map(|it| it.whose).map(Some).collect();
            same("the spaces that are asked for with the token of another", &spaces, &Vec::new())?;
        }
        for part in &mut sent.parts {
            self.told.check_aside(part)?;
            match self.told.held.get(&part.whose) {
                held if is_probe(part, held) => {}
                _ => self.told.ask(number, part)?,
            }
        }
        self.waits_for = Some(number);
        self.check_ours().await?;
        Ok(Some(sent))
    }

    /// Whether the app has died. Its requests have no answers then.
    fn note_death(&mut self) -> Result<bool, Failure> {
        let has_died = self.driven()?.has_died();
        if has_died {
            self.life += 1;
            self.waits_for = None;
        }
        Ok(has_died)
    }

    async fn follow_ours(&mut self, whose: Whose, effect: Effect) -> Result<(), Failure> {
        match effect {
            Effect::Applied(back) if !back.is_empty() => {
                let has = self.driven()?.has(whose).await?;
                let Some(held) = self.told.held.get_mut(&whose) else { return Ok(()) };
                let new = has.pending.into_iter().skip(held.told.pending.len());
                let new: Vec<Change> = new.take(back.len()).collect();
                // The text does not say in which order.
                let mut keys: Vec<(Key, Kind)> = new.iter().map(|it| (it.key(), it.kind)).collect();
                keys.sort_unstable();
                let said: Vec<(Key, Kind)> =
                    back.into_iter().map(|key| (key, Kind::Delete)).collect();
                same("what is deleted again", &keys, &said)?;
                for change in new {
                    held.told.record(change);
                }
            }
            Effect::Anew(forgotten) => {
                let has = self.driven()?.has(whose).await?;
                let Some(held) = self.told.held.get_mut(&whose) else { return Ok(()) };
                if forgotten {
                    held.told.sent.clear();
                    for (id, _) in has.refused.iter().filter(|it| *it.1 == "too_old") {
                        let before = held.told.pending.len();
                        held.told.pending.retain(|change| change.id != *id);
                        if held.told.pending.len() < before {
                            self.told.aside.push(Aside::new(whose, id, "too_old"));
                        }
                    }
                }
                held.told.too_old();
            }
            Effect::Left => self.told_gone += 1,
            Effect::Applied(_) | Effect::Nothing | Effect::Ignored => {}
        }
        Ok(())
    }

    /// An app that has died may have held back deletes for a request that was never made.
    async fn settle_killed(&mut self, whose: Whose) -> Result<(), Failure> {
        let so = self.compare_with_own(whose).await;
        let Some(held) = self.told.held.get_mut(&whose).filter(|held| held.told.anew) else {
            return so;
        };
        if so.is_err() {
            held.told.request(0);
        }
        self.compare_with_own(whose).await
    }

    pub(super) async fn edit_ours(
        &mut self,
        whose: Whose,
        key: Key,
        kind: Kind,
        fields: Fields,
    ) -> Result<(), Failure> {
        let recorded = self.driven()?.record(whose, &key, kind, &fields).await;
        if !self.note_death()? {
            recorded.map_err(Failure::of)?;
        }
        let (now, has) = (self.now, self.driven()?.has(whose).await?);
        if let Some(held) = self.told.held.get_mut(&whose) {
            held.told.sent.extend(has.sent);
            let is_told = |id: &String| held.told.pending.iter().any(|told| told.id == *id);
            if let Some(last) = has.pending.last().filter(|last| !is_told(&last.id)) {
                held.told.record(Change { at: now, ..last.clone() });
            }
        }
        self.check_ours().await
    }

    pub(super) async fn join_ours(&mut self, space: usize) -> Result<(), Failure> {
        let joined = self.driven()?.join(space).await;
        if !self.note_death()? {
            joined.map_err(Failure::of)?;
        }
        if self.driven()?.spaces().await?.contains(&space) {
            self.told.join(space);
        }
        self.check_ours().await
    }

    pub(super) async fn leave_ours(&mut self, space: usize) -> Result<(), Failure> {
        let left = self.driven()?.leave(space).await;
        if !self.note_death()? {
            left.map_err(Failure::of)?;
        }
        if !self.driven()?.spaces().await?.contains(&space) {
            self.told.leave(space);
        }
        self.check_ours().await
    }

    /// Everything that it has is what the text says.
    pub(super) async fn check_ours(&mut self) -> Result<(), Failure> {
        let spaces = self.driven()?.spaces().await?;
        same("the spaces of a phone", &spaces, &self.spaces())?;
        let all: Vec<Whose> = self.told.held.keys().copied().collect();
        for whose in all {
            let so = self.compare_with_own(whose).await;
            if so.is_err() && self.life > 0 {
                self.settle_killed(whose).await?;
            } else {
                so?;
            }
            let has = self.driven()?.has(whose).await?;
            if let Some(held) = self.told.held.get_mut(&whose) {
                held.told.sent = has.sent.into_iter().collect();
            }
        }
        Ok(())
    }

    async fn compare_with_own(&mut self, whose: Whose) -> Result<(), Failure> {
        let Some(held) = self.told.held.get(&whose) else {
            let joined = self.driven()?.spaces().await?;
            let is_joined = whose.is_some_and(|space| joined.contains(&space));
            return same("whether a space is joined", &is_joined, &false);
        };
        let said = said(whose, held, &self.told.aside);
        let has = self.driven()?.has(whose).await?;
        let is = Has { sent: Vec::new(), ..has };
        same(&format!("what phone {} has of {whose:?}", self.number), &is, &said)
    }

    /// *Gone*, byte by byte.
    pub(super) async fn stored_text(&self) -> Option<String> {
        match &self.client {
            Client::Ours(driven) => Some(driven.text().await),
            _ => None,
        }
    }

    /// The spaces of which something was refused or set aside, which people see.
    pub(super) fn spaces_with_aside(&self) -> BTreeSet<Whose> {
        self.told.aside.iter().map(|aside| aside.whose).collect()
    }
}

/// What it has by the text.
fn said(whose: Whose, held: &Held, aside: &[Aside]) -> Has {
    let of_space = aside.iter().filter(|aside| aside.whose == whose);
    let mut refused: BTreeMap<String, String> =
        of_space.map(|aside| (aside.id.clone(), aside.code.to_owned())).collect();
    let now = held.told.refused.iter();
    refused.extend(now.map(|(id, code)| (id.clone(), (*code).to_owned())));
    Has {
        clock: held.told.clock,
        rows: held.told.objects.clone(),
        pending: held.told.pending.clone(),
        sent: Vec::new(),
        refused,
    }
}

/// "Before the first request with a new token": a request to find out whose data it is, of which nothing is
/// applied.
fn is_probe(part: &Part, held: Option<&Held>) -> bool {
    let clock = held.map_or(0, |held| held.told.clock);
    let is_empty = part.whose.is_none() && part.posted.diffs.is_empty();
    is_empty && (part.posted.head.is_none() || part.posted.clock != clock)
}

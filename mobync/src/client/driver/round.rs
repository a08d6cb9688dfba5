//! One try to sync, of the person's own data and of the spaces that have a reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use super::{
    Client,
    at_once::AtOnce,
    attempt::Part,
    pace::Pace,
    post::{Post, Work},
    status::Syncing,
    token::Token,
    waits::{Due, Waits},
};
use crate::client::{
    Device, LocalStore, OtherAccount, SyncFailure, Synced, Transport, store::Membership,
};

/// The name of the person's own data.
pub(super) const OWN: &str = "";

/// What a client knows from one try to the next.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) token: Token,
    pub(super) at_once: AtOnce,
    /// By the names of the spaces.
    paces: BTreeMap<String, Pace>,
    /// The ids of the records of the followed list, with the spaces that they have named last.
    pub(super) listed: Option<BTreeSet<(String, String)>>,
}

/// What has become of one device in a try.
pub(super) struct Tried {
    /// `Ok(false)`: there is a new token, which must be checked first.
    result: Result<bool, SyncFailure>,
    /// Whether a request was answered.
    pub(super) progress: bool,
    /// The number of the person's changes before it.
    pub(super) changed: u64,
}

impl Tried {
    pub(super) fn into_failure(self) -> Option<SyncFailure> {
        self.result.err()
    }

    pub(super) fn failure(&self) -> Option<&SyncFailure> {
        self.result.as_ref().err()
    }

    /// Whether it fails again until somebody does something.
    fn needs_person(&self) -> bool {
        self.failure().is_some_and(|failure| !failure.is_temporary())
    }
}

/// What has become of the devices of a try, by the names of their spaces.
pub(super) type Round = BTreeMap<String, Tried>;

/// The spaces that are due, but wait for the person's own data: they are due again when that is.
pub(super) type HeldBack = BTreeSet<String>;

impl<S: LocalStore, T: Transport> Client<S, T> {
    /// Tries to sync the devices that are due and not done, once each, and gives up if everything is
    /// destroyed.
    ///
    /// # Errors
    /// Those that are not of one device: nothing more can be done.
    pub(super) async fn round(
        &self,
        waits: &mut Waits,
        done: &BTreeSet<String>,
        synced: &mut Synced,
    ) -> Result<(Round, HeldBack), SyncFailure> {
        let mut occasions = self.device.occasions();
        let mut destroyed = pin!(occasions.wait_for(|now| now.is_destroyed));
        let mut round = pin!(self.round_to_its_end(waits, done, synced));
        let round = poll_fn(|context| {
            if destroyed.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(SyncFailure::Destroyed));
            }
            round.as_mut().poll(context)
        })
        .await;
        // In the meantime, it may be what a device has failed with.
        if self.device.is_destroyed() { Err(SyncFailure::Destroyed) } else { round }
    }

    async fn round_to_its_end(
        &self,
        waits: &mut Waits,
        done: &BTreeSet<String>,
        synced: &mut Synced,
    ) -> Result<(Round, HeldBack), SyncFailure> {
        let mut known = self.known.lock().await;
        let syncing = Syncing::begin(&self.status);
        known.token.begin_try();
        let (mut round, mut is_full, mut has_asked) = (Round::new(), false, false);
        loop {
            self.follow_list(&mut known, synced).await?;
            let joined = self.joined().await?;
            syncing.keep(&joined);
            waits.keep(|name| name == OWN || joined.contains(name));
            let mut due = self.due(&joined, waits, &mut is_full).await?;
            due.retain(|name| !round.contains_key(name) && !done.contains(name));
            let (due, held_back) = self.in_order(due, &known.token, &round, waits).await?;
            if due.is_empty() {
                return Ok((round, held_back));
            }
            let of_spaces = !joined.is_empty();
            for (name, mut tried, of_device) in self.sync_these(&mut known, &syncing, due).await {
                if name == OWN {
                    synced.join(of_device);
                    if of_spaces && self.is_without_own(&tried).await? {
                        tried.result = Ok(true);
                    }
                    if tried.result.is_ok() || known.token.is_known() {
                        known.token.set_checked();
                    }
                } else {
                    synced.join_space(name.clone(), of_device);
                    syncing.ended(&name, tried.failure());
                }
                if !matches!(tried.result, Ok(false)) {
                    round.insert(name, tried);
                }
            }
            let own = round.get(OWN).and_then(Tried::failure);
            if own.is_some_and(SyncFailure::is_other_owner) {
                known.token.know_nothing();
                if !has_asked && self.forgets_other_account().await? {
                    has_asked = true;
                    *known = Known::default();
                    *synced = Synced::default();
                    waits.end_all();
                    round.clear();
                }
            } else if own.is_none() && !known.token.is_checked() {
                // A new token, which a request for the person's own data checks.
                round.remove(OWN);
            }
        }
    }

    /// The names of the devices that sync now.
    async fn due(
        &self,
        joined: &BTreeSet<String>,
        waits: &mut Waits,
        is_full: &mut bool,
    ) -> Result<BTreeSet<String>, SyncFailure> {
        let (mut due, mut with_reason) = (BTreeSet::new(), Vec::new());
        for name in [OWN].into_iter().chain(joined.iter().map(|name| &**name)) {
            let device = self.device.space(name);
            match waits.due(name, device.times_changed()) {
                Due::Later => continue,
                Due::WithReason => {
                    with_reason.push(device);
                    continue;
                }
                Due::Now => {}
                Due::Regular => *is_full = true,
            }
            due.insert(name.to_owned());
        }
        for device in with_reason {
            if *is_full || device.standing().await?.has_something_to_say() {
                due.insert(device.space_name().unwrap_or(OWN).to_owned());
            }
        }
        Ok(due)
    }

    /// Those of the devices that sync next, and those held back: the person's own data goes first and alone, if
    /// the token is not checked; or if it has changes, and there are spaces that have never synced. They may be
    /// what makes the person a member. But if they wait for the person, the spaces do not.
    async fn in_order(
        &self,
        mut due: BTreeSet<String>,
        token: &Token,
        round: &Round,
        waits: &mut Waits,
    ) -> Result<(BTreeSet<String>, HeldBack), SyncFailure> {
        let mut held_back = HeldBack::new();
        if due.iter().all(|name| name == OWN) {
            return Ok((due, held_back));
        }
        if !token.is_checked() {
            held_back.extend(due.iter().filter(|name| *name != OWN).cloned());
        } else if self.device.has_pending().await?
            && !round.get(OWN).is_some_and(Tried::needs_person)
            && !waits.needs_person(OWN, self.device.times_changed())
        {
            for name in &due {
                if name != OWN && self.device.space(name).standing().await?.is_new() {
                    held_back.insert(name.clone());
                }
            }
        }
        if held_back.is_empty() {
            return Ok((due, held_back));
        }
        let own_is_later = waits.due(OWN, self.device.times_changed()) == Due::Later;
        if round.contains_key(OWN) || own_is_later {
            due.retain(|name| !held_back.contains(name));
            return Ok((due, held_back));
        }
        Ok((BTreeSet::from([OWN.to_owned()]), held_back))
    }

    async fn sync_these(
        &self,
        known: &mut Known,
        syncing: &Syncing<'_>,
        names: BTreeSet<String>,
    ) -> Vec<(String, Tried, Synced)> {
        let Known { token, at_once, paces, .. } = known;
        for name in &names {
            paces.entry(name.clone()).or_insert(self.pace);
        }
        let owner = self.device.owner().await.ok().flatten();
        let post = Post::new(&*self.transport, token, at_once, owner);
        let parts = paces.iter_mut().filter(|(name, _)| names.contains(*name));
        let parts = parts.map(|(name, pace)| {
            let part = self.part(self.device.space(name), &post, syncing);
            let work: Work<'_, _> = Box::pin(async move {
                let (mut synced, mut progress) = (Synced::default(), false);
                let changed = part.device.times_changed();
                let result = part.sync(pace, &mut synced, &mut progress).await;
                (name.clone(), Tried { result, progress, changed }, synced)
            });
            work
        });
        post.run(parts.collect()).await
    }

    pub(super) fn part<'p>(
        &self,
        device: Device<S>,
        post: &'p Post<'p, T>,
        syncing: &'p Syncing<'p>,
    ) -> Part<'p, S, T> {
        Part { device, post, syncing, recovers: self.recovers }
    }

    /// Whether the person has no data of their own, neither here nor on the server, but only spaces.
    async fn is_without_own(&self, tried: &Tried) -> Result<bool, SyncFailure> {
        let Some(SyncFailure::Refused { code, .. }) = tried.failure() else { return Ok(false) };
        let standing = self.device.standing().await?;
        Ok(code == "no_member" && standing.clock == 0 && !standing.has_pending)
    }

    /// Whether the application lets another account have the local database. If so, it is empty afterwards.
    async fn forgets_other_account(&self) -> Result<bool, SyncFailure> {
        let Some(ask) = &self.asks else { return Ok(false) };
        let forgets = ask.call(self.device.unsent().await?).await == OtherAccount::Forget;
        if forgets {
            self.device.erase().await?;
        }
        Ok(forgets)
    }

    /// The names of the joined spaces.
    pub(super) async fn joined(&self) -> Result<BTreeSet<String>, SyncFailure> {
        let known = self.device.memberships().await?.into_iter();
        let joined = known.filter(|(_, it)| matches!(it, Membership::Joined { .. }));
        Ok(joined.map(|(name, _)| name).collect())
    }
}

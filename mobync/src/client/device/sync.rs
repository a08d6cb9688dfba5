//! What a device does in a sync: requests, answers, and starting again from clock 0.

use super::{
    Device, anew, answer, ask,
    ask::Limits,
    beside,
    judge::{Flaw, judge},
    owner, resync,
    sendable::{self, Unsendable},
};
use crate::{
    client::{Changes, DeviceError, LocalStore, LocalUnit, Pending, Request, StoreError, Taken},
    database::Access,
    protocol::SyncResponse,
};

/// The progress of a device's syncs.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a thing of its own")]
pub(in crate::client) struct Standing {
    pub(in crate::client) clock: i64,
    /// The server's clock, if there is more to fetch.
    pub(in crate::client) more: Option<i64>,
    /// Whether the last request has not been answered.
    pub(in crate::client) is_asking: bool,
    /// Whether others may have changed so much that the device fetches before it pushes.
    pub(in crate::client) is_away: bool,
    /// Whether it has started from clock 0 again, and has applied no answer yet.
    pub(in crate::client) is_anew: bool,
    pub(in crate::client) has_pending: bool,
    /// How far everything has been fetched once more, if the app was updated.
    pub(in crate::client) beside: Option<(i64, Option<i64>)>,
}

impl Standing {
    /// Whether there is a reason to sync.
    pub(in crate::client) fn has_something_to_say(self) -> bool {
        let goes_on = self.is_asking || self.more.is_some() || self.beside.is_some();
        self.has_pending || goes_on || self.is_anew || self.is_away
    }

    /// Whether no answer has ever been applied.
    pub(in crate::client) fn is_new(self) -> bool {
        self.clock == 0 && !self.is_anew && self.is_away
    }
}

impl<S: LocalStore> Device<S> {
    /// Creates the next request, with at most `most_diffs` pending diffs, but always with those of a request
    /// that got no answer. The previous request is abandoned. A diff that no server would accept is [set
    /// aside](Self::set_aside) instead.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn request(&self, most_diffs: usize) -> Result<Request, DeviceError> {
        self.request_within(most_diffs, usize::MAX).await
    }

    /// Like [`request`](Self::request), with a limit on the total bytes of the diffs, but with at least
    /// one diff.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn request_within(
        &self,
        most_diffs: usize,
        most_bytes: usize,
    ) -> Result<Request, DeviceError> {
        self.ask(Limits { diffs: most_diffs.max(1), bytes: most_bytes, page: None }).await
    }

    /// Creates a request for one page of what the device has missed. A page covers at most this many entries
    /// of the server's log, at least 1. The request has no diffs, except those of a request that got no
    /// answer; then the answer is complete, not a page. Fetch again while there is [more](Self::has_more).
    ///
    /// ```
    /// use mobync::{Change, Mobync, Owner, Record, client::{Device, MemoryStore}, memory::MemoryDatabase};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Mobync::new(MemoryDatabase::new());
    /// # let ada = Owner::new("ada")?;
    /// # for task in ["t1", "t2", "t3"] {
    /// #     server.write(&ada, [Change::create("tasks", Record::new(task))]).await?;
    /// # }
    /// let tablet = Device::new(MemoryStore::new());
    /// loop {
    ///     let request = tablet.fetch(1000).await?;
    ///     let answer = server.answer(&ada, request.body()).await?;
    ///     tablet.take(&request, &answer).await?;
    ///     if !tablet.has_more().await? {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(tablet.all("tasks").await?.len(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn fetch(&self, limit: u64) -> Result<Request, DeviceError> {
        self.ask(Limits { page: Some(limit.max(1)), ..Limits::NOTHING_NEW }).await
    }

    /// Whether the last answer was a page, and there is more to [fetch](Self::fetch).
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn has_more(&self) -> Result<bool, DeviceError> {
        Ok(self.begin(Access::Read).await?.state().await?.more.is_some())
    }

    pub(in crate::client) async fn ask(&self, limits: Limits) -> Result<Request, DeviceError> {
        let _turn = self.line.turn.lock().await;
        let mut unit = self.begin_joined().await?;
        let mut request = ask::ask(&mut unit, limits).await?;
        unit.commit().await?;
        request.body.schema = self.declared();
        request.space.clone_from(&self.space);
        request.set_aside = self.tell(request.set_aside);
        Ok(request)
    }

    pub(in crate::client) async fn standing(&self) -> Result<Standing, DeviceError> {
        let mut unit = self.begin(Access::Read).await?;
        let state = unit.state().await?;
        Ok(Standing {
            clock: state.clock,
            more: state.more,
            is_asking: state.is_asking,
            is_anew: state.is_anew,
            is_away: !state.is_anew && state.was_away(self.time.now()),
            beside: state.beside.map(|beside| (beside.clock, beside.more)),
            has_pending: !unit.pending(1).await?.is_empty(),
        })
    }

    /// Applies the answer to a request. Changes recorded since the request are merged with it, and stay
    /// pending. Applying an answer again changes nothing.
    ///
    /// # Errors
    /// [`DeviceError::InvalidAnswer`] if it is not an answer of this protocol, or cannot belong to this
    /// request; [`DeviceError::OtherOwner`] if it is for another owner; or [`DeviceError::Store`].
    pub async fn take(
        &self,
        request: &Request,
        answer: &SyncResponse,
    ) -> Result<Taken, DeviceError> {
        if request.is_beside {
            // Boxed, so that what is rare does not make each future larger.
            return Box::pin(self.take_beside(request, answer)).await;
        }
        let _turn = self.line.turn.lock().await;
        let mut unit = self.begin(Access::Write).await?;
        let mut state = unit.state().await?;
        if state.attempt != request.attempt {
            return Ok(Taken::Superseded);
        }
        match judge(request, answer, state.owner.as_deref(), state.heard) {
            Ok(owner) => owner::learn(&mut state, owner),
            Err(flaw) => {
                if matches!(flaw, Flaw::NothingNew) {
                    state.doubts = state.doubts.saturating_add(1);
                    unit.set_state(&state).await?;
                    unit.commit().await?;
                }
                return Err(flaw.into_error(state.owner));
            }
        }
        (state.doubts, state.is_asking) = (0, false);
        unit.set_state(&state).await?;
        let answer = answer::Answer::read(request, &self.read(request, answer))?;
        let mut changes = answer.apply(&mut unit, self.time.now()).await?;
        owner::mark(&mut unit, request).await?;
        changes.extend(Box::pin(beside::take_over(&mut unit, self.time.now())).await?);
        unit.commit().await?;
        Ok(Taken::Applied(self.tell(changes)))
    }

    /// Records that the server has refused a request as too large (413), so that the next one may have fewer
    /// diffs. Then request half as many.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn too_large(&self, request: &Request) -> Result<(), DeviceError> {
        let mut unit = self.begin(Access::Write).await?;
        let mut state = unit.state().await?;
        if state.attempt != request.attempt {
            return Ok(());
        }
        state.is_asking = false;
        unit.set_state(&state).await?;
        // If all diffs had been sent before and that answer was lost, it must have been the same request.
        let all = request.first_sent.is_empty();
        for pending in unit.pending(request.body.diffs.len()).await? {
            if all || request.first_sent.contains(&pending.seq) {
                unit.set_pending(&Pending { sent: false, ..pending }).await?;
            }
        }
        unit.commit().await?;
        Ok(())
    }

    /// Moves a pending diff that cannot be sent, and those that depend on it, to the [refused](Self::refused)
    /// diffs, with this code and message. It is undone on the device, and a request that is under way is
    /// abandoned. The other diffs can then be sent.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] or [`DeviceError::Store`].
    pub async fn set_aside(
        &self,
        diff_id: &str,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Result<Changes, DeviceError> {
        let diff_id = diff_id.to_owned();
        let why = Unsendable { diff_id, code: code.into(), message: message.into() };
        let _turn = self.line.turn.lock().await;
        let mut unit = self.begin(Access::Write).await?;
        if !unit.pending(usize::MAX).await?.iter().any(|pending| pending.diff.id == why.diff_id) {
            return Err(DeviceError::NoSuchDiff(why.diff_id));
        }
        let changes = sendable::set_aside(&mut unit, vec![why]).await?;
        let mut state = unit.state().await?;
        state.attempt += 1;
        unit.set_state(&state).await?;
        unit.commit().await?;
        Ok(self.tell(changes))
    }

    /// Returns to clock 0 with everything that the device has. Call it after the server answered
    /// `clock_ahead` or `other_history` **and a person has confirmed** that it is the right server, restored
    /// from a backup. (On a wrong server this would publish one person's data to another.) Save a copy of the
    /// store before, and sync afterwards.
    ///
    /// Data that the server has lost is created again. Data that both have is merged field by field, and the
    /// later change wins. Deletes that are still pending are repeated after the next answer. Only deletes
    /// that were acknowledged after the time of the backup are lost: such objects come back.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn resync(&self) -> Result<(), DeviceError> {
        let mut unit = self.begin(Access::Write).await?;
        resync::resync(&mut unit).await?;
        unit.commit().await?;
        self.changed();
        Ok(())
    }

    /// Records that the server has refused a request and applied nothing of it: its diffs are as they were
    /// before.
    pub(in crate::client) async fn not_applied(
        &self,
        request: &Request,
    ) -> Result<(), DeviceError> {
        let mut unit = self.begin(Access::Write).await?;
        if not_applied(&mut unit, request).await? {
            unit.commit().await?;
        }
        Ok(())
    }

    /// Starts from clock 0 again, because the server no longer keeps what the device has missed: it has
    /// answered this request with 410 `too_old`. If `forgotten` is set (a member of that answer), it also no
    /// longer knows which old diffs it has accepted. Then pending diffs that were in a request without an
    /// answer are [set aside](Self::set_aside), with the code `too_old`. The rest is as in
    /// [`begin_anew`](Self::begin_anew). [`Client`](crate::client::Client) does this by itself.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn too_old(
        &self,
        request: &Request,
        forgotten: bool,
    ) -> Result<Changes, DeviceError> {
        if request.is_beside {
            Box::pin(self.begin_beside_again(request)).await?;
            return Ok(Changes::default());
        }
        self.start_again(Some(request), forgotten).await
    }

    /// Starts from clock 0 again, because the device's copy may be wrong. Its objects are removed, and come
    /// back with the next answers. Pending diffs stay pending, with their ids, and are sent with the next
    /// request. Deletes among them wait until their objects come back.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn begin_anew(&self) -> Result<Changes, DeviceError> {
        self.start_again(None, false).await
    }

    async fn start_again(
        &self,
        refused: Option<&Request>,
        forgotten: bool,
    ) -> Result<Changes, DeviceError> {
        let _turn = self.line.turn.lock().await;
        let mut unit = self.begin(Access::Write).await?;
        if let Some(request) = refused
            && !not_applied(&mut unit, request).await?
        {
            return Ok(Changes::default());
        }
        let seen = anew::begin(&mut unit, forgotten).await?;
        unit.commit().await?;
        let seen = self.tell(seen);
        self.changed();
        Ok(seen)
    }
}

/// Returns `false` if the request was abandoned in the meantime.
async fn not_applied<U: LocalUnit>(unit: &mut U, request: &Request) -> Result<bool, StoreError> {
    let mut state = unit.state().await?;
    if state.attempt != request.attempt {
        return Ok(false);
    }
    state.is_asking = false;
    unit.set_state(&state).await?;
    for pending in unit.pending(request.body.diffs.len()).await? {
        if request.first_sent.contains(&pending.seq) {
            unit.set_pending(&Pending { sent: false, ..pending }).await?;
        }
    }
    Ok(true)
}

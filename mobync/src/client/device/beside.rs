//! Fetching everything once more after an update of the app, into records beside those that the device has.
//!
//! Meanwhile the device works and syncs as ever, with a clock of its own. When both are at the same clock, the
//! records beside take the place of the acknowledged ones.

use super::{Device, anew::by_object, answer::Touched, judge::judge, owner, update::next_part};
use crate::{
    change::Change,
    client::{
        Changes, DeviceError, LocalStore, LocalUnit, Located, Pending, Request, State, Taken,
        settle::Decoded, store::Beside,
    },
    database::Access,
    engine::diff_of,
    protocol::{SyncRequest, SyncResponse},
};

impl<S: LocalStore> Device<S> {
    /// Creates a request for one page of what the device fetches once more after its app was
    /// [updated](Self::schema), or `None` if there is nothing to fetch. Use it when nothing is pending, and
    /// there is nothing [more](Self::has_more); [take](Self::take) the answer; and go on, in turns with
    /// [`request`](Self::request), until there is nothing to fetch. [`Client`](crate::client::Client) does
    /// this by itself.
    ///
    /// If the server refuses the request with 410 or 409, call [`too_old`](Self::too_old) with it: then this
    /// fetch begins again, and the device keeps what it has.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn fetch_beside(&self, limit: u64) -> Result<Option<Request>, DeviceError> {
        let state = self.begin(Access::Read).await?.state().await?;
        let owner = state.owner.unwrap_or_default();
        let request = state.beside.map(|Beside { clock, head, .. }| {
            let mut body = SyncRequest::new(clock, Vec::new());
            (body.head, body.limit) = (Some(head), Some(limit.max(1)));
            (body.schema, body.owner) = (self.declared(), Some(owner));
            Request { is_beside: true, space: self.space.clone(), ..Request::of(0, body) }
        });
        Ok(request)
    }

    /// Takes the answer to a request for a page beside.
    pub(super) async fn take_beside(
        &self,
        request: &Request,
        answer: &SyncResponse,
    ) -> Result<Taken, DeviceError> {
        let _turn = self.line.turn.lock().await;
        let mut unit = self.begin(Access::Write).await?;
        let mut state = unit.state().await?;
        let Some(mut beside) = state.beside.take_if(|beside| is_of(request, beside)) else {
            return Ok(Taken::Superseded);
        };
        match judge(request, answer, state.owner.as_deref(), 0) {
            Ok(owner) => owner::learn(&mut state, owner),
            Err(flaw) => return Err(flaw.into_error(state.owner)),
        }
        for diff in &self.read(request, answer).diffs {
            let change = Decoded::read(diff.clone()).map_err(|cause| {
                DeviceError::InvalidAnswer(format!("json_data of diff {}: {cause}", diff.id))
            })?;
            let (model, id) = change.object();
            let mut object = unit.object(&model, &id).await?;
            change.apply(&mut object.beside);
            if object.acknowledged.is_none() {
                object.changed_at = object.changed_at.max(diff.utc_timestamp);
            }
            unit.set_object(&model, &id, &object).await?;
        }
        match &answer.head {
            Some(head) => beside.head.clone_from(head),
            None if answer.logical_clock > beside.clock => beside.head.clear(),
            None => {}
        }
        (beside.clock, beside.more) = (answer.logical_clock, answer.more);
        state.beside = Some(beside);
        unit.set_state(&state).await?;
        let changes = take_over(&mut unit, self.time.now()).await?;
        unit.commit().await?;
        Ok(Taken::Applied(self.tell(changes)))
    }

    /// Begins to fetch beside again, because the server has refused this request.
    pub(super) async fn begin_beside_again(&self, request: &Request) -> Result<(), DeviceError> {
        let mut unit = self.begin(Access::Write).await?;
        let mut state = unit.state().await?;
        if state.beside.as_ref().is_some_and(|beside| is_of(request, beside)) {
            begin(&mut unit, &mut state).await?;
            unit.set_state(&state).await?;
            unit.commit().await?;
        }
        Ok(())
    }
}

/// Each answer to a page from this clock is as good as any other.
fn is_of(request: &Request, beside: &Beside) -> bool {
    request.body.logical_clock == beside.clock && request.body.head.as_ref() == Some(&beside.head)
}

/// Begins to fetch beside. A device that has received nothing will get everything anyway.
pub(super) async fn begin<U: LocalUnit>(
    unit: &mut U,
    state: &mut State,
) -> Result<(), DeviceError> {
    if state.beside.is_some() {
        forget(unit).await?;
    }
    state.beside = (state.clock > 0).then(Beside::default);
    Ok(())
}

/// Removes all records beside.
async fn forget<U: LocalUnit>(unit: &mut U) -> Result<(), DeviceError> {
    let mut last = None;
    loop {
        for mut located in next_part(unit, &mut last).await? {
            if located.object.beside.take().is_some() {
                unit.set_object(&located.model, &located.id, &located.object).await?;
            }
        }
        if last.is_none() {
            return Ok(());
        }
    }
}

/// If the records beside are those of the device's clock, they take the place of the acknowledged ones.
///
/// The device has seen everything up to its clock, except what its earlier version was not sent. So pending
/// changes win over all values. But not before each request has its answer: a diff that was sent may be in the
/// records beside.
pub(super) async fn take_over<U: LocalUnit>(
    unit: &mut U,
    now: i64,
) -> Result<Changes, DeviceError> {
    let mut changes = Changes::default();
    let mut state = unit.state().await?;
    let Some(beside) = &state.beside else { return Ok(changes) };
    let is_equal = beside.clock == state.clock && beside.more.is_none() && state.more.is_none();
    let pending = unit.pending(usize::MAX).await?;
    if !is_equal || pending.iter().any(|pending| pending.sent) {
        return Ok(changes);
    }
    let mut pending = by_object(pending);
    let mut last = None;
    loop {
        for located in next_part(unit, &mut last).await? {
            let left = pending.remove(&(located.model.clone(), located.id.clone()));
            let left = left.unwrap_or_default();
            let (of_object, touched) = taken_over(unit, located, &left, now).await?;
            state.has_orphans |= touched.apply(of_object, unit, now, &mut changes).await?;
        }
        if last.is_none() {
            break;
        }
    }
    state.beside = None;
    unit.set_state(&state).await?;
    Ok(changes)
}

/// What the record beside is to the acknowledged one: an answer, earlier than all that is pending.
async fn taken_over<U: LocalUnit>(
    unit: &mut U,
    Located { model, id, mut object }: Located,
    left: &[Pending],
    now: i64,
) -> Result<((String, String), Touched), DeviceError> {
    let brought = object.beside.take();
    let change = match (&object.acknowledged, &brought) {
        (None, Some(record)) => Some(Change::create(&model, record.clone())),
        (Some(_), Some(_)) => {
            if object.acknowledged != brought {
                // It does not tell when: an older copy on another device must not win.
                object.changed_at = object.changed_at.max(now);
            }
            object.acknowledged = brought;
            None
        }
        // Nothing was deleted that the device does not know of: its model was removed on the server.
        (_, None) => None,
    };
    unit.set_object(&model, &id, &object).await?;
    let brought = change.map(|change| diff_of(change, "", i64::MIN));
    Ok(((model, id), Touched::by(brought, left)?))
}

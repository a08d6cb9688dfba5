//! Several requests in one: each is answered as if it were alone.

use std::{
    future::{Future, poll_fn},
    io::Write,
    pin::pin,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use tracing::{Instrument, field::Empty};

use super::{
    AnswerBody, AuthError, Claim, Endpoint, Limits,
    body::size,
    panic::caught,
    respond::{response, retry_after},
    room::{Fit, Room},
    side_by_side::side_by_side,
    spaces::Person,
};
use crate::{
    database::Database,
    engine::log_failure,
    error::Error,
    grant::Grant,
    hash::HashMap,
    owner::Owner,
    protocol::{Failure, Member, OneOfSeveral, SyncRequest, SyncResponse},
    rules::Rules,
};

/// A member that may sync, and its place.
struct Sync {
    place: usize,
    grant: Grant,
    request: SyncRequest,
}

/// A member's answer as JSON.
struct Printed {
    json: Vec<u8>,
    is_failure: bool,
}

impl<D: Database, R: Rules, A> Endpoint<D, R, A> {
    /// Answers several requests of a person, those of different owners side by side.
    pub(super) async fn answer_several<F, Fut, G>(
        &self,
        limits: &Limits,
        (person, owner): (Person, Option<Owner>),
        members: Vec<Member>,
        auth: &F,
    ) -> Response<AnswerBody>
    where
        F: Fn(Claim) -> Fut,
        Fut: Future<Output = Result<G, AuthError>>,
        G: Into<Grant>,
    {
        let span = tracing::info_span!("batch", members = members.len(), failed = Empty);
        let room = Room::new(&limits.answers);
        let answers = async {
            let (spaces, requests): (_, Vec<_>) =
                members.into_iter().map(|member| (member.space, member.request)).unzip();
            let grants = person.grants(spaces, limits.spaces_at_once, auth).await;
            self.answers(limits, &room, grants.into_iter().zip(requests)).await
        };
        let answers = answers.instrument(span.clone()).await;
        span.record("failed", answers.iter().filter(|answer| answer.is_failure).count());
        span.in_scope(|| tracing::debug!("synced several"));
        print_all(limits, owner.as_ref(), answers, room)
    }

    /// The answers to requests, in their order.
    async fn answers(
        &self,
        limits: &Limits,
        room: &Room<'_>,
        members: impl Iterator<Item = (Result<Grant, Error>, Result<SyncRequest, Error>)>,
    ) -> Vec<Printed> {
        let (mut answers, mut syncs) = (Vec::new(), Vec::new());
        for (place, (grant, request)) in members.enumerate() {
            match grant.and_then(|grant| Ok((grant, request?))) {
                Err(error) => answers.push((place, failure(&error))),
                Ok((grant, request)) => syncs.push(Sync { place, grant, request }),
            }
        }
        let idle = self.answer_idle(&syncs).await;
        let (mut queues, mut of_owner) =
            (Vec::<Vec<Sync>>::new(), HashMap::<Owner, usize>::default());
        for (sync, idle) in syncs.into_iter().zip(idle) {
            if let Some(answer) = idle.filter(|answer| room.fit(size(answer)) == Fit::Now) {
                answers.push((sync.place, success(&answer)));
                continue;
            }
            let queue = *of_owner.entry(sync.grant.owner().clone()).or_insert(queues.len());
            match queues.get_mut(queue) {
                Some(queue) => queue.push(sync),
                None => queues.push(vec![sync]),
            }
        }
        let running = queues.into_iter().map(|queue| self.answer_queue(limits, room, queue));
        answers.extend(side_by_side(limits.spaces_at_once, running).await.into_iter().flatten());
        answers.sort_unstable_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// The answers to those that have nothing to bring and nothing to get. All of them cost one query.
    async fn answer_idle(&self, syncs: &[Sync]) -> Vec<Option<SyncResponse>> {
        let members: Vec<_> =
            syncs.iter().map(|sync| (sync.grant.owner(), &sync.request)).collect();
        let mut telling = pin!(async { Ok(self.mobync.answer_idle(&members).await) });
        let told = poll_fn(|context| caught(telling.as_mut(), context)).await;
        // If the database panics, each of them has to see for itself.
        told.unwrap_or_else(|_| syncs.iter().map(|_| None).collect())
    }

    /// Answers requests for one owner, one after another.
    async fn answer_queue(
        &self,
        limits: &Limits,
        room: &Room<'_>,
        queue: Vec<Sync>,
    ) -> Vec<(usize, Printed)> {
        let mut answers = Vec::new();
        for Sync { place, grant, request } in queue {
            let mut syncing = pin!(self.answer_one(limits, room, grant, request));
            let answer = poll_fn(|context| caught(syncing.as_mut(), context)).await;
            answers.push((place, answer.unwrap_or_else(|error| failure(&error))));
        }
        answers
    }

    async fn answer_one(
        &self,
        limits: &Limits,
        room: &Room<'_>,
        grant: Grant,
        request: SyncRequest,
    ) -> Result<Printed, Error> {
        let (owner, request) = (grant.owner(), request.granted(&grant));
        let mut answer = self.mobync.answer(owner, &request).await?;
        let bytes = size(&answer);
        match room.fit(bytes) {
            Fit::Now => {}
            Fit::Later => {
                let later = self.answer_later(limits, (answer, bytes), owner, &request);
                let (anew, share) = Box::pin(later).await?;
                answer = anew;
                room.add(bytes, share);
            }
            Fit::Not => {
                let error = Error::busy("the answers to the request are too large together");
                log_failure(&error);
                // What the device sent has been applied.
                return Err(if request.diffs.is_empty() { error } else { error.in_doubt() });
            }
        }
        Ok(success(&answer))
    }
}

fn success(answer: &SyncResponse) -> Printed {
    Printed { json: print(StatusCode::OK, answer, None), is_failure: false }
}

fn failure(error: &Error) -> Printed {
    let json = print(error.status(), &Failure::from(error), retry_after(error));
    Printed { json, is_failure: true }
}

fn print(status: StatusCode, answer: &impl Serialize, retry_after: Option<u64>) -> Vec<u8> {
    let one = OneOfSeveral { status: status.as_u16(), answer, retry_after };
    // Strings, integers and booleans: JSON can represent all of them.
    serde_json::to_vec(&one).unwrap_or_default()
}

/// The answer to all of them. If it is large, it is written in parts.
fn print_all(
    limits: &Limits,
    owner: Option<&Owner>,
    answers: Vec<Printed>,
    room: Room<'_>,
) -> Response<AnswerBody> {
    let write = |out: &mut dyn Write| {
        out.write_all(br#"{"success":true,"#)?;
        if let Some(owner) = owner {
            out.write_all(br#""owner":"#)?;
            serde_json::to_writer(&mut *out, owner.as_str())?;
            out.write_all(b",")?;
        }
        out.write_all(br#""syncs":["#)?;
        for (place, answer) in answers.into_iter().enumerate() {
            out.write_all(if place == 0 { b"" } else { b"," })?;
            out.write_all(&answer.json)?;
        }
        out.write_all(b"]}")
    };
    let (body, length) = match room.into_share() {
        Some(share) => limits.answers.hold(share, write),
        None => {
            let mut whole = Vec::new();
            // Memory takes all that is written.
            let _ = write(&mut whole);
            let length = whole.len();
            (AnswerBody::from(Bytes::from(whole)), length)
        }
    };
    response(StatusCode::OK, body, length)
}

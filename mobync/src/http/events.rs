//! The stream of Server-Sent Events that a listening device reads.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use serde::Serialize;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    AuthError, Claim,
    watched::{Later, Said, Source, Watched, after},
};
use crate::grant::Grant;

/// The body of a live response: the owners' current clocks, each new value, and heartbeats in between.
///
/// It never fails. It ends when the server stops, when the listeners are
/// [disconnected](crate::Live::disconnect), at its greatest age, or when the auth closure refuses the person.
/// The device then connects again. Dropping it ends the listening.
///
/// `F` is the auth closure, which is asked again while the stream is open, and `Fut` is its future. They decide
/// whether the stream is `Send`.
pub struct Events<F = BoxedAuth, Fut = Later<Result<Grant, AuthError>>> {
    stream: Option<Box<Stream<F, Fut>>>,
}

/// The auth closure of an endpoint that has one.
pub(super) type BoxedAuth = Box<dyn Fn(Claim) -> Later<Result<Grant, AuthError>> + Send + Sync>;

struct Stream<F, Fut> {
    first: Option<Bytes>,
    source: Source<F>,
    /// The person's own data come first.
    spaces: Vec<Watched<Fut>>,
    /// Whose turn it is to be heard.
    turn: usize,
    /// Comes when the server ends all streams. Without spaces, the listener says so.
    until: Option<Later<()>>,
    heartbeat: Duration,
    beat_at: Option<Instant>,
    end: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<F, Fut> Events<F, Fut> {
    /// A stream that begins with `first`, over the person's own data and then spaces.
    pub(super) fn new(
        first: Option<Said>,
        source: Source<F>,
        spaces: Vec<Watched<Fut>>,
        until: Option<Later<()>>,
        heartbeat: Duration,
        max_age: Duration,
    ) -> Self {
        let end = after(Instant::now(), max_age);
        let timer = Box::pin(sleep_until(end));
        let first = first.and_then(|said| source.event(None, &said));
        let stream =
            Stream { first, source, spaces, turn: 0, until, heartbeat, beat_at: None, end, timer };
        Self { stream: Some(Box::new(stream)) }
    }

    /// A stream without events.
    pub(super) fn empty() -> Self {
        Self { stream: None }
    }
}

impl<F, Fut, G> Stream<F, Fut>
where
    F: Fn(Claim) -> Fut,
    Fut: Future<Output = Result<G, AuthError>>,
    G: Into<Grant>,
{
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(until) = &mut self.until
            && until.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        loop {
            let now = Instant::now();
            let heartbeat = self.heartbeat;
            let beat_at = *self.beat_at.get_or_insert_with(|| after(now, heartbeat));
            if let Poll::Ready(event) = self.poll_spaces(context, now) {
                self.beat_at = None;
                return Poll::Ready(event);
            }
            if beat_at <= now {
                self.beat_at = None;
                return Poll::Ready(Some(Bytes::from_static(b":\n\n")));
            }
            if self.end <= now {
                return Poll::Ready(None);
            }
            let next = self.spaces.iter().filter_map(Watched::deadline).fold(beat_at, Instant::min);
            self.timer.as_mut().reset(next.min(self.end));
            ready!(self.timer.as_mut().poll(context));
        }
    }

    /// The next event of any space, in turns; `None` if the stream should end.
    fn poll_spaces(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<Option<Bytes>> {
        // After a doubt, the person is asked at once.
        let mut left = self.spaces.len();
        while left > 0 {
            left -= 1;
            let own = self.spaces.first().and_then(Watched::owner).cloned();
            self.turn = (self.turn + 1) % self.spaces.len();
            let Some(space) = self.spaces.get_mut(self.turn) else { break };
            match space.poll(context, now, own.as_ref(), &self.source) {
                Poll::Pending => {}
                Poll::Ready(Said::Refused) => {
                    if let Some(person) = self.spaces.first_mut() {
                        person.doubt(now);
                        left = self.spaces.len();
                    }
                }
                Poll::Ready(said) => return Poll::Ready(self.source.event(space.name(), &said)),
            }
        }
        Poll::Pending
    }
}

impl<F> Source<F> {
    /// The bytes of an event; `None` for the end.
    fn event(&self, space: Option<&str>, said: &Said) -> Option<Bytes> {
        #[derive(Serialize)]
        struct Data<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            space: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            logical_clock: Option<i64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
        }
        let (event, logical_clock, message) = match said {
            Said::Clock(clock) if self.ask_every.is_none() => {
                return Some(format!("event: clock\ndata: {clock}\n\n").into());
            }
            Said::Clock(clock) => ("clock", Some(*clock), None),
            Said::NoMember(sentence) => ("no_member", None, Some(&**sentence)),
            Said::Refused | Said::End => return None,
        };
        let data = serde_json::to_string(&Data { space, logical_clock, message }).ok()?;
        Some(format!("event: {event}\ndata: {data}\n\n").into())
    }
}

impl<F, Fut, G> Body for Events<F, Fut>
where
    F: Fn(Claim) -> Fut,
    Fut: Future<Output = Result<G, AuthError>>,
    G: Into<Grant>,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
        let event = ready!(stream.poll_event(context));
        if event.is_none() {
            this.stream = None;
        }
        Poll::Ready(event.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }
}

impl<F, Fut> fmt::Debug for Events<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("ended", &self.stream.is_none()).finish()
    }
}

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
use tokio::time::{Instant, timeout, timeout_at};

use crate::live::Listener;

/// The body of a live response: the owner's current clock, each new value, and heartbeats in between.
///
/// It never fails. It ends when the server stops, when the listeners are
/// [disconnected](crate::Live::disconnect), or at its greatest age. The device then connects again.
/// Dropping it ends the listening.
pub struct Events {
    next: Option<Step>,
}

type Step = Pin<Box<dyn Future<Output = Option<(Bytes, Stream)>> + Send>>;

/// The state of a stream between two events.
struct Stream {
    listener: Listener,
    told: i64,
    heartbeat: Duration,
    end: Instant,
}

impl Events {
    pub(super) fn new(
        listener: Listener,
        clock: i64,
        heartbeat: Duration,
        max_age: Duration,
    ) -> Self {
        let now = Instant::now();
        // An age beyond the range of the clock means no end.
        let end = now.checked_add(max_age).unwrap_or(now + Duration::from_secs(u32::MAX.into()));
        let stream = Stream { listener, told: clock, heartbeat, end };
        let first = event(clock);
        Self { next: Some(Box::pin(async { Some((first, stream)) })) }
    }

    /// A stream without events.
    pub(super) fn empty() -> Self {
        Self { next: None }
    }
}

impl Stream {
    async fn step(mut self) -> Option<(Bytes, Self)> {
        let newest = timeout(self.heartbeat, self.listener.beyond(self.told));
        let bytes = match timeout_at(self.end, newest).await {
            Ok(Ok(clock)) => {
                self.told = clock?;
                event(self.told)
            }
            Ok(Err(_)) => Bytes::from_static(b":\n\n"),
            Err(_) => return None,
        };
        Some((bytes, self))
    }
}

fn event(clock: i64) -> Bytes {
    format!("event: clock\ndata: {clock}\n\n").into()
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some(step) = &mut this.next else { return Poll::Ready(None) };
        match ready!(step.as_mut().poll(context)) {
            Some((bytes, stream)) => {
                this.next = Some(Box::pin(stream.step()));
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            None => {
                this.next = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("ended", &self.next.is_none()).finish()
    }
}

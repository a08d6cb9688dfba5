//! Transfers with a limit on the time without data.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::timeout;

use crate::client::NoAnswer;

/// The size of the parts in which a request is passed on, in bytes.
const PIECE: usize = 16 * 1024;
/// What a slow network transfers in a second, in bytes.
const SLOW: usize = 4 * 1024;
/// What buffers of the network can hold, in bytes.
const BUFFERED: usize = 1024 * 1024;

/// The progress of one request and its answer.
pub(super) struct Progress {
    steps: Arc<AtomicUsize>,
    silence: Duration,
}

impl Progress {
    /// For a request of this many bytes.
    pub(super) fn new(silence: Duration, bytes: usize) -> Self {
        let seconds = u64::try_from(bytes.min(BUFFERED) / SLOW).unwrap_or(u64::MAX);
        let silence = silence.saturating_add(Duration::from_secs(seconds));
        Self { steps: Arc::default(), silence }
    }

    /// Waits while there is progress.
    pub(super) async fn watch<F: Future>(&self, work: F) -> Result<F::Output, NoAnswer> {
        let mut work = pin!(work);
        loop {
            let before = self.steps.load(Ordering::Relaxed);
            if let Ok(done) = timeout(self.silence, &mut work).await {
                return Ok(done);
            }
            if self.steps.load(Ordering::Relaxed) == before {
                return Err(NoAnswer::new(format!("nothing has moved for {:?}", self.silence)));
            }
        }
    }
}

/// The body of a request. It counts how often more of it was requested.
pub(super) struct Upload {
    rest: Bytes,
    steps: Arc<AtomicUsize>,
}

impl Upload {
    pub(super) fn new(body: Bytes, progress: &Progress) -> Self {
        Self { rest: body, steps: Arc::clone(&progress.steps) }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        let next = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(next);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// A network that takes one piece per interval.
    async fn upload(bytes: usize, rest: Duration) -> (Result<usize, NoAnswer>, Duration) {
        let progress = Progress::new(Duration::from_mins(1), 0);
        let mut body = Upload::new(Bytes::from(vec![7; bytes]), &progress);
        let began = Instant::now();
        let work = async {
            let mut taken = 0;
            while let Some(Ok(frame)) = body.frame().await {
                taken += frame.into_data().unwrap().len();
                sleep(rest).await;
            }
            taken
        };
        (progress.watch(work).await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_waited_for_and_what_does_not_is_given_up() {
        for seconds in [1, 20, 59, 130, 3600] {
            let bytes = 20 * PIECE + 5;
            let (taken, time) = upload(bytes, Duration::from_secs(seconds)).await;
            if seconds < 60 {
                assert_eq!(taken.unwrap(), bytes);
                assert_eq!(time.as_secs(), 21 * seconds);
            } else {
                taken.unwrap_err();
                assert!((60..=180).contains(&time.as_secs()), "{time:?}");
            }
        }
    }

    #[test]
    fn a_large_request_is_given_time_for_what_cannot_be_seen_moving() {
        let minute = Duration::from_mins(1);
        for (bytes, seconds) in [(0, 60), (4096, 61), (512 * 1024, 188), (usize::MAX, 316)] {
            assert_eq!(Progress::new(minute, bytes).silence.as_secs(), seconds);
        }
    }
}

//! Transfers with a limit on the time without data.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
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
const SLOW: f64 = 4096.0;
/// What buffers of the network can hold, in bytes.
const BUFFERED: u32 = 1024 * 1024;
/// How many times as long a server may be silent. What is in buffers may take any time.
const MOST_SILENCES: u32 = 8;

/// How much time transfers are given. It grows with each one in a row that was lost to silence, since the
/// network may be slower than expected.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience {
    lost: Arc<AtomicU32>,
}

impl Patience {
    /// The time for a request of this many bytes and its answer.
    pub(super) fn begin(&self, silence: Duration, bytes: usize) -> Progress {
        let times = 2_u32.saturating_pow(self.lost.load(Ordering::Relaxed));
        let buffered = u32::try_from(bytes).unwrap_or(BUFFERED).min(BUFFERED);
        let hidden = Duration::from_secs_f64(f64::from(buffered) / SLOW);
        let silence = silence.saturating_mul(times.min(MOST_SILENCES));
        let silence = silence.saturating_add(hidden.saturating_mul(times));
        Progress { steps: Arc::default(), silence, patience: self.clone() }
    }
}

/// The progress of one request and its answer.
pub(super) struct Progress {
    steps: Arc<AtomicUsize>,
    silence: Duration,
    patience: Patience,
}

impl Progress {
    /// There is an answer.
    pub(super) fn end(self) {
        self.patience.lost.store(0, Ordering::Relaxed);
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
                self.patience.lost.fetch_add(1, Ordering::Relaxed);
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
        let progress = Patience::default().begin(Duration::from_mins(1), 0);
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
            assert_eq!(Patience::default().begin(minute, bytes).silence.as_secs(), seconds);
        }
    }

    /// A network with a buffer, which takes this many bytes a second. The answer comes at once.
    async fn post(bytes: usize, speed: f64, patience: &Patience) -> Result<(), NoAnswer> {
        const BUFFER: usize = 1024 * 1024;
        let progress = patience.begin(Duration::from_mins(1), bytes);
        let mut body = Upload::new(Bytes::from(vec![7; bytes]), &progress);
        let seconds = |bytes: usize| {
            let bytes = f64::from(u32::try_from(bytes).unwrap());
            Duration::from_secs_f64(bytes / speed)
        };
        let work = async {
            let mut waiting = 0;
            while let Some(Ok(frame)) = body.frame().await {
                waiting += frame.into_data().unwrap().len();
                let over = waiting.saturating_sub(BUFFER);
                sleep(seconds(over)).await;
                waiting -= over;
            }
            sleep(seconds(waiting)).await;
        };
        progress.watch(work).await?;
        progress.end();
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_any_speed_gets_a_request_through_in_the_end() {
        for bytes in [1, 3000, 60_000, 512 * 1024, 3 * 1024 * 1024] {
            for speed in [0.1, 1.0, 30.0, 500.0, 4096.0, 1e6] {
                let patience = Patience::default();
                let mut lost = 0;
                while post(bytes, speed, &patience).await.is_err() {
                    lost += 1;
                    assert!(lost < 25, "{bytes} at {speed}");
                }
                let after = patience.begin(Duration::from_mins(1), 0).silence;
                assert_eq!(after.as_secs(), 60, "after an answer it is as before");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up_soon_however_often() {
        let patience = Patience::default();
        for minutes in [1, 2, 4, 8, 8, 8] {
            let began = Instant::now();
            let progress = patience.begin(Duration::from_mins(1), 0);
            assert!(progress.watch(std::future::pending::<()>()).await.is_err());
            assert_eq!(began.elapsed().as_secs(), minutes * 60);
        }
    }
}

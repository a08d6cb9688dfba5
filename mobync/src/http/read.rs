//! Reading a request's body within the limits on its time, its size and the memory of all bodies.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use http_body_util::LengthLimitError;
use tokio::time::{Instant, timeout};

use super::{Limits, budget::Share};
use crate::{
    engine::log_failure,
    error::{BoxError, Error},
};

/// How much of a refused body is still read: in bytes, in total time, and in time without a byte. A
/// client that is cut off while it sends does not receive the answer.
const READ_ON: (usize, Duration, Duration) =
    (64 * 1024 * 1024, Duration::from_secs(30), Duration::from_secs(1));

/// The error of a body that a limit of the framework has cut off, so that the answer is 413.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body is over the limit")]
pub struct OverLimit;

/// A body that is being read.
pub(super) struct Reader<'b, B> {
    body: Pin<&'b mut B>,
    is_over: bool,
}

impl<B> Reader<'_, B>
where
    B: Body<Error: Into<BoxError>>,
{
    pub(super) fn new(body: Pin<&mut B>) -> Reader<'_, B> {
        Reader { is_over: body.is_end_stream(), body }
    }

    /// Reads the whole body. The sender is known already, or a stranger.
    ///
    /// # Errors
    /// [`Error::PayloadTooLarge`], [`Error::Busy`] if there is no memory for it, [`Error::Silent`], or
    /// [`Error::InvalidRequest`] if it ends too early.
    pub(super) async fn read(
        &mut self,
        limits: &Limits,
        is_known: bool,
    ) -> Result<(Bytes, Share), Error> {
        let (mut first, mut all) = (Bytes::new(), Vec::new());
        let (mut share, mut of_strangers) = (Share::default(), Share::default());
        while let Some(chunk) = self.next(limits, limits.silence).await? {
            let length = first.len() + all.len() + chunk.len();
            if length > limits.max_body_bytes {
                return Err(too_large(limits));
            }
            let may = is_known || limits.strangers.try_grow(&mut of_strangers, length);
            if !may || !limits.bodies.try_grow(&mut share, length) {
                let error = Error::busy("too many bytes of requests are held already");
                log_failure(&error);
                return Err(error);
            }
            if length == chunk.len() {
                first = chunk;
            } else {
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&chunk);
            }
        }
        Ok((if all.is_empty() { first } else { all.into() }, share))
    }

    /// Reads on for a while, and discards the data.
    pub(super) async fn read_on(&mut self, limits: &Limits) {
        let (mut left, patience, silence) = READ_ON;
        let began = Instant::now();
        while left > 0 && began.elapsed() < patience {
            let Ok(Some(chunk)) = self.next(limits, silence).await else { return };
            left = left.saturating_sub(chunk.len());
        }
    }

    /// The next part of it, if it comes in time.
    async fn next(&mut self, limits: &Limits, silence: Duration) -> Result<Option<Bytes>, Error> {
        if self.is_over {
            return Ok(None);
        }
        // Data that has already arrived needs no timer.
        let part = match poll_fn(|context| Poll::Ready(self.poll(context))).await {
            Poll::Ready(part) => part,
            Poll::Pending => timeout(silence, poll_fn(|context| self.poll(context)))
                .await
                .map_err(|_| Error::Silent { after: silence })?,
        };
        match part {
            Some(Ok(part)) => Ok(Some(part)),
            // There may be more of the body to read.
            Some(Err(cause)) if is_too_large(&*cause) => Err(too_large(limits)),
            Some(Err(_)) => {
                self.is_over = true;
                Err(Error::InvalidRequest("the body broke off before its end".to_owned()))
            }
            None => {
                self.is_over = true;
                Ok(None)
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let data = |frame: Frame<B::Data>| match frame.into_data() {
            Ok(mut data) => data.copy_to_bytes(data.remaining()),
            Err(_trailers) => Bytes::new(),
        };
        self.body.as_mut().poll_frame(context).map_ok(data).map_err(Into::into)
    }
}

pub(super) fn too_large(limits: &Limits) -> Error {
    let limit = match limits.max_body_bytes {
        usize::MAX => "this server takes".to_owned(), // the framework does not tell its limit
        bytes => format!("{bytes} bytes"),
    };
    Error::PayloadTooLarge(format!("The body is larger than {limit}: send fewer diffs at once."))
}

/// A limit of this library, or one of the framework.
fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<LengthLimitError>()
        || error.is::<OverLimit>()
        || error.source().is_some_and(is_too_large)
}

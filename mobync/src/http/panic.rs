//! Panics in the application's code, which must not be what a client hears of.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use crate::{engine::log_failure, error::Error};

/// Polls a future that calls the application's code; a panic in it is an [`Error::Internal`].
///
/// The caller does not poll it again then. What the future held is dropped, so nobody sees it half done.
pub(super) fn caught<F, T>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<Result<T, Error>>
where
    F: Future<Output = Result<T, Error>>,
{
    let polled = catch_unwind(AssertUnwindSafe(|| future.poll(context)));
    polled.unwrap_or_else(|_| {
        // What it says has gone to the panic hook; it may quote what nobody should log. And it may have
        // happened behind the commit.
        let error = Error::Internal("the application's code panicked".into()).in_doubt();
        log_failure(&error);
        Poll::Ready(Err(error))
    })
}

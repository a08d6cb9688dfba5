//! Panics in the application's code, which must not reach the client.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use crate::{engine::log_failure, error::Error};

/// Polls a future that calls the application's code; a panic in it is an [`Error::Internal`].
///
/// The caller does not poll it again after that.
pub(super) fn caught<F, T>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<Result<T, Error>>
where
    F: Future<Output = Result<T, Error>> + ?Sized,
{
    unwound(|| future.poll(context)).unwrap_or_else(|error| Poll::Ready(Err(error)))
}

/// Runs the application's code; a panic in it is an [`Error::Internal`].
///
/// The caller drops what it has run then, so nobody sees it in an inconsistent state.
pub(super) fn unwound<T>(run: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
        // The text has gone to the panic hook. It may contain private data. The panic may also have
        // happened after the commit.
        let error = Error::Internal("the application's code panicked".into()).in_doubt();
        log_failure(&error);
        error
    })
}

//! The span of a sync, for operators.

use std::time::Instant;

use tracing::{Span, field::Empty};

use super::{attempt::Source, log_failure};
use crate::error::Error;

pub(super) fn begin(source: Source, pushed: usize) -> Span {
    tracing::info_span!(
        "sync",
        clock = source.since().unwrap_or(-1),
        pushed,
        known = Empty,
        accepted = Empty,
        dropped = Empty,
        refused = Empty,
        returned = Empty,
        duration_us = Empty,
    )
}

/// Records the results of the diffs in the current span.
pub(super) fn record(
    known: usize,
    accepted: usize,
    dropped: usize,
    refused: usize,
    returned: usize,
) {
    let span = Span::current();
    span.record("known", known).record("accepted", accepted).record("dropped", dropped);
    span.record("refused", refused).record("returned", returned);
}

/// Records how long it took, and logs the result.
pub(super) fn end(span: &Span, started: Instant, failed: Option<&Error>) {
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    span.record("duration_us", micros);
    span.in_scope(|| match failed {
        None => tracing::debug!("synced"),
        Some(error) => log_failure(error),
    });
}

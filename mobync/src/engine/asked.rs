//! What a request asks for besides its diffs.

use crate::protocol::SyncRequest;

/// What a request asks for besides its diffs. The default asks for nothing.
#[derive(Clone, Copy, Debug, Default)]
#[allow(dead_code)]
pub(super) struct Asked<'a> {
    /// The head of the last answer that the device has.
    pub(super) head: Option<&'a str>,
    /// The greatest number of log entries in a page.
    pub(super) limit: Option<u64>,
    /// Whether it wants to know what others have overridden.
    pub(super) report: bool,
    /// Whether it wants checksums.
    pub(super) check: bool,
}

impl<'a> Asked<'a> {
    pub(super) fn of(request: &'a SyncRequest) -> Self {
        let SyncRequest { head, limit, report, check, .. } = request;
        // An empty head is that of a device that has none.
        let head = head.as_deref().filter(|head| !head.is_empty());
        Self { head, limit: *limit, report: *report, check: *check }
    }
}

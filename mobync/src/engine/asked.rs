//! What a request asks for besides its diffs.

use crate::{grant::AsWhom, protocol::SyncRequest};

/// What a request asks for besides its diffs. The default asks for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked<'a> {
    /// The head of the device's last answer, if it asks for a head: empty if it has none.
    head: Option<&'a str>,
    /// The greatest number of log entries in a page.
    pub(super) limit: Option<u64>,
    /// Whether it asks what others have overridden.
    pub(super) report: bool,
    /// Whether it asks for checksums.
    pub(super) check: bool,
    /// The version of the schema that the device says it has.
    pub(super) schema: Option<u64>,
    /// The owner of the device's database, if it asks for the owner: empty if it does not know.
    pub(super) owner: Option<&'a str>,
    /// As whom it writes, unless nobody has authenticated it.
    pub(super) as_whom: Option<&'a AsWhom>,
}

impl<'a> Asked<'a> {
    pub(super) fn of(request: &'a SyncRequest) -> Self {
        let SyncRequest { head, limit, report, check, schema, owner, as_whom, .. } = request;
        Self {
            head: head.as_deref(),
            limit: *limit,
            report: *report,
            check: *check,
            schema: *schema,
            owner: owner.as_deref(),
            as_whom: Some(as_whom),
        }
    }

    /// Whether the answer has a head.
    pub(super) fn asks_for_head(&self) -> bool {
        self.head.is_some()
    }

    /// The head that the log must have, if the device has one.
    pub(super) fn head(&self) -> Option<&'a str> {
        self.head.filter(|head| !head.is_empty())
    }
}

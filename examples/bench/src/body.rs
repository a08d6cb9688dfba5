//! The bodies of requests, written without serde, because the generator shares the machine with the
//! servers.

use std::fmt::{self, Write};

use bytes::Bytes;

/// A time in the past, in milliseconds.
const LONG_AGO: u64 = 1_700_000_000_000;

/// The note of every task.
pub(crate) const NOTE: &str = "The shop at the corner closes at eight";

/// An id of 36 characters, like a UUID; the ids of one lane are consecutive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id {
    lane: u64,
    number: u64,
}

/// Unique ids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids {
    lane: u64,
    next: u64,
}

impl Ids {
    /// A new lane.
    pub(crate) fn new() -> Self {
        Self { lane: fastrand::u64(..), next: 0 }
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Id {
        self.next += 1;
        self.nth(self.next)
    }

    /// The same ids again, from the first on.
    pub(crate) fn again(&self) -> Self {
        Self { next: 0, ..*self }
    }

    /// The id with this number.
    pub(crate) fn nth(&self, number: u64) -> Id {
        Id { lane: self.lane, number }
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = (self.lane >> 32, self.lane & 0xffff_ffff);
        write!(f, "{high:08x}-{:04x}-7000-{:04x}-{:012x}", low >> 16, low & 0xffff, self.number)
    }
}

/// The body of a sync request, while it is written.
#[derive(Debug)]
pub(crate) struct Body {
    text: String,
    diffs: u64,
}

impl Body {
    /// For a device at this clock.
    pub(crate) fn at(clock: i64) -> Self {
        Self { text: format!(r#"{{"logical_clock":{clock},"diffs":["#), diffs: 0 }
    }

    /// For a device at this clock that has this head.
    pub(crate) fn with_head(clock: i64, head: Id) -> Self {
        Self { text: format!(r#"{{"logical_clock":{clock},"head":"{head}","diffs":["#), diffs: 0 }
    }

    /// For several devices that have nothing to bring: their owners as spaces, and their clocks and heads.
    pub(crate) fn of_spaces(devices: impl Iterator<Item = (Id, i64, Id)>) -> Bytes {
        let members: Vec<String> = devices
            .map(|(space, clock, head)| {
                format!(
                    r#"{{"space":"{space}","logical_clock":{clock},"head":"{head}","diffs":[]}}"#
                )
            })
            .collect();
        Bytes::from(format!(r#"{{"syncs":[{}]}}"#, members.join(",")))
    }

    /// For a device at this clock, with this head, that asks for a page.
    pub(crate) fn page(clock: i64, head: &str, limit: usize) -> Self {
        let text =
            format!(r#"{{"logical_clock":{clock},"head":"{head}","limit":{limit},"diffs":["#);
        Self { text, diffs: 0 }
    }

    /// Creates a task, a record of about 150 bytes.
    pub(crate) fn create(&mut self, id: Id, object: Id) {
        self.begin(id, "create");
        self.put(object, "id");
        self.text += r#",\"name\":\""#;
        self.name(0);
        self.text += r#",\"note\":\""#;
        self.text += NOTE;
        self.text += r#"\",\"done\":false,\"position\":1024}"}"#;
    }

    /// Renames a task.
    pub(crate) fn update(&mut self, id: Id, object: Id, edition: u64) {
        self.begin(id, "update");
        self.put(object, "id");
        self.text += r#",\"name\":\""#;
        self.name(edition);
        self.text += r#"}"}"#;
    }

    /// The whole body.
    pub(crate) fn finish(mut self) -> Bytes {
        self.text += "]}";
        Bytes::from(self.text)
    }

    /// The part of a diff before the object.
    fn begin(&mut self, id: Id, operation: &str) {
        if self.diffs > 0 {
            self.text.push(',');
        }
        let at = LONG_AGO + self.diffs;
        self.diffs += 1;
        // Writing to a string does not fail.
        let _ = write!(
            self.text,
            r#"{{"id":"{id}","owner":"","logical_clock":0,"utc_timestamp":{at},"type":"{operation}","model":"tasks","json_data":"{{"#
        );
    }

    fn put(&mut self, object: Id, field: &str) {
        let _ = write!(self.text, r#"\"{field}\":\"{object}\""#);
    }

    fn name(&mut self, edition: u64) {
        self.text += &name(edition);
        self.text += r#"\""#;
    }
}

/// The name of a task after this rename.
pub(crate) fn name(edition: u64) -> String {
    format!("Oat milk, edition {edition:06}")
}

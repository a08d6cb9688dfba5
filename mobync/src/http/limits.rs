//! Limits on the time and memory of requests and answers.

use std::{sync::LazyLock, time::Duration};

use super::{body::Answers, budget::Budget};

/// The default for the greatest size of a request's body: 16 MiB.
pub const DEFAULT_MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// The default for the bytes of requests, and for those of large answers, in memory at the same time:
/// 256 MiB.
const AT_ONCE: usize = 256 * 1024 * 1024;

/// Limits on the time and memory of requests and answers.
///
/// All clones share the two budgets of bytes, so one value can serve several routes and workers. Routes
/// without limits of their own share those of [`Limits::default`], which exist once in a process.
///
/// ```
/// use std::time::Duration;
///
/// use mobync::{Mobync, Owner, http::{Endpoint, Limits}, memory::MemoryDatabase};
///
/// let limits = Limits::new()
///     .max_body_bytes(4 * 1024 * 1024)
///     .body_bytes_at_once(64 * 1024 * 1024)
///     .silence(Duration::from_mins(1));
/// let endpoint = Endpoint::new(Mobync::new(MemoryDatabase::new()), async |credentials| {
///     Ok(Owner::new(credentials.token()?)?)
/// });
/// let endpoint = endpoint.limits(limits);
/// # let _ = endpoint;
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    pub(super) max_body_bytes: usize,
    pub(super) silence: Duration,
    pub(super) patience: Duration,
    pub(super) bodies: Budget,
    /// The part of it for requests whose token has not arrived yet.
    pub(super) strangers: Budget,
    pub(super) answers: Answers,
    pub(super) spaces_at_once: usize,
}

impl Limits {
    /// The defaults, with separate budgets.
    pub fn new() -> Self {
        Self {
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            silence: Duration::from_secs(30),
            patience: Duration::from_secs(10),
            bodies: Budget::new(AT_ONCE),
            strangers: Budget::new(AT_ONCE / 2),
            answers: Answers::new(AT_ONCE, Duration::from_mins(5)),
            spaces_at_once: 8,
        }
    }

    /// Sets the greatest size of a request's body, in bytes. The default is [`DEFAULT_MAX_BODY_BYTES`].
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets how many bytes of requests are in memory at the same time, from their first byte to their
    /// answer. The default is 256 MiB. A request that does not fit gets 503 `busy`. A single request
    /// always fits. Requests without a token in a header may use at most half of it until their bodies
    /// have arrived, so that clients without an account cannot block the others.
    #[must_use]
    pub fn body_bytes_at_once(mut self, bytes: usize) -> Self {
        self.bodies = Budget::new(bytes);
        self.strangers = Budget::new(bytes / 2);
        self
    }

    /// Sets how many bytes of large answers (256 KiB and more) are in memory at the same time, until
    /// they are written to the network. The default is 256 MiB. An answer that does not fit
    /// [waits](Self::patience), and then becomes 503 `busy`. A single answer always fits. Small answers
    /// neither count nor wait. The answers to several [spaces](super::Credentials::space) of one request count
    /// like one answer, and those that do not fit any more become 503 `busy` without waiting.
    #[must_use]
    pub fn answer_bytes_at_once(mut self, bytes: usize) -> Self {
        self.answers = Answers::new(bytes, self.answers.unread);
        self
    }

    /// Sets after how long without a byte of its body a request is given up. The default is 30 seconds.
    /// The total time of a body is not limited.
    #[must_use]
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// Sets how long a large answer waits for others to be read. The default is 10 seconds.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets how many [spaces](super::Credentials::space) of one request sync at the same time, at least 1. The
    /// others wait, before the time of their syncs begins. A single request uses at most that many connections to
    /// the database, and that many calls of the auth closure at a time. The default is 8.
    #[must_use]
    pub fn spaces_at_once(mut self, most: usize) -> Self {
        self.spaces_at_once = most;
        self
    }

    /// Sets after how long without reading a client's large answer is dropped if others wait. The
    /// default is 5 minutes. Bytes that the operating system has accepted count as read.
    #[must_use]
    pub fn unread(mut self, unread: Duration) -> Self {
        self.answers.unread = unread;
        self
    }
}

/// The limits of the process: all clones share their budgets.
impl Default for Limits {
    fn default() -> Self {
        static OF_THE_PROCESS: LazyLock<Limits> = LazyLock::new(Limits::new);
        OF_THE_PROCESS.clone()
    }
}

//! What requests and answers may take of a server: time and memory.

use std::{sync::LazyLock, time::Duration};

use super::{body::Answers, budget::Budget};

/// The greatest size of a request's body unless another one is set: 16 MiB.
pub const DEFAULT_MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// How many bytes of requests, and how many of large answers, are held at once unless set: 256 MiB.
const AT_ONCE: usize = 256 * 1024 * 1024;

/// What requests and answers may take of a server: time and memory.
///
/// The two budgets of bytes are shared by all clones, so one value can serve several routes and
/// workers. All routes that were not given another have those of [`Limits::default`], of which there is
/// one in a process.
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
    /// What is left of it to those whose token has not come yet.
    pub(super) strangers: Budget,
    pub(super) answers: Answers,
}

impl Limits {
    /// The usual ones, with budgets of their own.
    pub fn new() -> Self {
        Self {
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            silence: Duration::from_secs(30),
            patience: Duration::from_secs(10),
            bodies: Budget::new(AT_ONCE),
            strangers: Budget::new(AT_ONCE / 2),
            answers: Answers::new(AT_ONCE, Duration::from_mins(5)),
        }
    }

    /// The greatest size of a request's body, in bytes; [`DEFAULT_MAX_BODY_BYTES`] unless set.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// How many bytes of requests are held at once, from their first byte to their answer; 256 MiB
    /// unless set. What does not fit is answered with 503 `busy`. A single request always fits. Of those
    /// without a token in a header, half of it is the most until their bodies have come, so that nobody
    /// without an account can keep out the others.
    #[must_use]
    pub fn body_bytes_at_once(mut self, bytes: usize) -> Self {
        self.bodies = Budget::new(bytes);
        self.strangers = Budget::new(bytes / 2);
        self
    }

    /// How many bytes of large answers (256 KiB and more) are held at once, until they are written to
    /// the network; 256 MiB unless set. What does not fit [waits](Self::patience), and is answered with
    /// 503 `busy` then. A single answer always fits; small ones neither count nor wait.
    #[must_use]
    pub fn answer_bytes_at_once(mut self, bytes: usize) -> Self {
        self.answers = Answers::new(bytes, self.answers.unread);
        self
    }

    /// After how long without a byte of its body a request is given up; 30 seconds unless set. How long
    /// a body takes that comes slowly, but comes, is not limited.
    #[must_use]
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// For how long a large answer waits for others to be read; 10 seconds unless set.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// For how long a client may read nothing of a large answer before it is dropped for the sake of
    /// another that waits; 5 minutes unless set. What the operating system has taken counts as read.
    #[must_use]
    pub fn unread(mut self, unread: Duration) -> Self {
        self.answers.unread = unread;
        self
    }
}

/// Those of the process: all clones share their budgets.
impl Default for Limits {
    fn default() -> Self {
        static OF_THE_PROCESS: LazyLock<Limits> = LazyLock::new(Limits::new);
        OF_THE_PROCESS.clone()
    }
}

//! The bodies of answers: small ones as a whole, large ones in parts that are released one by one.

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::budget::{Budget, Share};
use crate::protocol::SyncResponse;

/// From this size on, in bytes, an answer is large.
pub(super) const LARGE: usize = 256 * 1024;

/// How large a part of a large answer is, in bytes.
const PART: usize = 64 * 1024;

/// The body of an answer to a sync, for a framework to write to the network.
///
/// It yields a large answer in parts. The part that the client has not read yet counts towards the
/// [limit](super::Limits::answer_bytes_at_once).
pub struct AnswerBody {
    kind: Kind,
    left: usize,
}

enum Kind {
    Whole(Bytes),
    Parts(Held),
}

/// Why a large answer is cut off: the client has not read for too long, while others waited.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer was not read for too long")]
pub struct Unread;

impl AnswerBody {
    /// The whole body, if it is [small](super::Limits::answer_bytes_at_once).
    ///
    /// # Errors
    /// The body itself, to be written in parts.
    pub fn try_into_bytes(self) -> Result<Bytes, Self> {
        match self.kind {
            Kind::Whole(bytes) => Ok(bytes),
            kind @ Kind::Parts(_) => Err(Self { kind, left: self.left }),
        }
    }

    /// The whole body, of any size.
    pub(super) fn into_bytes(self) -> Bytes {
        let held = match self.kind {
            Kind::Whole(bytes) => return bytes,
            Kind::Parts(held) => held,
        };
        let mut all = BytesMut::with_capacity(self.left);
        while let Some(part) = lock(&held).left.pop_front() {
            all.extend_from_slice(&part);
        }
        all.freeze()
    }
}

impl From<Bytes> for AnswerBody {
    fn from(bytes: Bytes) -> Self {
        Self { left: bytes.len(), kind: Kind::Whole(bytes) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Unread;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unread>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let part = match &mut this.kind {
            Kind::Whole(bytes) => Some(std::mem::take(bytes)),
            Kind::Parts(held) => lock(held).next(),
        };
        let part = part.ok_or(Unread);
        this.left = this.left.saturating_sub(part.as_ref().map_or(usize::MAX, Bytes::len));
        Poll::Ready(Some(part.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.left).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The large answers that are in memory at the same time.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    budget: Budget,
    pub(super) unread: Duration,
    held: Arc<Mutex<Vec<Weak<Mutex<Parts>>>>>,
}

type Held = Arc<Mutex<Parts>>;

/// What is left of a large answer.
#[derive(Debug)]
struct Parts {
    left: VecDeque<Bytes>,
    moved: Instant,
    _share: Share,
}

impl Answers {
    pub(super) fn new(bytes: usize, unread: Duration) -> Self {
        Self { budget: Budget::new(bytes), unread, held: Arc::default() }
    }

    /// Memory for an answer of that size, if it is available now.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Share> {
        let mut share = Share::default();
        self.budget.try_grow(&mut share, bytes).then_some(share)
    }

    /// Memory for more answers: for that size together, if all that there is would be enough.
    pub(super) fn try_grow(&self, share: &mut Share, bytes: usize) -> bool {
        self.budget.has(bytes) && self.budget.try_grow(share, bytes)
    }

    /// Waits for memory for an answer of that size.
    pub(super) async fn take(&self, bytes: usize) -> Share {
        self.drop_unread();
        self.budget.take(bytes).await
    }

    /// Writes a large answer in parts, within that memory.
    pub(super) fn hold(
        &self,
        share: Share,
        write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> (AnswerBody, usize) {
        let mut written = Written::default();
        // Memory takes all that is written.
        let _ = write(&mut written);
        let (parts, left) = written.finish();
        let held =
            Arc::new(Mutex::new(Parts { left: parts, moved: Instant::now(), _share: share }));
        let mut all = lock(&self.held);
        all.retain(|held| held.strong_count() > 0);
        all.push(Arc::downgrade(&held));
        (AnswerBody { kind: Kind::Parts(held), left }, left)
    }

    /// Drops answers that have not been read for too long.
    fn drop_unread(&self) {
        for held in lock(&self.held).iter().filter_map(Weak::upgrade) {
            let mut held = lock(&held);
            if held.moved.elapsed() >= self.unread {
                let moved = held.moved;
                *held = Parts { left: VecDeque::new(), moved, _share: Share::default() };
            }
        }
    }
}

impl Parts {
    fn next(&mut self) -> Option<Bytes> {
        self.moved = Instant::now();
        self.left.pop_front()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The approximate size of a large answer as JSON; `None` for a small one.
pub(super) fn large(answer: &SyncResponse) -> Option<usize> {
    Some(size(answer)).filter(|size| *size >= LARGE)
}

/// The approximate size of an answer as JSON.
pub(super) fn size(answer: &SyncResponse) -> usize {
    // The names of the members and their punctuation; and quotes in the json_data become longer.
    let size = answer.diffs.iter().map(|diff| {
        let data = diff.json_data.len();
        160 + diff.id.len() + diff.owner.len() + diff.model.len() + data + data / 8
    });
    let refused = answer.refused.iter().map(|one| 60 + one.diff_id.len() + one.message.len());
    size.chain(refused).fold(0, usize::saturating_add)
}

/// Collects what is written, in parts.
#[derive(Default)]
struct Written {
    parts: VecDeque<Bytes>,
    open: Vec<u8>,
    length: usize,
}

impl Written {
    fn finish(mut self) -> (VecDeque<Bytes>, usize) {
        if !self.open.is_empty() {
            self.parts.push_back(self.open.into());
        }
        (self.parts, self.length)
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.capacity() == 0 {
            self.open.reserve_exact(PART);
        }
        let (now, _) = bytes.split_at_checked(PART - self.open.len()).unwrap_or((bytes, &[]));
        self.open.extend_from_slice(now);
        self.length += now.len();
        if self.open.len() == PART {
            self.parts.push_back(std::mem::take(&mut self.open).into());
        }
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! The requests of all devices that sync at the same time, sent as one.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
};

use tokio::sync::oneshot;

use super::{
    at_once::{AtOnce, MOST_AT_ONCE},
    token::Token,
};
use crate::{
    client::{
        NoAnswer, Reply, Request, SyncFailure, Syncs, Transport,
        device::size_of,
        transport::{names_other_owner, refuses_spaces},
    },
    protocol::SyncRequest,
};

/// The limits on all diffs in one body. A single request may have more.
const MOST_DIFFS: usize = 10_000;
const MOST_BYTES: usize = 512 * 1024;

/// One device's part of a try to sync.
pub(super) type Work<'w, R> = Pin<Box<dyn Future<Output = R> + Send + 'w>>;

/// What has come back for a request.
pub(super) enum Delivered {
    Reply(Reply),
    Failed(SyncFailure),
    /// There may be a new token, and the request was not sent with it.
    Renewed,
}

/// A request that waits to be sent.
struct Letter {
    space: Option<String>,
    body: SyncRequest,
    reply: oneshot::Sender<Delivered>,
}

/// Collects the requests of the devices, and sends them when each device waits for a reply.
pub(super) struct Post<'p, T> {
    transport: &'p T,
    pub(super) token: &'p Token,
    /// The owner of the person's own data, if it is known.
    owner: Option<String>,
    at_once: &'p AtOnce,
    letters: Mutex<VecDeque<Letter>>,
    /// The number of devices that are not done.
    devices: AtomicUsize,
}

impl<'p, T: Transport> Post<'p, T> {
    pub(super) fn new(
        transport: &'p T,
        token: &'p Token,
        at_once: &'p AtOnce,
        owner: Option<String>,
    ) -> Self {
        let (letters, devices) = (Mutex::default(), AtomicUsize::new(1));
        Self { transport, token, owner, at_once, letters, devices }
    }

    /// How many devices share an answer.
    pub(super) fn devices(&self) -> u64 {
        u64::try_from(self.devices.load(Relaxed).clamp(1, MOST_AT_ONCE)).unwrap_or(1)
    }

    /// Sends a request with the next body.
    pub(super) async fn send(&self, request: &Request) -> Delivered {
        let (reply, delivered) = oneshot::channel();
        let space = request.space().map(ToOwned::to_owned);
        self.letters().push_back(Letter { space, body: request.body().clone(), reply });
        delivered.await.unwrap_or_else(|_| failed("the request was not sent"))
    }

    /// Runs the parts of all devices, and sends their requests.
    pub(super) async fn run<R>(&self, parts: Vec<Work<'_, R>>) -> Vec<R> {
        let mut results: Vec<Option<R>> = parts.iter().map(|_| None).collect();
        let mut parts: Vec<Option<Work<'_, R>>> = parts.into_iter().map(Some).collect();
        loop {
            let left = poll_fn(|context| {
                self.devices.store(parts.iter().flatten().count(), Relaxed);
                for (part, result) in parts.iter_mut().zip(&mut results) {
                    if let Some(work) = part
                        && let Poll::Ready(done) = work.as_mut().poll(context)
                    {
                        (*part, *result) = (None, Some(done));
                    }
                }
                let left = parts.iter().flatten().count();
                // The others are at work in the store, and will wake this task.
                if self.letters().len() < left { Poll::Pending } else { Poll::Ready(left) }
            })
            .await;
            if left == 0 {
                return results.into_iter().flatten().collect();
            }
            self.deliver().await;
        }
    }

    /// Sends the next requests in one body.
    async fn deliver(&self) {
        let letters = self.next();
        let has_spaces = letters.iter().any(|letter| letter.space.is_some());
        // Boxed, so that a transport in the same process does not make the compiler follow both sides.
        let requests = letters.iter().map(|it| (it.space.as_deref(), &it.body));
        let syncs = Syncs::new(requests, self.owner.as_deref());
        let sent = match &*letters {
            [own] if !has_spaces => Box::pin(self.transport.send(&own.body)).await,
            _ => Box::pin(self.transport.send_all(&syncs)).await,
        };
        let replies = sent.as_ref().ok().filter(|_| has_spaces).map(|reply| syncs.replies(reply));
        let reply = match sent {
            Ok(reply) => reply,
            Err(failure) => return self.no_reply(letters, failure),
        };
        match replies {
            _ if reply.status == 401 && self.renew(has_spaces).await => {
                self.token.know_nothing();
                self.renewed(letters);
            }
            None => deliver_to(letters, |_| Delivered::Reply(reply.clone())),
            Some(Some(replies)) => {
                self.at_once.answered(letters.len());
                let mut replies = replies.into_iter();
                deliver_to(letters, |_| {
                    replies.next().map_or_else(|| failed("a reply is missing"), Delivered::Reply)
                });
            }
            // Another account has logged in: the next request for the person's own data shows it.
            Some(None) if names_other_owner(&reply) => {
                self.token.know_nothing();
                self.renewed(letters);
            }
            Some(None) if reply.status == 413 && letters.len() > 1 => self.take_back(letters),
            Some(None) if refuses_spaces(&reply) => self.without_spaces(letters),
            Some(None) if reply.status == 200 => deliver_to(letters, |_| {
                failed("the answer is not one of a sync server, or broke off")
            }),
            Some(None) => deliver_to(letters, |_| Delivered::Reply(reply.clone())),
        }
    }

    async fn renew(&self, for_spaces: bool) -> bool {
        self.token.renew(for_spaces) && self.transport.renew().await
    }

    /// The next requests: those that have waited longest, within the limits on one body.
    fn next(&self) -> Vec<Letter> {
        let (mut bytes, mut diffs) = (0_usize, 0_usize);
        let most = self.at_once.most();
        let mut letters = self.letters();
        let fits = letters.iter().take(most).take_while(|letter| {
            let is_first = diffs == 0;
            let of_letter = letter.body.diffs.iter().map(size_of);
            bytes = of_letter.fold(bytes, usize::saturating_add);
            diffs = diffs.saturating_add(letter.body.diffs.len());
            is_first || letter.body.diffs.is_empty() || (bytes <= MOST_BYTES && diffs <= MOST_DIFFS)
        });
        let count = fits.count();
        letters.drain(..count).collect()
    }

    /// Too much in one body, or in its answer: half as many the next time.
    fn take_back(&self, letters: Vec<Letter>) {
        self.at_once.halve(letters.len());
        let mut queue = self.letters();
        letters.into_iter().rev().for_each(|letter| queue.push_front(letter));
    }

    fn no_reply(&self, letters: Vec<Letter>, cause: NoAnswer) {
        let failure = cause.into_failure();
        if matches!(failure, SyncFailure::AnswerTooLarge { .. }) && letters.len() > 1 {
            return self.take_back(letters);
        }
        let again = match &failure {
            SyncFailure::AnswerTooLarge { .. } => None,
            other => Some(other.reason()),
        };
        let mut failure = Some(failure);
        deliver_to(letters, |_| {
            let first = failure.take().map(Delivered::Failed);
            first.unwrap_or_else(|| failed(again.as_deref().unwrap_or_default()))
        });
    }

    /// Nothing of a space is sent with a token that nothing is known about.
    fn renewed(&self, letters: Vec<Letter>) {
        deliver_to(letters, |_| Delivered::Renewed);
        let waiting = self.waiting_for_spaces();
        deliver_to(waiting, |_| Delivered::Renewed);
    }

    /// An older server: it gets the person's own data, in a plain request.
    fn without_spaces(&self, letters: Vec<Letter>) {
        let (own, spaces): (Vec<_>, Vec<_>) =
            letters.into_iter().partition(|letter| letter.space.is_none());
        deliver_to(spaces, |_| Delivered::Failed(SyncFailure::NoSpaces));
        let waiting = self.waiting_for_spaces();
        deliver_to(waiting, |_| Delivered::Failed(SyncFailure::NoSpaces));
        self.letters().extend(own);
    }

    fn waiting_for_spaces(&self) -> Vec<Letter> {
        let mut queue = self.letters();
        let (own, spaces) = queue.drain(..).partition::<Vec<_>, _>(|letter| letter.space.is_none());
        queue.extend(own);
        spaces
    }

    fn letters(&self) -> MutexGuard<'_, VecDeque<Letter>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deliver_to(letters: Vec<Letter>, mut what: impl FnMut(&Letter) -> Delivered) {
    for letter in letters {
        let delivered = what(&letter);
        // An error means that the device's part was given up.
        let _ = letter.reply.send(delivered);
    }
}

fn failed(reason: &str) -> Delivered {
    let reason = reason.to_owned();
    Delivered::Failed(SyncFailure::NoAnswer { retry_after: None, reason, cause: None })
}

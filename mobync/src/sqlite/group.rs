//! Group commit: syncs that wait at the same time share one transaction, and so one flush to the disk.
//!
//! Each one is still all or nothing, by its own savepoint, and succeeds only after the whole group has
//! been committed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use super::{error::explain, transaction::Transaction};
use crate::{
    error::DatabaseError,
    sql::{Model, Writer},
};

/// The greatest number of syncs that share a commit: the first one waits for the last.
const MOST: usize = 64;

/// The writers of one database that wait for their turn, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Group(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether there is a leader, who hands out turns.
    is_led: bool,
}

type Waiting = oneshot::Sender<Result<Turn, DatabaseError>>;

/// A writer's turn with the group's transaction, which returns to the leader in any case.
#[derive(Debug)]
pub struct Turn {
    transaction: Option<Transaction>,
    back: mpsc::UnboundedSender<Returned>,
}

/// The transaction of a writer, and what the writer requests.
#[derive(Debug)]
struct Returned {
    transaction: Transaction,
    wish: Wish,
}

#[derive(Debug)]
enum Wish {
    /// Undo its writes.
    Undo,
    /// Keep its writes, and report the result of the commit.
    Keep(Told),
    /// A separate transaction; the writer has written nothing yet.
    Alone(Waiting),
}

type Told = oneshot::Sender<Result<(), DatabaseError>>;

impl Group {
    /// Waits for a turn to write.
    ///
    /// # Errors
    /// [`DatabaseError::Busy`] if it does not come in time.
    pub(super) async fn begin(
        &self,
        pool: &SqlitePool,
        log: &Model,
        of: Sharing,
        patience: Duration,
    ) -> Result<Turn, DatabaseError> {
        let (sender, turn) = oneshot::channel();
        if self.enqueue(sender) {
            tokio::spawn(
                Leader {
                    group: self.clone(),
                    pool: pool.clone(),
                    log: log.clone(),
                    of,
                    has_resigned: false,
                }
                .lead(),
            );
        }
        match tokio::time::timeout(patience, turn).await {
            Ok(turn) => turn.map_err(DatabaseError::failed)?,
            Err(elapsed) => Err(DatabaseError::busy(elapsed)),
        }
    }

    /// Whether there is no leader, so that this writer must start one.
    fn enqueue(&self, sender: Waiting) -> bool {
        let mut queue = self.queue();
        queue.waiting.push_back(sender);
        !std::mem::replace(&mut queue.is_led, true)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the writers share a database.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sharing {
    /// A constraint may fail the commit, and must not fail the commit of others.
    pub(super) no_commit: bool,
    /// The database is in memory, and is lost if its connection is closed.
    pub(super) in_memory: bool,
}

/// Hands out turns as long as writers wait.
struct Leader {
    group: Group,
    pool: SqlitePool,
    log: Model,
    of: Sharing,
    has_resigned: bool,
}

impl Leader {
    async fn lead(mut self) {
        let most = if self.of.no_commit { 1 } else { MOST };
        while let Some(first) = self.next_or_resign() {
            let mut alone = self.serve(first, most).await;
            // A writer that requests its own transaction has already waited for its turn.
            while let Some(waiting) = alone {
                alone = self.serve(waiting, 1).await;
            }
        }
    }

    /// Gives turns to the first writer and a limited number of others in one transaction, and then
    /// commits it. Returns the writer that requests its own transaction, if any.
    async fn serve(&self, first: Waiting, most: usize) -> Option<Waiting> {
        let mut transaction = match Transaction::begin(&self.pool, self.of.in_memory).await {
            Ok(transaction) => transaction,
            Err(error) => {
                let _ = first.send(Err(explain(&self.log, error)));
                return None;
            }
        };
        let (back, mut returned) = mpsc::unbounded_channel();
        let (mut done, mut alone) = (Vec::<Told>::new(), None);
        let mut next = Some(first);
        while let Some(waiting) = next {
            let turn = Turn { transaction: Some(transaction), back: back.clone() };
            // A writer that no longer waits returns it immediately.
            drop(waiting.send(Ok(turn)));
            let came_back = returned.recv().await?;
            transaction = came_back.transaction;
            next = None;
            // Each statement goes to the connection's thread and back, so there are few of them.
            let kept = match came_back.wish {
                Wish::Alone(waiting) => {
                    if done.is_empty() {
                        // This transaction is not shared.
                        transaction.rollback().await;
                        return Some(waiting);
                    }
                    alone = Some(waiting);
                    Ok(())
                }
                Wish::Undo => {
                    let undone = transaction.undo_turn().await;
                    next = if most > 1 { self.group.queue().waiting.pop_front() } else { None };
                    undone
                }
                Wish::Keep(told) => {
                    done.push(told);
                    if done.len() < most {
                        next = self.group.queue().waiting.pop_front();
                    }
                    if next.is_some() { transaction.next_turn().await } else { Ok(()) }
                }
            };
            if let Err(error) = kept {
                // The transaction has ended by itself, and the writes of the others are lost with it:
                // they begin again, and so do those that wait.
                transaction.rollback().await;
                tell(done, || {
                    DatabaseError::conflict("the transaction of the group ended by itself")
                });
                tracing::debug!(%error, "a transaction ended by itself");
                if let Some(waiting) = next {
                    self.group.queue().waiting.push_front(waiting);
                }
                return None;
            }
        }
        if done.is_empty() {
            transaction.rollback().await;
            return alone;
        }
        match transaction.commit().await {
            Ok(()) => done.into_iter().for_each(|told| drop(told.send(Ok(())))),
            Err(error) => match explain(&self.log, error) {
                // A constraint fails the commit of a writer that has its own transaction.
                rejection if rejection.is_rejection() => {
                    let reason = rejection.to_string();
                    let mut first = Some(rejection);
                    tell(done, || {
                        first.take().unwrap_or_else(|| DatabaseError::conflict(&*reason))
                    });
                }
                DatabaseError::Busy(cause) => {
                    tell(done, || DatabaseError::busy(cause.to_string()));
                }
                failure => {
                    let cause = std::error::Error::source(&failure)
                        .map_or_else(|| failure.to_string(), ToString::to_string);
                    tell(done, || DatabaseError::failed(&*cause));
                }
            },
        }
        alone
    }

    /// The next writer that waits. If there is none, the next one to come becomes the leader.
    fn next_or_resign(&mut self) -> Option<Waiting> {
        let mut queue = self.group.queue();
        let next = queue.waiting.pop_front();
        queue.is_led = next.is_some();
        drop(queue);
        self.has_resigned = next.is_none();
        next
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // If the leader's runtime is shut down, the waiting writers get an error, and the next one to
        // come becomes the leader.
        if !self.has_resigned {
            let mut queue = self.group.queue();
            queue.is_led = false;
            queue.waiting.clear();
        }
    }
}

fn tell(done: Vec<Told>, mut error: impl FnMut() -> DatabaseError) {
    for told in done {
        let _ = told.send(Err(error()));
    }
}

impl Turn {
    fn give_back(&mut self, wish: Wish) {
        if let Some(transaction) = self.transaction.take() {
            let _ = self.back.send(Returned { transaction, wish });
        }
    }

    /// The transaction has ended by itself.
    pub(super) fn lose(&mut self) {
        self.give_back(Wish::Undo);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.give_back(Wish::Undo);
    }
}

impl Writer<sqlx::Sqlite> for Turn {
    fn connection(&mut self) -> Option<&mut SqliteConnection> {
        self.transaction.as_mut()?.connection()
    }

    fn is_alive(&self) -> bool {
        self.transaction.is_some()
    }

    async fn alone(&mut self) -> Result<(), DatabaseError> {
        let (sender, turn) = oneshot::channel();
        self.give_back(Wish::Alone(sender));
        *self = turn.await.map_err(DatabaseError::failed)??;
        Ok(())
    }

    async fn commit(mut self, _: &Model) -> Result<(), DatabaseError> {
        let (told, committed) = oneshot::channel();
        self.give_back(Wish::Keep(told));
        committed.await.map_err(|_| DatabaseError::failed("the transaction came to no end"))?
    }
}

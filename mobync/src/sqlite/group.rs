//! Group commit: syncs that wait together share one transaction, and so one flush to the disk.
//!
//! Each one still is all or nothing, behind a savepoint of its own, and is told of success only when
//! the whole group has been committed.

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

/// How many syncs share a commit at most: the first one waits for the last.
const MOST: usize = 64;

/// The writers of one database that wait for their turn, first come first served.
#[derive(Clone, Debug, Default)]
pub(super) struct Group(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether somebody hands out turns.
    is_led: bool,
}

type Waiting = oneshot::Sender<Result<Turn, DatabaseError>>;

/// A writer's turn with the group's transaction, which goes back to the leader whatever happens.
#[derive(Debug)]
pub struct Turn {
    transaction: Option<Transaction>,
    back: mpsc::UnboundedSender<Returned>,
}

/// The transaction of a writer, and what it asks for.
#[derive(Debug)]
struct Returned {
    transaction: Transaction,
    wish: Wish,
}

#[derive(Debug)]
enum Wish {
    /// To undo what it wrote.
    Undo,
    /// To keep it, and to be told how the commit went.
    Keep(Told),
    /// A transaction of its own; it has written nothing yet.
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

    /// Whether nobody leads, so that who has come must see to it.
    fn enqueue(&self, sender: Waiting) -> bool {
        let mut queue = self.queue();
        queue.waiting.push_back(sender);
        !std::mem::replace(&mut queue.is_led, true)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the writers of a database share it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sharing {
    /// A constraint may fail the commit, and must not fail it for others.
    pub(super) no_commit: bool,
    /// The database is in memory, and lost with its connection.
    pub(super) in_memory: bool,
}

/// Hands out turns as long as somebody waits.
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
            // Who wants to be alone has waited for its turn already.
            while let Some(waiting) = alone {
                alone = self.serve(waiting, 1).await;
            }
        }
    }

    /// Gives turns to the first and at most so many with one transaction, and then commits it. Returns
    /// who wants one alone.
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
            // Who does not wait any more gives it back at once.
            drop(waiting.send(Ok(turn)));
            let came_back = returned.recv().await?;
            transaction = came_back.transaction;
            next = None;
            // Each statement is a way to the connection's thread and back, so there are few of them.
            let kept = match came_back.wish {
                Wish::Alone(waiting) => {
                    if done.is_empty() {
                        // Nobody shares this one.
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
                // The transaction has ended by itself, and with it what the others wrote: they begin
                // again, and so do those who wait.
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
                // A constraint fails the commit of one who has it to itself.
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

    /// The next who waits; if nobody does, the next to come leads.
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
        // If its runtime ended under it, those who wait hear of it, and the next to come leads.
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

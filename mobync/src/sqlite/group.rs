//! Group commit: syncs that wait together share one transaction, and so one flush to the disk.
//!
//! Each one still is all or nothing, behind a savepoint of its own, and is told of success only when
//! the whole group has been committed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{SqliteConnection, SqlitePool, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::error::explain;
use crate::{
    DatabaseError,
    sql::{Model, Writer},
};

/// How many syncs share a commit at most: the first one waits for the last.
const MOST: usize = 64;

/// The writers of one database that wait for their turn, first come first served.
#[derive(Clone, Debug, Default)]
pub(super) struct Group(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<oneshot::Sender<Result<Turn, DatabaseError>>>,
    /// Whether somebody hands out turns.
    is_led: bool,
}

/// A writer's turn with the group's transaction, which goes back to the leader whatever happens.
#[derive(Debug)]
pub struct Turn {
    transaction: Option<Transaction<'static, sqlx::Sqlite>>,
    back: mpsc::UnboundedSender<Returned>,
}

/// The transaction, and (of a writer that is done) whom to tell how the commit went.
type Returned = (Transaction<'static, sqlx::Sqlite>, Option<Told>);
type Told = oneshot::Sender<Result<(), DatabaseError>>;

impl Group {
    /// Waits for a turn to write; `alone` if the commit must not be shared.
    ///
    /// # Errors
    /// [`DatabaseError::Busy`] if it does not come in time.
    pub(super) async fn begin(
        &self,
        pool: &SqlitePool,
        log: &Model,
        alone: bool,
        patience: Duration,
    ) -> Result<Turn, DatabaseError> {
        let (sender, turn) = oneshot::channel();
        if self.enqueue(sender) {
            tokio::spawn(
                Leader {
                    group: self.clone(),
                    pool: pool.clone(),
                    log: log.clone(),
                    most: if alone { 1 } else { MOST },
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
    fn enqueue(&self, sender: oneshot::Sender<Result<Turn, DatabaseError>>) -> bool {
        let mut queue = self.queue();
        queue.waiting.push_back(sender);
        !std::mem::replace(&mut queue.is_led, true)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands out turns as long as somebody waits.
struct Leader {
    group: Group,
    pool: SqlitePool,
    log: Model,
    most: usize,
    has_resigned: bool,
}

impl Leader {
    async fn lead(mut self) {
        while let Some(first) = self.next_or_resign() {
            match self.pool.begin_with("BEGIN IMMEDIATE; SAVEPOINT mobync_sync").await {
                Ok(transaction) => self.serve(transaction, first).await,
                Err(error) => {
                    let _ = first.send(Err(explain(&self.log, error)));
                }
            }
        }
    }

    /// Gives turns with one transaction, and then commits it.
    async fn serve(
        &self,
        mut transaction: Transaction<'static, sqlx::Sqlite>,
        first: oneshot::Sender<Result<Turn, DatabaseError>>,
    ) {
        let (back, mut returned) = mpsc::unbounded_channel();
        let mut done: Vec<Told> = Vec::new();
        let mut next = Some(first);
        while let Some(waiting) = next {
            let turn = Turn { transaction: Some(transaction), back: back.clone() };
            // Who does not wait any more gives it back at once.
            drop(waiting.send(Ok(turn)));
            let Some((came_back, told)) = returned.recv().await else { return };
            transaction = came_back;
            let is_done = told.is_some();
            done.extend(told);
            next =
                if done.len() < self.most { self.group.queue().waiting.pop_front() } else { None };
            // Each statement is a way to the connection's thread and back, so there are few of them.
            let kept = match (is_done, &next) {
                (false, _) => run(&mut transaction, "ROLLBACK TO mobync_sync").await,
                (true, Some(_)) => {
                    run(&mut transaction, "RELEASE mobync_sync; SAVEPOINT mobync_sync").await
                }
                (true, None) => Ok(()),
            };
            if let Err(error) = kept {
                // The transaction is of no more use; dropping it undoes all, and tells all.
                next.map(|waiting| waiting.send(Err(explain(&self.log, error))));
                return;
            }
        }
        if done.is_empty() {
            let _ = transaction.rollback().await;
            return;
        }
        match transaction.commit().await {
            Ok(()) => done.into_iter().for_each(|told| drop(told.send(Ok(())))),
            Err(error) => {
                let error = explain(&self.log, error);
                let mut told = done.into_iter();
                let first = told.next();
                for told in told {
                    let _ = told.send(Err(DatabaseError::failed(error.to_string())));
                }
                first.map(|told| told.send(Err(error)));
            }
        }
    }

    /// The next who waits; if nobody does, the next to come leads.
    fn next_or_resign(&mut self) -> Option<oneshot::Sender<Result<Turn, DatabaseError>>> {
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

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            let _ = self.back.send((transaction, None));
        }
    }
}

impl Writer<sqlx::Sqlite> for Turn {
    fn connection(&mut self) -> Option<&mut SqliteConnection> {
        self.transaction.as_deref_mut()
    }

    async fn commit(mut self, _: &Model) -> Result<(), DatabaseError> {
        let (told, committed) = oneshot::channel();
        if let Some(transaction) = self.transaction.take() {
            let _ = self.back.send((transaction, Some(told)));
        }
        drop(self);
        committed.await.map_err(|_| DatabaseError::failed("the transaction came to no end"))?
    }
}

async fn run(
    transaction: &mut Transaction<'static, sqlx::Sqlite>,
    sql: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(&mut **transaction).await.map(drop)
}

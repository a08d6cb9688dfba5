//! What is known of the catalogue, and how it is read again when names have changed.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{sync::Mutex, time::sleep};

use super::{
    Column, Dialect, Model, SchemaError, SqlDatabase, columns::Columns, plan::Plan, schema::Schema,
};
use crate::error::DatabaseError;

/// How often the catalogue is read if it makes no sense: several names may be changing, one by one.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(50);

/// The tables of one reading of the catalogue, and the dialect that knows them.
#[derive(Clone, Debug)]
pub(super) struct Known<D> {
    pub(super) dialect: D,
    pub(super) schema: Arc<Schema>,
}

/// The newest of them, shared by all clones of a database.
#[derive(Debug)]
pub(super) struct Newest<D> {
    known: RwLock<Known<D>>,
    plan: Plan,
    /// One reads, and the others wait for what it has read.
    reading: Mutex<()>,
}

impl<D: Dialect> Known<D> {
    pub(super) fn new(dialect: D, schema: Schema) -> Self {
        Self { dialect, schema: Arc::new(schema) }
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.schema.log.reading.is_doubted()
    }
}

impl<D: Dialect> Newest<D> {
    pub(super) fn new(known: Known<D>, plan: Plan) -> Self {
        Self { known: RwLock::new(known), plan, reading: Mutex::default() }
    }

    pub(super) fn get(&self) -> Known<D> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl<D: Dialect> SqlDatabase<D> {
    /// What is known of the catalogue, read again if a sync has met a missing table or column.
    pub(super) async fn fresh(&self) -> Result<Known<D>, DatabaseError> {
        let known = self.newest.get();
        if !known.is_doubted() {
            return Ok(known);
        }
        let _one = self.newest.reading.lock().await;
        let known = self.newest.get();
        if !known.is_doubted() {
            return Ok(known);
        }
        let again = Box::pin(self.read_again(&known)).await;
        match again.map_err(|error| D::explain(&known.schema.log, error))? {
            Some(fresh) => {
                tracing::info!(
                    "tables or columns were renamed: their new names are used from now on"
                );
                let fresh = Known::new(fresh.0, fresh.1);
                *self.newest.known.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
                Ok(fresh)
            }
            None => {
                known.schema.log.reading.confirm();
                Ok(known)
            }
        }
    }

    /// The same tables by other names; `None` if no names have changed, or the tables are not the same.
    async fn read_again(&self, known: &Known<D>) -> Result<Option<(D, Schema)>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        for tries in 1..=TRIES {
            let (mut plan, mut dialect) = (self.newest.plan.clone(), known.dialect.clone());
            match plan.read(&mut dialect, &mut connection).await {
                Ok(fresh) => {
                    if let Some(fresh) = fresh.in_place_of(&known.schema) {
                        return Ok((fresh.older != known.schema.older).then_some((dialect, fresh)));
                    }
                }
                // A table that is renamed meanwhile fails the statements, too.
                Err(error) if tries == TRIES => match error {
                    SchemaError::Database(error) if error.as_database_error().is_none() => {
                        return Err(error);
                    }
                    error => tracing::error!(%error, "the tables are not used by their new names"),
                },
                Err(_) => {}
            }
            sleep(PAUSE * tries).await;
        }
        Ok(None)
    }
}

impl Schema {
    /// This schema without the columns that the other one does not have: those are used from the next start
    /// on. `None` if this one lacks any.
    fn in_place_of(self, other: &Self) -> Option<Self> {
        let Self { log, mut models, .. } = self;
        let mut kept = BTreeMap::new();
        for (name, before) in &other.models {
            let model = models.remove(name)?;
            let is_here = |column: &Column| model.columns.named(&column.name).is_some();
            if !before.columns.iter().all(is_here) {
                return None;
            }
            let columns = model.columns.iter();
            let columns = columns.filter(|column| before.columns.named(&column.name).is_some());
            let columns = Columns::from(columns.cloned().collect::<Vec<_>>());
            kept.insert(name.clone(), Model { columns, ..model });
        }
        Some(Self::new(log, kept))
    }
}

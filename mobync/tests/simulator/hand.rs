//! Others who write to the rows: the application with its own SQL, in parallel to all syncs.

use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc};

use fastrand::Rng;
use mobync::{
    Database, memory::MemoryDatabase, postgres::PostgresDatabase, sqlite::SqliteDatabase,
};

use super::{
    oracle::{Fields, Key},
    step::{FIELDS, OBJECTS, Script, Settings, Step},
    support::{
        self,
        captured::{Captured, Statement},
    },
};

/// Work that is done in the background.
pub type Done<'h, T> = Pin<Box<dyn Future<Output = T> + Send + 'h>>;

/// Writes to the rows of a database without a sync.
pub trait Hand: Send + Sync {
    /// The database's clock, in milliseconds.
    fn set_time(&self, now: i64);

    /// Begins a transaction, without waiting for it: it may have to wait for a sync. It is rolled back or
    /// committed.
    fn begin(&self, statements: Vec<Statement>, rolls_back: bool);

    /// Gives the begun transactions time to do everything that need not wait for a sync.
    fn proceed(&self) -> Done<'_, ()> {
        Box::pin(async {})
    }

    /// Waits for all begun transactions.
    fn settle(&self) -> Done<'_, ()>;

    /// The owner's objects with a change that is not in the log yet.
    fn marked<'h>(&'h self, owner: &'h str) -> Done<'h, BTreeSet<Key>>;
}

/// A database to simulate on.
pub trait Place: Database + Clone {
    /// Whether others write to its rows.
    const HAS_HAND: bool = false;
    /// Whether the field `c` is a number.
    const HAS_NUMBERS: bool = false;

    fn hand(&self) -> Option<Arc<dyn Hand>> {
        None
    }

    /// An empty database in its place, to restore a backup to.
    fn emptied(&self) -> impl Future<Output = Option<Self>> {
        async { None }
    }
}

impl Place for super::Overlapping {}

impl Place for MemoryDatabase {
    async fn emptied(&self) -> Option<Self> {
        Some(Self::new())
    }
}

impl Place for support::Plain {
    async fn emptied(&self) -> Option<Self> {
        Some(Self::default())
    }
}

impl Place for SqliteDatabase {
    async fn emptied(&self) -> Option<Self> {
        Some(super::databases::sqlite().await)
    }
}

impl Place for PostgresDatabase {
    async fn emptied(&self) -> Option<Self> {
        Some(super::databases::postgres().await)
    }
}

impl Place for Captured {
    const HAS_HAND: bool = true;

    fn hand(&self) -> Option<Arc<dyn Hand>> {
        Some(Arc::new(self.clone()))
    }
}

impl Hand for Captured {
    fn set_time(&self, now: i64) {
        Captured::set_time(self, now);
    }

    fn begin(&self, statements: Vec<Statement>, rolls_back: bool) {
        if !rolls_back {
            self.run(&statements);
        }
    }

    fn settle(&self) -> Done<'_, ()> {
        Box::pin(async {})
    }

    fn marked<'h>(&'h self, owner: &'h str) -> Done<'h, BTreeSet<Key>> {
        Box::pin(async move { self.marked_of(owner) })
    }
}

/// A transaction of an application, drawn from a seed. Owner numbers wrap around.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub statements: Vec<HandEdit>,
    pub rolls_back: bool,
}

#[derive(Clone, Debug)]
pub enum HandEdit {
    Put { owner: usize, object: usize, fields: Vec<(usize, usize)> },
    Bulk { owner: usize, object: usize, field: (usize, usize) },
    Delete { owner: usize, object: usize },
    Give { owner: usize, object: usize, to: usize },
    Rename { owner: usize, object: usize },
    Replace { owner: usize, object: usize, fields: Vec<(usize, usize)> },
    Empty { object: usize },
    Undone(Vec<HandEdit>),
}

impl Transaction {
    fn draw(rng: &mut Rng) -> Self {
        let statements = (0..rng.usize(1..=3)).map(|_| HandEdit::draw(rng)).collect();
        Self { statements, rolls_back: rng.u8(..8) == 0 }
    }

    pub fn statements(&self, settings: &Settings) -> Vec<Statement> {
        self.statements.iter().map(|edit| edit.statement(settings)).collect()
    }
}

impl HandEdit {
    fn draw(rng: &mut Rng) -> Self {
        let owner = rng.usize(..2);
        let object = rng.usize(..OBJECTS.len());
        let field = |rng: &mut Rng| (rng.usize(..FIELDS.len()), rng.usize(..14));
        let fields = |rng: &mut Rng| (0..rng.usize(..=2)).map(|_| field(rng)).collect();
        match rng.u8(..20) {
            0..8 => Self::Put { owner, object, fields: fields(rng) },
            8 | 9 => Self::Bulk { owner, object, field: field(rng) },
            10..14 => Self::Delete { owner, object },
            14 | 15 => Self::Give { owner, object, to: rng.usize(..2) },
            16 => Self::Rename { owner, object },
            17 => Self::Replace { owner, object, fields: fields(rng) },
            18 if rng.bool() => Self::Empty { object },
            _ => Self::Undone((0..rng.usize(1..=2)).map(|_| Self::draw(rng)).collect()),
        }
    }

    fn statement(&self, settings: &Settings) -> Statement {
        let name = |owner: &usize| super::server::OWNERS[owner % settings.owners].to_owned();
        let object = |object: &usize| {
            let (model, id) = OBJECTS[object % OBJECTS.len()];
            (model.to_owned(), id.to_owned())
        };
        let values = |fields: &[(usize, usize)]| {
            let value = |(field, number): &(usize, usize)| {
                (FIELDS[*field].to_owned(), settings.value(*field, *number))
            };
            fields.iter().map(value).collect()
        };
        match self {
            Self::Put { owner, object: of, fields } => {
                let (model, id) = object(of);
                Statement::Put { owner: name(owner), model, id, fields: values(fields) }
            }
            Self::Bulk { owner, object: of, field } => {
                let (model, _) = object(of);
                Statement::Bulk { owner: name(owner), model, fields: values(&[*field]) }
            }
            Self::Delete { owner, object: of } => {
                let (model, id) = object(of);
                Statement::Delete { owner: name(owner), model, id }
            }
            Self::Give { owner, object: of, to } => {
                let (model, id) = object(of);
                Statement::Give { owner: name(owner), model, id, to: name(to) }
            }
            Self::Rename { owner, object: of } => {
                let (model, id) = object(of);
                let to = if id == "t0" { "kept" } else { "t0" };
                Statement::Rename { owner: name(owner), model, id, to: to.to_owned() }
            }
            Self::Replace { owner, object: of, fields } => {
                let (model, id) = object(of);
                Statement::Replace { owner: name(owner), model, id, fields: values(fields) }
            }
            Self::Empty { object: of } => Statement::Empty { model: object(of).0 },
            Self::Undone(edits) => {
                Statement::Undone(edits.iter().map(|edit| edit.statement(settings)).collect())
            }
        }
    }
}

impl Script {
    /// The same history, with an application that writes to the rows.
    pub fn with_hand(mut self, seed: u64) -> Self {
        let mut rng = Rng::with_seed(!seed);
        let calm = rng.usize(3..12);
        let steps = std::mem::take(&mut self.steps);
        for step in steps {
            while rng.usize(..calm) == 0 {
                let transaction = Transaction::draw(&mut rng);
                self.steps.push(if rng.u8(..3) == 0 {
                    Step::HandIn { calls: rng.usize(..10), transaction }
                } else {
                    Step::Hand { transaction }
                });
            }
            self.steps.push(step);
        }
        self
    }
}

/// The fields in which an entry of the server's own changes the current values.
pub fn changes(before: Option<&Fields>, fields: &Fields) -> bool {
    let stands = |name: &String| before.and_then(|row| row.get(name)).filter(|it| !it.is_null());
    fields.iter().all(|(name, value)| stands(name) != Some(value).filter(|it| !it.is_null()))
}

//! Others who write to the rows: the application by its own SQL, beside all syncs.

use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc};

use fastrand::Rng;
use mobync::{
    Database, memory::MemoryDatabase, postgres::PostgresDatabase, sqlite::SqliteDatabase,
};

use super::{
    oracle::{Fields, Key},
    step::{FIELDS, OBJECTS, Script, Step},
    support::{
        self,
        captured::{Captured, Statement},
    },
};

/// What is done by and by.
pub type Done<'h, T> = Pin<Box<dyn Future<Output = T> + Send + 'h>>;

/// Who writes to the rows of a database without a sync.
pub trait Hand: Send + Sync {
    /// The database's clock, in milliseconds.
    fn set_time(&self, now: i64);

    /// Begins a transaction, and does not wait for it: it may have to wait for a sync. It is rolled
    /// back, or committed.
    fn begin(&self, statements: Vec<Statement>, rolls_back: bool);

    /// Waits for all that has begun.
    fn settle(&self) -> Done<'_, ()>;

    /// The owner's objects of which a change has not come into the log.
    fn marked<'h>(&'h self, owner: &'h str) -> Done<'h, BTreeSet<Key>>;
}

/// A database to play on.
pub trait Place: Database + Clone {
    /// Whether others write to its rows.
    const HAS_HAND: bool = false;

    fn hand(&self) -> Option<Arc<dyn Hand>> {
        None
    }
}

impl Place for MemoryDatabase {}
impl Place for support::Plain {}
impl Place for SqliteDatabase {}
impl Place for PostgresDatabase {}
impl Place for super::Overlapping {}

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

/// A transaction of an application, drawn from a seed. Owners are counted around.
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
}

impl Transaction {
    fn draw(rng: &mut Rng) -> Self {
        let statements = (0..rng.usize(1..=3)).map(|_| HandEdit::draw(rng)).collect();
        Self { statements, rolls_back: rng.u8(..8) == 0 }
    }

    pub fn of_owners(&self, owners: usize) -> Vec<Statement> {
        self.statements.iter().map(|edit| edit.statement(owners)).collect()
    }
}

impl HandEdit {
    fn draw(rng: &mut Rng) -> Self {
        let owner = rng.usize(..2);
        let object = rng.usize(..OBJECTS.len());
        let field = |rng: &mut Rng| (rng.usize(..FIELDS.len()), rng.usize(..14));
        match rng.u8(..10) {
            0..5 => {
                let count = rng.usize(..=2);
                Self::Put { owner, object, fields: (0..count).map(|_| field(rng)).collect() }
            }
            5 => Self::Bulk { owner, object, field: field(rng) },
            6..9 => Self::Delete { owner, object },
            _ => Self::Give { owner, object, to: rng.usize(..2) },
        }
    }

    fn statement(&self, owners: usize) -> Statement {
        let name = |owner: &usize| super::server::OWNERS[owner % owners].to_owned();
        let object = |object: &usize| {
            let (model, id) = OBJECTS[object % OBJECTS.len()];
            (model.to_owned(), id.to_owned())
        };
        let values = |fields: &[(usize, usize)]| {
            let value = |number: usize| match number {
                0 => serde_json::Value::Null,
                number => format!("v{number}").into(),
            };
            let fields = fields.iter();
            fields.map(|(field, number)| (FIELDS[*field].to_owned(), value(*number))).collect()
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
        }
    }
}

impl Script {
    /// The same history with a hand in it.
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

/// The fields in which an entry of the server's own changes what stands there.
pub fn changes(before: Option<&Fields>, fields: &Fields) -> bool {
    let stands = |name: &String| before.and_then(|row| row.get(name)).filter(|it| !it.is_null());
    fields.iter().all(|(name, value)| stands(name) != Some(value).filter(|it| !it.is_null()))
}

//! The description of a table in the catalogue.

use super::Column;

/// A table as described by the database's catalogue.
#[derive(Debug, Default)]
pub struct Found {
    /// The table's name as the catalogue has it.
    pub(crate) name: String,
    /// The table's schema, if it must be named.
    pub(crate) schema: Option<String>,
    /// The identity of the table, independent of its name.
    pub(crate) identity: String,
    /// What it is, if it is not a table.
    pub(crate) other: Option<&'static str>,
    pub(crate) columns: Vec<FoundColumn>,
    pub(crate) unique: Vec<Unique>,
    pub(crate) references: Vec<Reference>,
    pub(crate) clashes: Vec<Clash>,
    /// Whether triggers or rules may change rows that are written to it.
    pub(crate) changes_rows: bool,
}

/// A column, and what prevents it from being a key.
#[derive(Debug)]
pub(crate) struct FoundColumn {
    pub(crate) column: Column,
    pub(crate) generated: Generated,
    /// It treats different texts as equal.
    pub(crate) folds: bool,
}

/// Whether the database itself computes a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generated {
    No,
    /// It is computed from other columns.
    Computed,
    /// It counts, and accepts no number of the application.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only one database has them"))]
    Identity,
}

/// A unique index.
#[derive(Debug)]
pub(crate) struct Unique {
    pub(crate) name: String,
    /// It covers only some of the rows.
    pub(crate) partial: bool,
    pub(crate) columns: Vec<UniqueColumn>,
}

/// A column of a unique index.
#[derive(Debug)]
pub(crate) struct UniqueColumn {
    /// `None` for an expression.
    pub(crate) name: Option<String>,
    /// It treats different texts as equal.
    pub(crate) folds: bool,
}

/// A foreign key.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    /// Its name in a message.
    pub(crate) name: String,
    /// The identity of the table that it references.
    pub(crate) to: String,
    /// The columns of this table, each with the one that it references.
    pub(crate) columns: Vec<(String, String)>,
}

/// A way in which rows of a table collide with a written row, which replaces them.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only one database has it"))]
pub(crate) struct Clash {
    /// The condition that a row of the table collides with the row `NEW`.
    pub(crate) with: String,
    /// The condition that any row can collide with a new row at all; empty if always.
    pub(crate) on_insert: String,
    /// The same if the row `OLD` becomes `NEW`.
    pub(crate) on_update: String,
    /// The columns that cause it: an update must name one of them. If there are none, any update may.
    pub(crate) columns: Vec<String>,
}

impl Unique {
    /// Groups rows of the catalogue into indexes. A row is: the index, whether it is partial, the
    /// column, whether it treats different texts as equal.
    pub(crate) fn all(columns: &[(String, bool, Option<String>, bool)]) -> Vec<Self> {
        let indexes = columns.chunk_by(|left, right| left.0 == right.0).filter_map(|columns| {
            let (name, partial, ..) = columns.first()?;
            let columns = columns
                .iter()
                .map(|(.., name, folds)| UniqueColumn { name: name.clone(), folds: *folds });
            Some(Self { name: name.clone(), partial: *partial, columns: columns.collect() })
        });
        indexes.collect()
    }

    /// Whether its columns are these, in any order.
    pub(crate) fn is_of(&self, columns: &[&str]) -> bool {
        self.columns.len() == columns.len()
            && columns.iter().all(|column| self.names().any(|name| name == *column))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter_map(|column| column.name.as_deref())
    }
}

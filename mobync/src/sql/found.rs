//! The description of a table in the catalogue.

use super::Column;

/// A table as described by the database's catalogue.
#[derive(Debug, Default)]
pub struct Found {
    /// The table's schema, if it must be named.
    pub(crate) schema: Option<String>,
    /// The identity of the table, independent of its name.
    pub(crate) identity: String,
    /// What it is, if it is not a table.
    pub(crate) other: Option<&'static str>,
    pub(crate) columns: Vec<FoundColumn>,
    pub(crate) unique: Vec<Unique>,
    pub(crate) references: Vec<Reference>,
}

/// A column, and what prevents it from being a key.
#[derive(Debug)]
pub(crate) struct FoundColumn {
    pub(crate) column: Column,
    /// The database itself computes it.
    pub(crate) generated: bool,
    /// It treats different texts as equal.
    pub(crate) folds: bool,
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
#[derive(Debug)]
pub(crate) struct Reference {
    /// Its name in a message.
    pub(crate) name: String,
    /// The identity of the table that it references.
    pub(crate) to: String,
    /// The columns of this table, each with the one that it references.
    pub(crate) columns: Vec<(String, String)>,
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

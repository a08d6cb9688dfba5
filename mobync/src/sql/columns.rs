//! A table's columns, found by their names.

use std::{collections::HashMap, ops::Deref};

use super::Column;

/// Columns in the table's order. They are found by a map, because a change may name thousands of them.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    columns: Vec<Column>,
    places: HashMap<String, usize>,
}

impl From<Vec<Column>> for Columns {
    fn from(columns: Vec<Column>) -> Self {
        let places = columns.iter().map(|column| column.name.clone()).zip(0..).collect();
        Self { columns, places }
    }
}

impl Columns {
    pub(super) fn named(&self, name: &str) -> Option<&Column> {
        self.places.get(name).and_then(|place| self.columns.get(*place))
    }

    /// For adding details to each. The names stay the same.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Column> {
        self.columns.iter_mut()
    }
}

impl Deref for Columns {
    type Target = [Column];

    fn deref(&self) -> &[Column] {
        &self.columns
    }
}

//! The foreign keys between synced tables. None of them may lead from one owner to another.

use std::collections::HashMap;

use super::{Found, Model, Reference, SchemaError};

/// The synced tables, with the keys that lead from one to another.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Ends>);

#[derive(Debug)]
struct Ends {
    /// The model's name.
    table: String,
    /// The table's own name.
    stored: String,
    identity: String,
    id: String,
    owner: Option<String>,
    references: Vec<Reference>,
}

impl Keys {
    /// # Errors
    /// If it is the same table as an earlier one, even by another name.
    pub(super) fn add(
        &mut self,
        model: &Model,
        identity: String,
        references: Vec<Reference>,
    ) -> Result<(), SchemaError> {
        let table = model.name.clone();
        if self.find(&identity).is_some() {
            return Err(SchemaError::Twice { table });
        }
        let owner = model.owner.as_ref().map(|owner| owner.stored.clone());
        let (stored, id) = (model.stored.clone(), model.id.stored.clone());
        self.0.push(Ends { table, stored, identity, id, owner, references });
        Ok(())
    }

    /// # Errors
    /// If one of the tables is the log.
    pub(super) fn check_log(&self, log: &str, found: Option<&Found>) -> Result<(), SchemaError> {
        match found.and_then(|found| self.find(&found.identity)) {
            Some(_) => Err(SchemaError::Twice { table: log.to_owned() }),
            None => Ok(()),
        }
    }

    /// # Errors
    /// If one of the keys lets a row reference a row of another owner. If that is allowed, a warning is
    /// logged instead.
    pub(super) fn check(&self, allowed: bool) -> Result<(), SchemaError> {
        for child in &self.0 {
            for reference in &child.references {
                let Some(parent) = self.find(&reference.to) else { continue };
                let Some(owner) = &parent.owner else { continue };
                let has_owner =
                    |(of, to): &(String, String)| child.owner.as_ref() == Some(of) && to == owner;
                if reference.columns.iter().any(has_owner) {
                    continue;
                }
                let error = SchemaError::ForeignKey {
                    table: child.table.clone(),
                    key: reference.name.clone(),
                    mend: child.mend(reference, parent, owner),
                };
                if !allowed {
                    return Err(error);
                }
                tracing::warn!(table = child.table, "{error}");
            }
        }
        Ok(())
    }

    /// The tables in an order in which each one comes after those that it references. Tables that
    /// reference each other in a circle keep the order in which they were named.
    pub(super) fn ranks(&self) -> HashMap<String, usize> {
        let mut waiting: Vec<&Ends> = self.0.iter().collect();
        let mut ranks = HashMap::new();
        while !waiting.is_empty() {
            let refers = |child: &Ends, parent: &Ends| {
                child.identity != parent.identity
                    && child.references.iter().any(|reference| reference.to == parent.identity)
            };
            let is_first = |ends: &&Ends| !waiting.iter().any(|other| refers(ends, other));
            let first = waiting.iter().position(is_first).unwrap_or_default();
            let ends = waiting.remove(first);
            ranks.insert(ends.table.clone(), ranks.len());
        }
        ranks
    }

    fn find(&self, identity: &str) -> Option<&Ends> {
        self.0.iter().find(|ends| ends.identity == identity)
    }
}

impl Ends {
    fn mend(&self, reference: &Reference, parent: &Ends, parents_owner: &str) -> String {
        let Some(owner) = &self.owner else {
            return format!("give {} an owner column, and put it into the key", self.table);
        };
        let (mut of, mut to) = (vec![&**owner], vec![parents_owner]);
        for (column, referred) in &reference.columns {
            of.push(column);
            to.push(if referred.is_empty() { &parent.id } else { referred });
        }
        let key = to.join(", ");
        format!(
            "make it FOREIGN KEY ({}) REFERENCES {} ({key}), with a primary key or unique index on ({key})",
            of.join(", "),
            parent.stored
        )
    }
}

//! What a sync writes, as passed to a database.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::Fields;
use crate::{change::Change, diff::Operation, error::DatabaseError, record::Record};

/// One change that a sync makes to an object, with its values in their wire form.
///
/// A database that supports JSON can store them as they are, without loss; [`to_change`](Self::to_change)
/// reads them.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    pub(crate) operation: Operation,
    pub(crate) model: &'a str,
    pub(crate) id: Cow<'a, str>,
    pub(crate) fields: Fields<'a>,
    /// For a create, the whole record as sent: the JSON text of an object with the id.
    #[cfg_attr(not(feature = "memory"), allow(dead_code, reason = "only one database asks"))]
    pub(crate) whole: Option<&'a str>,
}

impl<'a> Write<'a> {
    /// A write of these fields, each once and without `id`; no fields for a delete. For tests of a database.
    pub fn new(
        operation: Operation,
        model: &'a str,
        id: &'a str,
        fields: impl IntoIterator<Item = (&'a str, &'a RawValue)>,
    ) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect();
        Self { operation, model, id: Cow::Borrowed(id), fields, whole: None }
    }
}

impl Write<'_> {
    /// The type of the change.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The object's model.
    pub fn model(&self) -> &str {
        self.model
    }

    /// The object's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The fields that it writes, without `id`, each once, with its value as JSON text; none for a delete.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.fields.iter().map(|(name, value)| (&**name, value.get()))
    }

    /// The change with its values read.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] if a value is not JSON, which the check of the request rules out.
    pub fn to_change(&self) -> Result<Change, DatabaseError> {
        let mut record = Record::new(&*self.id);
        for (name, value) in self.fields() {
            let value: serde_json::Value =
                serde_json::from_str(value).map_err(DatabaseError::failed)?;
            record.insert(name, value);
        }
        Ok(match self.operation {
            Operation::Create => Change::create(self.model, record),
            Operation::Update => Change::update(self.model, record),
            Operation::Delete => Change::delete(self.model, &*self.id),
        })
    }
}

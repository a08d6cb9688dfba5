//! Reads rows, and what the log says about them.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use super::pending::MOST_AT_ONCE;
use crate::{
    diff::{Diff, object_in},
    error::DatabaseError,
    merge::{Alive, encode, read_members},
    owner::Owner,
    reconcile::{Difference, Rest, Row, Said, Schema, SkippedRow},
    unit::UnitOfWork,
};

/// An object of a model, to compare with its row.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub(super) id: Cow<'a, str>,
    /// When its row was changed, if known.
    pub(super) at: Option<i64>,
    /// What the log says, if the object is alive there.
    pub(super) said: Option<Known>,
    /// The fields in which the column's own spelling counts as another value, because a device waits for
    /// it.
    pub(super) exact: Vec<&'a str>,
}

/// What the log says about an object.
#[derive(Debug)]
pub(super) struct Known {
    /// The JSON text of an object.
    pub(super) json_data: String,
    pub(super) rest: Rest,
}

impl From<Alive<'_>> for Known {
    fn from(Alive { json_data, is_older }: Alive<'_>) -> Self {
        let rest = if is_older { Rest::Unknown } else { Rest::Default };
        Self { json_data: json_data.to_owned(), rest }
    }
}

impl Known {
    /// The same object, with these fields overwritten.
    pub(super) fn overwritten<'f>(
        self,
        id: &str,
        fields: impl Iterator<Item = (&'f str, &'f str)>,
    ) -> Result<Self, DatabaseError> {
        let (_, before) = read_members(&self.json_data).map_err(DatabaseError::failed)?;
        let mut all: BTreeMap<&str, &str> =
            before.iter().map(|(name, value)| (&**name, value.get())).collect();
        for (name, value) in fields {
            all.insert(name, value);
        }
        let json_data = encode(id, all.iter().map(|(name, value)| (*name, *value)));
        Ok(Self { json_data, rest: self.rest })
    }
}

/// Rows by id.
pub(super) type Rows = HashMap<String, String>;

/// What a unit of work knows about its tables.
pub(super) struct Tables<'u, U>(pub(super) &'u U);

impl<U: UnitOfWork> Schema for Tables<'_, U> {
    fn has(&self, model: &str, field: &str) -> bool {
        self.0.check_schema(model, &[field]).is_ok()
    }

    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool {
        self.0.same(model, field, written, held)
    }

    fn default_of(&self, model: &str, field: &str) -> Option<&str> {
        self.0.default_of(model, field)
    }

    fn rank(&self, model: &str) -> usize {
        self.0.rank(model)
    }

    fn parents(&self, model: &str) -> Vec<&str> {
        self.0.parents(model)
    }
}

/// The rows with these ids; `None` if the model's rows cannot be read although the database works.
pub(super) async fn rows_of<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    model: &str,
    ids: &[&str],
) -> Result<Option<Rows>, DatabaseError> {
    let rows = unit.rows(owner, model, ids).await;
    Ok(readable(model, rows)?.map(by_id))
}

/// What was read; `None` if it cannot be read although the database works.
pub(super) fn readable<T>(
    model: &str,
    rows: Result<T, DatabaseError>,
) -> Result<Option<T>, DatabaseError> {
    use DatabaseError::{UnknownField, UnknownModel};
    match rows {
        Ok(rows) => Ok(Some(rows)),
        Err(error)
            if error.is_rejection()
                || matches!(error, UnknownField { .. } | UnknownModel { .. }) =>
        {
            tracing::warn!(model, %error, "the rows of a model cannot be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub(super) fn by_id(texts: Vec<String>) -> Rows {
    let id = |text: &String| object_in(text).map(Cow::into_owned).unwrap_or_default();
    texts.into_iter().map(|text| (id(&text), text)).collect()
}

/// What the log lacks of these objects of a model. A row that no diff can represent is no difference: it is
/// reported with its id and the reason.
pub(super) async fn differences<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    model: &str,
    objects: &[Object<'_>],
    rows: &Rows,
    skipped: &mut Vec<SkippedRow>,
) -> Result<Vec<Difference>, DatabaseError> {
    let mut found = Vec::new();
    let (mut places, mut said_of) = (Vec::new(), Vec::new());
    for Object { id, at, said, exact } in objects {
        let said = said.as_ref().map(|Known { json_data, rest }| Said::read(json_data, *rest));
        let said = said.transpose().map_err(DatabaseError::failed)?;
        let row = match rows.get(&**id).map(|row| Row::read(row)).transpose() {
            Ok(row) => row,
            Err(reason) => {
                skipped.push(SkippedRow::new(owner.as_str(), &**id, reason));
                None
            }
        };
        let differs = Difference::of(model, id, said.as_ref(), row.as_ref(), &Tables(unit));
        let Some(differs) = differs else { continue };
        if let Some(text) = said.and_then(|said| differs.said(&said, exact)) {
            places.push(found.len());
            said_of.push(text);
        }
        found.push(Some(Difference { at: *at, ..differs }));
    }
    // A different spelling by the column is no difference.
    if !said_of.is_empty() {
        let written = unit.as_columns(model, said_of).await?;
        for (place, written) in places.into_iter().zip(written) {
            if let Some(slot) = found.get_mut(place) {
                slot.take_if(|differs| !differs.is_left(&written));
            }
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// Adds entries to the log, in parts.
pub(super) async fn append<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
    mut entries: Vec<Diff>,
) -> Result<(), DatabaseError> {
    while !entries.is_empty() {
        let rest = entries.split_off(entries.len().min(MOST_AT_ONCE));
        unit.append(owner, log, entries).await?;
        entries = rest;
    }
    Ok(())
}

//! The effects of a sync's own writes: cascades and triggers, and what columns make of values.

use std::collections::BTreeMap;

use super::{
    Settings,
    drain::said_of,
    look::{self, Known, Object, Tables},
    mint,
};
use crate::{
    DatabaseError, Diff, Mark, Owner, SetOff, UnitOfWork, Will,
    merge::{Merge, Standing, encode},
    reconcile::{Rest, entries},
};

/// Why an object's row is read.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// When it was changed, if that is known.
    at: Option<i64>,
    /// Only what the request's diffs have written can differ.
    only_own: bool,
}

/// By model and id.
type Looks = BTreeMap<String, BTreeMap<String, Look>>;

/// The entries that make the log match the rows, after the last write of a request and the entries of its
/// diffs; `None` if others have changed one of its objects meanwhile.
///
/// `refused` are the objects (model, id) of diffs that the database rejected.
///
/// # Errors
/// Also a rejection, as in a commit.
pub(super) async fn behind<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    settings: &Settings,
    merge: &Merge<'_>,
    refused: &[(&str, &str)],
) -> Result<Option<Vec<Diff>>, DatabaseError> {
    let captures = unit.captures();
    let mut new = merge.new_diffs().map(|diff| merge.object_at(diff).0).peekable();
    // Without effects of writes, this is all.
    if new.peek().is_none() || !captures && new.all(|model| unit.will(model) == Will::None) {
        return Ok(Some(Vec::new()));
    }
    let named = merge.named();
    let mut looks = with_a_will(unit, merge, &named);
    if captures {
        let SetOff { marks, met } = unit.set_off(owner, &named).await?;
        if met {
            return Ok(None);
        }
        let refused = refused.iter().map(|(model, id)| Mark::new(*model, *id, None));
        for Mark { model, id, at } in marks.into_iter().chain(refused) {
            if model != settings.diffs_model && unit.check_schema(&model, &[]).is_ok() {
                let look = Look { at, only_own: false };
                looks.entry(model).or_default().insert(id, look);
            }
        }
    }

    let mut found = Vec::new();
    for (model, looks) in &looks {
        let ids: Vec<&str> = looks.keys().map(|id| &**id).collect();
        let Some(rows) = look::rows_of(unit, owner, model, &ids).await? else {
            let marks = looks.iter().filter(|(_, look)| !look.only_own);
            let marks: Vec<Mark> = marks.map(|(id, look)| Mark::new(model, id, look.at)).collect();
            unit.put_back(owner, &marks).await?;
            continue;
        };
        let objects = said_behind(unit, owner, settings, merge, (model, looks)).await?;
        let mut skipped = Vec::new();
        found.extend(look::differences(unit, owner, model, &objects, &rows, &mut skipped).await?);
    }
    // The merge gives them its own tick.
    let entries = entries(found, &Tables(&*unit), owner, 0, settings.time_now(), mint);
    Ok(Some(entries))
}

/// The objects that the request has written, if their rows may differ from what was written.
fn with_a_will<U: UnitOfWork>(unit: &U, merge: &Merge<'_>, named: &[(&str, &str)]) -> Looks {
    let mut looks = Looks::new();
    let standing = merge.standings();
    for (model, id) in named {
        let will = unit.will(model);
        let Standing::Alive(alive) = standing(model, id) else { continue };
        if will == Will::None {
            continue;
        }
        let write = alive.write(model, id);
        let is_written = alive.is_new() || write.fields().next().is_some();
        if !is_written || unit.keeps(&write) {
            continue;
        }
        let only_own = will == Will::Named && !alive.is_new();
        let look = Look { at: None, only_own };
        looks.entry((*model).to_owned()).or_default().insert((*id).to_owned(), look);
    }
    looks
}

/// What the log will say about objects of a model, after the entries of the request's diffs.
async fn said_behind<'l, U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    settings: &Settings,
    merge: &'l Merge<'_>,
    (model, looks): (&str, &'l BTreeMap<String, Look>),
) -> Result<Vec<Object<'l>>, DatabaseError> {
    let standing = merge.standings();
    let is_in_log = |(id, look): &(&String, &Look)| match standing(model, id) {
        Standing::Unknown => true,
        Standing::Gone => false,
        Standing::Alive(alive) => alive.is_older() && !look.only_own,
    };
    let ids = looks.iter().filter(is_in_log).map(|(id, _)| &**id);
    let ids: Vec<&str> = ids.collect();
    let mut log = BTreeMap::new();
    if !ids.is_empty() {
        let mut said = said_of(unit, owner, &settings.diffs_model, model, &ids).await?;
        for id in ids {
            if let Some(alive) = said.alive(model, id)? {
                log.insert(id, Known::from(alive));
            }
        }
    }

    let mut objects = Vec::new();
    for (id, look) in looks {
        let standing = standing(model, id);
        let exact = match &standing {
            Standing::Alive(alive) => alive.own().map(|(name, _)| name).collect(),
            Standing::Unknown | Standing::Gone => Vec::new(),
        };
        let said = match standing {
            Standing::Unknown => log.remove(&**id),
            Standing::Gone => None,
            Standing::Alive(alive) if look.only_own => {
                let json_data = encode(id, alive.own().collect::<Vec<_>>().into_iter());
                Some(Known { json_data, rest: Rest::Unlooked })
            }
            Standing::Alive(alive) => {
                let fields = alive.fields().collect::<Vec<_>>().into_iter();
                let json_data = encode(id, fields.clone());
                Some(match log.remove(&**id) {
                    None if alive.is_older() => Known { json_data, rest: Rest::Unknown },
                    None => Known { json_data, rest: Rest::Default },
                    Some(known) => known.overwritten(id, fields)?,
                })
            }
        };
        objects.push(Object { id: id.into(), at: look.at, said, exact });
    }
    Ok(objects)
}

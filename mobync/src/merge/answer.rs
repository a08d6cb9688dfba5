//! What goes back: the difference between the life that the device holds and the one that is alive.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use serde_json::value::RawValue;

use super::{
    Merge,
    entry::{encode, read_members, reads_as},
    life::{Life, Origin, Stamp},
    object::Object,
    settle::{Logged, Writer},
    time::{Millis, Tick},
};
use crate::{
    diff::{Diff, Operation},
    owner::Owner,
};

/// Rows of objects whose life is older than the window, by model and id: the JSON text of an object, so that
/// no digit is lost.
pub type Rows = HashMap<(String, String), String>;

/// The fields of one row.
type Row<'r> = BTreeMap<Cow<'r, str>, &'r RawValue>;

/// The result of a sync.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The owner's clock after the sync, in ticks.
    pub clock: i64,
    /// The diffs that go back to the device, in the order in which to apply them.
    pub diffs: Vec<Diff>,
    /// How many new diffs had no effect because their object does not exist.
    pub idle: usize,
}

impl Merge<'_> {
    /// The objects (model, id) whose rows [`finish`](Self::finish) needs. Values older than the window go
    /// back if a change was refused.
    pub fn rows(&self) -> Vec<(&str, &str)> {
        let needed = self.objects.items().iter().filter(|object| object.needs_row());
        needed.map(|object| (object.model, &*object.id)).collect()
    }

    /// The diffs that go back, after all steps are settled.
    ///
    /// `default_of` returns the constant default of a model's field, as JSON text; `mint` creates ids for
    /// diffs of the server's own.
    pub fn finish<'d>(
        &self,
        owner: &Owner,
        rows: &Rows,
        default_of: impl Fn(&str, &str) -> Option<&'d str>,
        mint: impl FnMut() -> String,
    ) -> Outcome {
        if cfg!(debug_assertions) {
            self.objects.items().iter().for_each(Object::check_end);
            self.check_log();
        }
        let clock = if self.log.is_empty() { self.clock } else { self.clock.next() };
        let last = Tick(clock.0.saturating_sub(1).max(0));
        let now = Millis(self.now.utc);
        let mut answer = Answer { owner, tick: last, now, default_of, mint };
        let mut diffs = Vec::new();
        for object in self.objects.items() {
            let row = if object.needs_row() { object.row_in(rows) } else { None };
            let before = diffs.len();
            answer.object(object, row.as_ref(), &mut diffs);
            debug_assert!(are_at_most_two(diffs.get(before..)), "a delete, and a create behind it");
        }
        diffs.sort_by(|left, right| left.order().cmp(&right.order()));
        Outcome { clock: clock.0, diffs, idle: self.idle }
    }

    /// The entries to add to the log, after all steps are settled, in groups of this size.
    pub fn log(&self, owner: &Owner, at_once: usize) -> impl Iterator<Item = Vec<Diff>> {
        let entry = |logged| self.log_entry(logged, owner);
        self.log.chunks(at_once).map(move |part| part.iter().map(entry).collect())
    }

    fn log_entry(&self, logged: &Logged<'_>, owner: &Owner) -> Diff {
        let Logged { writer, object, at, operation, fields } = logged;
        let object = &self.objects[*object];
        let sent = match writer {
            Writer::Diff(diff) => Some(&self.request.entries[*diff]),
            Writer::Server(_) => None,
        };
        // A diff that took all its fields is logged as sent.
        let whole = sent.filter(|sent| {
            sent.diff.operation != Operation::Delete && sent.fields.len() == fields.len()
        });
        let written = || fields.iter().map(|(name, value)| (&**name, value.get()));
        let json_data = match whole {
            Some(sent) => sent.diff.json_data.clone(),
            None => encode(&object.id, written()),
        };
        debug_assert!(reads_as(&json_data, &object.id, written()), "what is logged can be read");
        Diff {
            id: match writer {
                Writer::Diff(diff) => self.request.diff(*diff).id.clone(),
                Writer::Server(id) => id.clone(),
            },
            owner: owner.as_str().to_owned(),
            logical_clock: self.clock.0,
            utc_timestamp: at.0,
            operation: *operation,
            model: object.model.to_owned(),
            json_data,
        }
    }
}

/// Whether these diffs can go back for one object: nothing, one diff, or a delete and the create after it.
fn are_at_most_two(diffs: Option<&[Diff]>) -> bool {
    match diffs {
        Some([] | [_]) => true,
        Some([delete, create]) => {
            (delete.operation, create.operation) == (Operation::Delete, Operation::Create)
                && delete.order() < create.order()
        }
        _ => false,
    }
}

impl Object<'_> {
    fn needs_row(&self) -> bool {
        let Some(life) = self.alive() else { return false };
        let unwritten = |name: &str| !life.fields().contains_key(name);
        let named = &self.named;
        life.is_older()
            && (self.held != self.alive || named.behind_delete() || named.failed().any(unwritten))
    }

    fn row_in<'r>(&self, rows: &'r Rows) -> Option<Row<'r>> {
        let row = rows.get(&(self.model.to_owned(), self.id.clone().into_owned()))?;
        read_members(row).ok().map(|(_, fields)| fields.into_iter().collect())
    }
}

/// Values that go back, by field, each as JSON text.
type Values<'v> = BTreeMap<Cow<'v, str>, String>;

struct Answer<'o, F, M> {
    owner: &'o Owner,
    /// The tick and the time of diffs that the server generates.
    tick: Tick,
    now: Millis,
    default_of: F,
    mint: M,
}

impl<'d, F, M> Answer<'_, F, M>
where
    F: Fn(&str, &str) -> Option<&'d str>,
    M: FnMut() -> String,
{
    /// The table "what goes back" of the protocol.
    fn object(&mut self, object: &Object<'_>, row: Option<&Row<'_>>, diffs: &mut Vec<Diff>) {
        let held = object.held.map(|held| &object.lives[held]);
        match (held, object.alive()) {
            (None, None) => {}
            (None, Some(alive)) => diffs.push(self.create(object, alive, row)),
            (Some(held), None) => diffs.push(self.delete(object, held)),
            (Some(_), Some(alive)) if object.held == object.alive => {
                diffs.extend(self.update(object, alive, row));
            }
            (Some(held), Some(alive)) => {
                let delete = self.delete(object, held);
                let mut create = self.create(object, alive, row);
                let place = |diff: &Diff| (diff.logical_clock, diff.utc_timestamp);
                if place(&create) <= place(&delete) {
                    create.logical_clock = delete.logical_clock;
                    create.utc_timestamp = delete.utc_timestamp.saturating_add(1);
                }
                diffs.extend([delete, create]);
            }
        }
    }

    /// A create with every written field of the life; if the life is older than the window, with its row.
    fn create(&mut self, object: &Object<'_>, life: &Life<'_>, row: Option<&Row<'_>>) -> Diff {
        let values = written(life, row);
        self.diff(object, Operation::Create, life.began.as_ref(), &values)
    }

    fn delete(&mut self, object: &Object<'_>, life: &Life<'_>) -> Diff {
        self.diff(object, Operation::Delete, life.ended.as_deref(), &Values::new())
    }

    /// An update of the fields that others wrote last, and of those that the request's diffs named but did
    /// not take. After a delete that was undone, also of those that they did not name. `None` if there are no
    /// such fields.
    fn update(
        &mut self,
        object: &Object<'_>,
        life: &Life<'_>,
        row: Option<&Row<'_>>,
    ) -> Option<Diff> {
        let mut back: Vec<&str> = Vec::new();
        back.extend(life.unseen());
        back.extend(object.named.failed());
        let all = if object.named.behind_delete() { written(life, row) } else { Values::new() };
        back.extend(all.keys().map(|name| &**name).filter(|name| !object.named.has(name)));
        if back.is_empty() {
            return None;
        }

        let last = back.iter().filter_map(|name| life.fields().get(*name)?.unseen.as_ref()).max();
        let mut values = Values::new();
        for name in back {
            let stands = value(life, row, name);
            let stands = stands.unwrap_or_else(|| {
                (self.default_of)(object.model, name).unwrap_or("null").to_owned()
            });
            values.insert(name.into(), stands);
        }
        Some(self.diff(object, Operation::Update, last, &values))
    }

    fn diff(
        &mut self,
        object: &Object<'_>,
        operation: Operation,
        stamp: Option<&Stamp<'_>>,
        values: &Values<'_>,
    ) -> Diff {
        let (id, tick, at) = match stamp {
            Some(stamp) if stamp.origin == Origin::Unseen => {
                (stamp.id.clone().into_owned(), stamp.tick, stamp.at)
            }
            _ => ((self.mint)(), self.tick, self.now),
        };
        let fields = values.iter().map(|(name, value)| (&**name, value.as_str()));
        let json_data = encode(&object.id, fields.clone());
        debug_assert!(
            reads_as(&json_data, &object.id, fields),
            "what goes back has each field once"
        );
        Diff {
            id,
            owner: self.owner.as_str().to_owned(),
            logical_clock: tick.0,
            utc_timestamp: at.0,
            operation,
            model: object.model.to_owned(),
            json_data,
        }
    }
}

/// Every field of the life that was written, with its value.
fn written<'v>(life: &'v Life<'_>, row: Option<&'v Row<'_>>) -> Values<'v> {
    match row {
        Some(row) if life.is_older() => {
            row.iter().map(|(name, value)| (name.clone(), value.get().to_owned())).collect()
        }
        _ => {
            let fields = life.fields_once();
            let fields = fields.iter();
            fields.map(|(name, value)| (name.clone(), value.json.get().to_owned())).collect()
        }
    }
}

/// The current value of a field of the life, if one was ever written.
fn value(life: &Life<'_>, row: Option<&Row<'_>>, name: &str) -> Option<String> {
    match life.fields().get(name) {
        Some(value) => Some(value.json.get().to_owned()),
        None => row?.get(name).map(|value| value.get().to_owned()),
    }
}

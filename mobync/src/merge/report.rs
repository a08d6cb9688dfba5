//! Overridden values: section "What others have overridden" of the protocol.

use std::collections::{BTreeMap, HashSet};

use super::{
    Merge,
    arena::{DiffPlace, ObjectPlace},
    life::{Life, Origin, Stamp},
    object::{Held, Object},
    settle::{Logged, Writer},
};
use crate::{
    diff::Operation,
    hash::HashMap,
    protocol::{Overridden, OverriddenField},
    reconcile::same,
};

/// One of the request's diffs, with its place in the log.
type Made<'a> = (DiffPlace, Stamp<'a>);

impl Merge<'_> {
    /// The values of the request's diffs that others have overridden, after all steps are settled.
    ///
    /// `refused` says which of its new diffs were refused.
    pub fn overridden(&self, refused: impl Fn(DiffPlace) -> bool) -> Vec<Overridden> {
        let lost_any = |object: &Object<'_>| object.named.failed().next().is_some();
        if !self.objects.items().iter().any(lost_any) {
            return Vec::new();
        }
        let (made, own_ticks) = self.made();
        let mut found: BTreeMap<DiffPlace, BTreeMap<String, OverriddenField>> = BTreeMap::new();
        for (place, object) in self.objects.iter().filter(|(_, object)| lost_any(object)) {
            let Some(made) = made.get(&place) else { continue };
            let by_others =
                |stamp: &Stamp<'_>| stamp.is_unseen() && !own_ticks.contains(&stamp.tick.0);
            let winners = Winners::of(object, by_others);
            for (name, (diff, stamp)) in self.last_named(object, made) {
                let sent = self.sent(*diff, name).filter(|_| !refused(*diff));
                if let Some(field) = sent.and_then(|sent| winners.over(name, sent, stamp)) {
                    found.entry(*diff).or_default().insert(name.to_owned(), field);
                }
            }
        }
        let overridden = |(place, fields)| {
            let diff_id = self.request.diff(place).id.clone();
            Overridden { diff_id, fields }
        };
        found.into_iter().map(overridden).collect()
    }

    /// The request's diffs of each object, known ones first, in the order of the log; and the ticks that they
    /// have there.
    fn made(&self) -> (HashMap<ObjectPlace, Vec<Made<'_>>>, HashSet<i64>) {
        let sent = self.request.places(self.window);
        let known = self.window.entries.iter().filter_map(|entry| {
            let place = *sent.get(entry.id.as_str())?;
            Some((place, Stamp::of(entry, Origin::Own)))
        });
        let mut known: Vec<Made<'_>> = known.collect();
        known.sort_by(|(_, left), (_, right)| left.cmp(right));
        let new = self.log.iter().filter_map(|Logged { writer, at, .. }| match writer {
            Writer::Diff(diff) => Some((*diff, self.own_stamp(*diff, *at))),
            Writer::Server(_) => None,
        });
        let (mut made, mut ticks) = (HashMap::<_, Vec<_>>::default(), HashSet::new());
        for (place, stamp) in known.into_iter().chain(new) {
            ticks.insert(stamp.tick.0);
            made.entry(self.object_of[place]).or_default().push((place, stamp));
        }
        (made, ticks)
    }

    /// For each field that was not taken, the last diff that names it.
    fn last_named<'m>(
        &'m self,
        object: &'m Object<'_>,
        made: &'m [Made<'m>],
    ) -> BTreeMap<&'m str, &'m Made<'m>> {
        let failed: HashSet<&str> = object.named.failed().collect();
        let mut last = BTreeMap::new();
        for one in made {
            let entry = &self.request.entries[one.0];
            if entry.diff.operation == Operation::Delete {
                last.clear();
            }
            let names = entry.fields.iter().map(|(name, _)| &**name);
            last.extend(names.filter(|name| failed.contains(name)).map(|name| (name, one)));
        }
        last
    }

    /// The value of a field in a diff, as JSON text.
    fn sent(&self, diff: DiffPlace, field: &str) -> Option<&str> {
        let mut fields = self.request.entries[diff].fields.iter();
        fields.find(|(name, _)| name == field).map(|(_, value)| value.get())
    }
}

/// What may have overridden the request's diffs of one object.
enum Winners<'m, 'a> {
    Nothing,
    /// The delete that ended the life that the device holds.
    Delete(&'m Stamp<'a>),
    /// Values of the life that is alive.
    Values {
        life: &'m Life<'a>,
        /// The entries that wrote each field, in order.
        writers: HashMap<&'m str, Vec<&'m Stamp<'a>>>,
        by_others: HashSet<&'m str>,
    },
}

impl<'m, 'a> Winners<'m, 'a> {
    fn of(object: &'m Object<'a>, is_by_others: impl Fn(&Stamp<'_>) -> bool) -> Self {
        if matches!(object.holds(), Held::Ended) {
            let held = object.held.map(|held| &object.lives[held]);
            let ended = held.and_then(|held| held.ended.as_deref());
            return ended.filter(|end| is_by_others(end)).map_or(Self::Nothing, Self::Delete);
        }
        let Some(life) = object.alive() else { return Self::Nothing };
        let by_others: HashSet<&str> = object
            .named
            .failed()
            .filter(|name| life.fields().get(*name).is_some_and(|it| is_by_others(&it.writer)))
            .collect();
        let writers = life.writers(&by_others);
        Self::Values { life, writers, by_others }
    }

    /// What has overridden the value of a diff with that place in the log, if anything.
    fn over(&self, name: &str, sent: &str, made: &Stamp<'_>) -> Option<OverriddenField> {
        let read = |json: &str| serde_json::from_str(json).ok();
        match self {
            Self::Nothing => None,
            Self::Delete(end) if *end < made => {
                Some(OverriddenField { sent: read(sent)?, stands: None, by: end.id.to_string() })
            }
            Self::Delete(_) => None,
            Self::Values { life, writers, by_others } => {
                if !by_others.contains(name) {
                    return None;
                }
                let before = writers.get(name)?.iter().rfind(|writer| **writer < made)?;
                let value = life.fields().get(name)?;
                let stands = value.json.get();
                if !before.is_unseen() || before.at <= made.at || same(sent, stands) {
                    return None;
                }
                let by = value.writer.id.to_string();
                Some(OverriddenField { sent: read(sent)?, stands: read(stands), by })
            }
        }
    }
}

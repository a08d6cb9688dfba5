//! A server made of the pure merge and two maps: no database, no async.

use std::collections::{BTreeMap, HashSet};

use mobync::{
    Change, Diff, Operation, Overridden, Snapshot, Window,
    merge::{Merge, Now, Request, Rows},
};

use super::{T0, ada, line};

/// Objects by model and id.
pub type Objects = BTreeMap<(String, String), mobync::Record>;

/// One owner's objects and log.
#[derive(Clone, Debug, Default)]
pub struct PureServer {
    pub objects: Objects,
    pub log: Vec<Diff>,
    minted: usize,
}

/// What goes back, and the clock.
#[derive(Clone, Debug, PartialEq)]
pub struct PureAnswer {
    pub clock: i64,
    pub diffs: Vec<Diff>,
    pub refused: Vec<String>,
    pub overridden: Vec<Overridden>,
}

impl PureAnswer {
    /// The diffs of each object, in order. The entry ids in them may differ: those before the window are not
    /// known.
    fn said(&self) -> (i64, BTreeMap<String, Vec<String>>, &[String]) {
        let mut said: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for diff in &self.diffs {
            let data: serde_json::Value = serde_json::from_str(&diff.json_data).unwrap();
            said.entry(data["id"].to_string()).or_default().push(line(diff));
        }
        (self.clock, said, &self.refused)
    }

    /// What goes back, regardless of the form of its JSON.
    fn diffs(&self) -> Vec<((i64, i64, &str), String)> {
        self.diffs.iter().map(|diff| (diff.order(), line(diff))).collect()
    }
}

impl PureServer {
    pub fn clock(&self) -> i64 {
        self.log.iter().map(|entry| entry.logical_clock + 1).max().unwrap_or_default()
    }

    /// A sync whose diffs `refuse` may refuse, at a fixed time.
    ///
    /// The result must be the same for the window and for the whole log.
    pub fn sync(
        &mut self,
        since: i64,
        diffs: &[Diff],
        refuse: impl Fn(&Diff) -> bool,
    ) -> PureAnswer {
        let request = Request::new(diffs).unwrap();
        let ids: HashSet<&str> = request.ids().into_iter().collect();
        let known = self.log.iter().filter(|entry| ids.contains(&*entry.id));
        let start = known.map(|entry| entry.logical_clock).chain([since]).min().unwrap();

        let mut whole = self.clone();
        let answer_of_whole = whole.sync_from(0, since, &request, &refuse);
        let answer = self.sync_from(start, since, &request, &refuse);
        assert_eq!(answer_of_whole.said(), answer.said());
        assert_eq!(answer_of_whole.overridden, answer.overridden);
        assert_eq!((whole.log, &whole.objects), (self.log.clone(), &self.objects));
        self.clone().greet();
        answer
    }

    /// A page of at most this many entries, or of one tick, for a device that has nothing pending.
    pub fn page(&self, since: i64, limit: u64) -> PureAnswer {
        let request = Request::new(&[]).unwrap();
        let mut window = self.window(since, &[]);
        window.cut(limit);
        let now = Now { utc: T0 + 60_000, drift: 300_000 };
        let merge = Merge::new(since, &request, &[], &window, now).unwrap();
        assert!(merge.rows().is_empty(), "a page needs no rows");
        let none = || unreachable!("a page has no entries of the server's own");
        let outcome = merge.finish(&ada(), &Rows::new(), |_, _| None, none);
        let (clock, diffs) = (outcome.clock, outcome.diffs);
        PureAnswer { clock, diffs, refused: Vec::new(), overridden: Vec::new() }
    }

    /// A new device syncs: it must get the same from the log's entries applied one by one, as long as they
    /// have all of every object.
    fn greet(mut self) {
        let mut snapshot = Snapshot::default();
        self.log.iter().for_each(|entry| snapshot.add(entry).unwrap());
        if let Some((clock, diffs)) = snapshot.finish(&ada()).unwrap() {
            let nothing = Request::new(&[]).unwrap();
            let answer = self.sync_from(0, 0, &nothing, |_| false);
            let folded = PureAnswer { clock, diffs, refused: Vec::new(), overridden: Vec::new() };
            assert_eq!((folded.clock, folded.diffs()), (answer.clock, answer.diffs()));
        }
    }

    fn sync_from(
        &mut self,
        start: i64,
        since: i64,
        request: &Request<'_>,
        refuse: impl Fn(&Diff) -> bool,
    ) -> PureAnswer {
        let objects = request.objects();
        let mut window = self.window(start, &objects);
        let misnamed = request.misnamed_objects(&window).unwrap();
        let misnamed = misnamed.iter().map(|(model, id)| (&**model, &**id));
        let objects: Vec<_> = objects.into_iter().chain(misnamed).collect();
        window = self.window(start, &objects);
        let now = Now { utc: T0 + 60_000, drift: 300_000 };
        let mut merge = Merge::new(since, request, &objects, &window, now).unwrap();
        let mut refused = BTreeMap::new();
        for place in merge.steps() {
            let diff = request.diff(place);
            if !refuse(diff) {
                while let Some(delete) = merge.parts_until(place) {
                    if !refuse(request.diff(delete)) {
                        break;
                    }
                    merge.foresee_refusal(delete);
                }
            }
            let step = merge.plan(place);
            if refuse(diff) {
                refused.insert(place, diff.id.clone());
            } else if let Some(write) = merge.write(&step) {
                self.write(write.to_change().unwrap());
            }
            let minted = &mut self.minted;
            merge.settle(step, refuse(diff), || mint(minted));
        }

        let rows: Rows = merge
            .rows()
            .into_iter()
            .map(|(model, id)| (model.to_owned(), id.to_owned()))
            .filter_map(|object| {
                let row = serde_json::Value::from(self.objects.get(&object)?.clone());
                Some((object, row.to_string()))
            })
            .collect();
        let minted = &mut self.minted;
        let outcome = merge.finish(&ada(), &rows, |_, _| None, || mint(minted));
        self.log.extend(merge.log(&ada(), 3).flatten());
        self.log.sort_by(|left, right| left.order().cmp(&right.order()));
        let overridden = merge.overridden(|place| refused.contains_key(&place));
        let refused = refused.into_values().collect();
        PureAnswer { clock: outcome.clock, diffs: outcome.diffs, refused, overridden }
    }

    fn window(&self, start: i64, objects: &[(&str, &str)]) -> Window {
        let entries = self.log.iter().filter(|entry| entry.logical_clock >= start);
        let exists = |(model, id): &(&str, &str)| {
            self.objects.contains_key(&((*model).to_owned(), (*id).to_owned()))
        };
        Window {
            clock: self.clock(),
            start,
            entries: entries.cloned().collect(),
            existing: objects.iter().map(exists).collect(),
            ..Window::default()
        }
    }

    fn write(&mut self, change: Change) {
        let key = (change.model().to_owned(), change.id().to_owned());
        match change {
            Change::Create { record, .. } => {
                let before = self.objects.insert(key, record);
                assert!(before.is_none(), "a create of what is there");
            }
            Change::Update { changes, .. } => self.objects.get_mut(&key).unwrap().apply(changes),
            Change::Delete { .. } => {
                self.objects.remove(&key).unwrap();
            }
        }
    }
}

fn mint(minted: &mut usize) -> String {
    *minted += 1;
    format!("minted-{minted}")
}

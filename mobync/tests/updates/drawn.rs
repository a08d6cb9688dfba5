//! Schemas that are drawn: each version with its names, and what each name stands for.

use std::collections::BTreeMap;

use fastrand::Rng;
use mobync::{
    Record,
    schema::{Schema, Step},
};
use serde_json::{Value, json};

/// A model or field by what it is, whatever its name.
pub type Key = usize;

#[derive(Clone, Debug)]
pub struct Model {
    pub key: Key,
    pub name: String,
    pub fields: Vec<(Key, String)>,
}

/// The models that a version has.
pub type Layout = Vec<Model>;

#[derive(Clone, Debug)]
pub struct Drawn {
    steps: Vec<Step>,
    since: Vec<u64>,
    /// That of version 1 first.
    layouts: Vec<Layout>,
    /// What an added field has in older records.
    pub defaults: BTreeMap<Key, Value>,
}

/// Rows by what their models and fields are.
pub type Rows = BTreeMap<(Key, String), BTreeMap<Key, Value>>;

impl Drawn {
    pub fn new(rng: &mut Rng) -> Self {
        let mut next = 0..;
        let mut new = move || next.next().unwrap();
        let mut model = |fields: usize| Model {
            key: new(),
            name: String::new(),
            fields: (0..fields).map(|_| new()).map(|key| (key, format!("f{key}"))).collect(),
        };
        let mut layout: Layout = [3, 2, 2].map(&mut model).to_vec();
        for model in &mut layout {
            model.name = format!("m{}", model.key);
        }
        let mut next = 100..;
        let mut drawn = Self {
            steps: Vec::new(),
            since: Vec::new(),
            layouts: vec![layout.clone()],
            defaults: BTreeMap::new(),
        };
        for version in 2..=rng.u64(2..=6) {
            for _ in 0..rng.usize(1..=3) {
                drawn.step(rng, version, &mut layout, next.next().unwrap());
            }
            drawn.layouts.push(layout.clone());
        }
        drawn
    }

    fn step(&mut self, rng: &mut Rng, since: u64, layout: &mut Layout, key: Key) {
        let count = layout.len();
        let place = rng.usize(..count);
        let model = &mut layout[place];
        let fields = model.fields.len();
        let field = rng.usize(..fields.max(1));
        let step = match rng.u8(..10) {
            0..=2 => {
                let default = rng.choice([json!(null), json!(7), json!("some")]).unwrap();
                let name = format!("f{key}");
                model.fields.push((key, name.clone()));
                self.defaults.insert(key, default.clone());
                Step::added(since, &model.name, name, default)
            }
            3..=5 if fields > 0 => {
                let to = format!("f{key}");
                let from = std::mem::replace(&mut model.fields[field].1, to.clone());
                Step::renamed(since, &model.name, from, to)
            }
            6 if fields > 1 => {
                let (_, name) = model.fields.remove(field);
                Step::removed(since, &model.name, name, 0)
            }
            7 => {
                let to = format!("m{key}");
                let from = std::mem::replace(&mut model.name, to.clone());
                Step::renamed_model(since, from, to)
            }
            8 if count > 1 => Step::removed_model(since, layout.remove(place).name),
            _ => {
                let (name, fields) = (format!("m{key}"), vec![(key + 1000, "body".to_owned())]);
                layout.push(Model { key, name: name.clone(), fields });
                Step::added_model(since, name)
            }
        };
        self.steps.push(step);
        self.since.push(since);
    }

    pub fn newest(&self) -> u64 {
        self.layouts.len() as u64
    }

    /// The schema of an app or server of this version.
    pub fn schema(&self, version: u64) -> Schema {
        let steps = self.steps.iter().zip(&self.since);
        Schema::new(steps.filter(|(_, since)| **since <= version).map(|(step, _)| step).cloned())
            .unwrap()
    }

    pub fn layout(&self, version: u64) -> &Layout {
        &self.layouts[usize::try_from(version).unwrap() - 1]
    }

    /// The records of a model by what its fields are; null counts as missing, and what is missing has the
    /// default.
    pub fn add(&self, rows: &mut Rows, model: &Model, records: Vec<Record>) {
        for record in records {
            let mut fields = BTreeMap::new();
            let mut known = 0;
            for (key, name) in &model.fields {
                known += usize::from(record.get(name).is_some());
                let value = record.get(name).or_else(|| self.defaults.get(key));
                fields.extend(value.filter(|value| !value.is_null()).map(|it| (*key, it.clone())));
            }
            assert_eq!(known, record.fields().len(), "{record:?} has other fields than {model:?}");
            rows.insert((model.key, record.id().to_owned()), fields);
        }
    }

    /// What both versions have of the rows.
    pub fn common(&self, rows: &Rows, one: u64, other: u64) -> Rows {
        let mut common = Rows::new();
        for ((key, id), fields) in rows {
            let of = |version| self.layout(version).iter().find(|model| model.key == *key);
            let (Some(one), Some(other)) = (of(one), of(other)) else { continue };
            let in_both = |key: &Key| {
                [one, other].iter().all(|model| model.fields.iter().any(|(other, _)| other == key))
            };
            let fields = fields.iter().filter(|(key, _)| in_both(key));
            let fields = fields.map(|(key, value)| (*key, value.clone())).collect();
            common.insert((*key, id.clone()), fields);
        }
        common
    }
}

//! Reading one object's log from its beginning.

use super::{Entry, Fields, Kind};
use serde_json::Value;
use std::collections::BTreeMap;

/// A value and the place of the entry that last wrote it.
#[derive(Clone, Debug)]
pub struct Written {
    pub value: Value,
    pub by: usize,
}

/// A life of an object; entries are named by their places in the object's log.
#[derive(Clone, Debug)]
pub struct Life {
    /// The create that began it, which also names the life.
    pub began: usize,
    /// The delete that ended it.
    pub ended: Option<usize>,
    /// Whether another one was alive when it began.
    pub apart: bool,
    /// Its fields, as last written.
    pub fields: BTreeMap<String, Written>,
    /// All entries that wrote it, including the create.
    pub writers: Vec<usize>,
}

impl Life {
    /// The fields that a diff has written, including null.
    pub fn values(&self) -> Fields {
        self.fields.iter().map(|(name, written)| (name.clone(), written.value.clone())).collect()
    }

    fn write(&mut self, place: usize, fields: &Fields) {
        self.writers.push(place);
        for (name, value) in fields {
            self.fields.insert(name.clone(), Written { value: value.clone(), by: place });
        }
    }
}

/// The lives of an object in the order in which they began. `log` is the object's, or a beginning of it.
pub fn lives(log: &[Entry]) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for (place, entry) in log.iter().enumerate() {
        match entry.kind {
            Kind::Create => {
                let apart = alive(&lives).is_some();
                let mut life = Life {
                    began: place,
                    ended: None,
                    apart,
                    fields: BTreeMap::new(),
                    writers: Vec::new(),
                };
                life.write(place, &entry.fields);
                lives.push(life);
            }
            // A life apart lasts until the next delete, so until then everything belongs to it.
            Kind::Update => {
                if let Some(life) = lives.iter_mut().rfind(|life| life.ended.is_none()) {
                    life.write(place, &entry.fields);
                }
            }
            Kind::Delete => {
                let in_one_apart = open_apart(&lives).is_some();
                for life in lives
                    .iter_mut()
                    .filter(|life| life.ended.is_none() && life.apart == in_one_apart)
                {
                    life.ended = Some(place);
                }
            }
        }
    }
    lives
}

/// The life that is alive.
pub fn alive(lives: &[Life]) -> Option<&Life> {
    lives.iter().find(|life| life.ended.is_none() && !life.apart)
}

/// The life apart that no delete has ended yet: only within a request.
pub fn open_apart(lives: &[Life]) -> Option<&Life> {
    lives.iter().rfind(|life| life.ended.is_none() && life.apart)
}

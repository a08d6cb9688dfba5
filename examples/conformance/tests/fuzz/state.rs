//! What a server keeps, so that it can be compared before and after, and with the others'.

use std::collections::BTreeMap;

use mobync::{Access, Database, Diff, Owner, Record, UnitOfWork, WindowQuery};
use uuid::Uuid;

use super::servers::{MODELS, Renewable};

/// The owners that a server has heard of.
pub type State = BTreeMap<Owner, Kept>;

/// What is kept of one owner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    pub clock: i64,
    /// In the order of its ids, those of the server's own last.
    pub log: Vec<Diff>,
    pub rows: Vec<(&'static str, Vec<Record>)>,
}

impl Kept {
    pub fn knows(&self, id: &str) -> bool {
        self.log.iter().any(|entry| entry.id == id)
    }
}

/// What there is now. Owners of whom nothing is kept are left out.
pub async fn state(database: &Renewable) -> State {
    let (database, owners) = database.get();
    let mut state = State::new();
    for owner in owners {
        let mut unit = database.open(&owner, Access::Read).await.unwrap();
        let clock = unit.clock(&owner, "diffs").await.unwrap();
        let query = WindowQuery::since("diffs", 0);
        let log = unit.window(&owner, query).await.unwrap().entries;
        let rows = MODELS.iter().map(|(model, _)| (*model, database.records(&owner, model)));
        let kept = Kept { clock, log, rows: rows.collect() };
        if kept.clock > 0
            || !kept.log.is_empty()
            || kept.rows.iter().any(|(_, rows)| !rows.is_empty())
        {
            state.insert(owner, kept);
        }
    }
    state
}

/// Without what a server chooses by itself, so that the states of servers can be compared.
pub fn mask_state(state: &State) -> State {
    let mut state = state.clone();
    for entry in state.values_mut().flat_map(|kept| &mut kept.log) {
        if is_minted(entry.id.as_bytes()) {
            MASK.clone_into(&mut entry.id);
        }
    }
    state
}

/// The bytes of an answer without the ids of the server's own.
pub fn mask(body: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(body.len());
    let mut at = 0;
    while at < body.len() {
        if body.get(at..at + LENGTH).is_some_and(is_minted) {
            masked.extend(MASK.as_bytes());
            at += LENGTH;
        } else {
            masked.push(body[at]);
            at += 1;
        }
    }
    masked
}

const MASK: &str = "<minted>";
const LENGTH: usize = 36;

/// Whether it is an id as the server makes them; the cases have none such.
pub fn is_minted(id: &[u8]) -> bool {
    id.len() == LENGTH
        && id[8] == b'-'
        && id[14] == b'7'
        && Uuid::try_parse_ascii(id).is_ok_and(|id| id.get_version_num() == 7)
}

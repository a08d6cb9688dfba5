//! A server with one long log, in which each tick has one create, with generated answers.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use mobync::{
    Diff, Operation, SyncRequest,
    client::{Client, Device, LocalStore, NoAnswer, Reply, Transport},
};
use serde_json::{Value, json};

/// A fault in place of the answer.
#[derive(Clone, Debug)]
pub enum Fate {
    RequestLost,
    AnswerLost,
    Says(u16, Value),
}

#[derive(Clone)]
pub struct Shelf {
    pub log: Arc<Mutex<Vec<Diff>>>,
    /// The greatest number of entries in a page; `None` for a server that knows no pages and no heads.
    pub pages: Option<u64>,
    pub requests: Arc<Mutex<Vec<SyncRequest>>>,
    pub fates: Arc<Mutex<VecDeque<Fate>>>,
}

fn entry(tick: usize, bytes: usize) -> Diff {
    let data = json!({"id": format!("o{tick:06}"), "name": "x".repeat(bytes)});
    Diff {
        id: format!("d{tick}"),
        owner: "ada".to_owned(),
        logical_clock: i64::try_from(tick).unwrap(),
        utc_timestamp: 1,
        operation: Operation::Create,
        model: "tasks".to_owned(),
        json_data: data.to_string(),
    }
}

impl Shelf {
    /// A log of this many entries, each of this many bytes.
    pub fn new(entries: usize, bytes: usize) -> Self {
        let log = (0..entries).map(|tick| entry(tick, bytes)).collect();
        let log = Arc::new(Mutex::new(log));
        Self { log, pages: Some(u64::MAX), requests: Arc::default(), fates: Arc::default() }
    }

    pub fn of_before(self) -> Self {
        Self { pages: None, ..self }
    }

    pub fn client<S: LocalStore>(&self, device: &Device<S>) -> Client<S, Self> {
        Client::new(device.clone(), self.clone())
    }

    pub fn fate(&self, fate: Fate) {
        self.fates.lock().unwrap().push_back(fate);
    }

    /// The requests since the last query: clock, limit, and number of diffs.
    pub fn heard(&self) -> Vec<(i64, Option<u64>, usize)> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        let heard = requests.iter();
        heard.map(|asked| (asked.logical_clock, asked.limit, asked.diffs.len())).collect()
    }

    fn answer(&self, request: &SyncRequest) -> Value {
        let mut log = self.log.lock().unwrap();
        let since = usize::try_from(request.logical_clock).unwrap();
        let known = |log: &[Diff], id: &str| log.iter().any(|entry| entry.id == id);
        let new: Vec<Diff> =
            request.diffs.iter().filter(|diff| !known(&log, &diff.id)).cloned().collect();
        let tick = i64::try_from(log.len()).unwrap();
        let before = log.len();
        for diff in new.into_iter().take(1) {
            log.push(Diff { owner: "ada".to_owned(), logical_clock: tick, ..diff });
        }
        let pages = self.pages.filter(|_| request.diffs.is_empty());
        let limit = pages.zip(request.limit).map(|(most, limit)| most.min(limit));
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
        let end = if request.diffs.is_empty() { log.len() } else { before };
        let boundary = end.min(since.saturating_add(limit));
        let sent = |diff: &&Diff| request.diffs.iter().all(|sent| sent.id != diff.id);
        let diffs: Vec<&Diff> = log[since..boundary].iter().filter(sent).collect();
        let clock = if boundary < end { boundary } else { log.len() };
        let mut answer =
            json!({"success": true, "message": "", "logical_clock": clock, "diffs": diffs});
        if self.pages.is_some() && clock > since && request.head.is_some() {
            answer["head"] = log[clock - 1].id.clone().into();
        }
        if clock < log.len() {
            answer["more"] = log.len().into();
        }
        answer
    }
}

impl Transport for Shelf {
    async fn send(&self, request: &SyncRequest) -> Result<Reply, NoAnswer> {
        self.requests.lock().unwrap().push(request.clone());
        let fate = self.fates.lock().unwrap().pop_front();
        let reply = |status, body: Value| {
            Ok(Reply { status, retry_after: None, body: body.to_string().into() })
        };
        match fate {
            None => reply(200, self.answer(request)),
            Some(Fate::RequestLost) => Err(NoAnswer::new("no network")),
            Some(Fate::AnswerLost) => {
                self.answer(request);
                Err(NoAnswer::new("the connection broke off"))
            }
            Some(Fate::Says(status, body)) => reply(status, body),
        }
    }
}

//! Requests and answers as they are on the wire.

use mobync::{Diff, SyncResponse};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::club::{OWNERS, SPACES, Whose, owner_of};
use crate::{
    oracle::Entry,
    ours::same,
    server::{Heard, Posted},
    world::Failure,
};

/// A request in the network, which may deliver it at any time, and more than once.
#[derive(Debug)]
pub struct Sent {
    pub phone: usize,
    pub person: usize,
    /// Grows with each start of the app.
    pub life: usize,
    pub body: String,
    /// Whether it has `syncs`.
    pub is_batch: bool,
    /// The `owner` beside them.
    pub names: Option<String>,
    pub parts: Vec<Part>,
}

/// What a request has for one space, or for the person's own data.
#[derive(Debug)]
pub struct Part {
    pub whose: Whose,
    pub posted: Posted,
    /// The `owner` in it.
    pub names: Option<String>,
}

/// The body of a request, or of a part of one.
#[derive(Deserialize)]
struct Body {
    space: Option<String>,
    logical_clock: i64,
    diffs: Vec<Diff>,
    head: Option<String>,
    limit: Option<u64>,
    #[serde(default)]
    report: bool,
    #[serde(default)]
    check: bool,
    owner: Option<String>,
}

impl Sent {
    /// Reads a body that some client has made. What it has seen is filled in by whoever knows.
    pub fn read(phone: usize, person: usize, life: usize, body: String) -> Result<Self, Failure> {
        let json: Value = serde_json::from_str(&body).map_err(Failure::of)?;
        let (is_batch, names, parts) = match json.get("syncs") {
            Some(syncs) => {
                let names = json.get("owner").and_then(|owner| owner.as_str());
                let parts = syncs.as_array().cloned().unwrap_or_default();
                (true, names.map(ToOwned::to_owned), parts)
            }
            None => (false, None, vec![json]),
        };
        let part = |json: Value| {
            let body: Body = serde_json::from_value(json).map_err(Failure::of)?;
            let space = |name: &String| SPACES.iter().position(|space| space == name);
            let whose = body.space.as_ref().map(space);
            let whose = match whose {
                Some(None) => {
                    return Err(Failure(format!("no space has the name {:?}", body.space)));
                }
                Some(Some(_)) if !is_batch => {
                    return Err(Failure("a plain request has a space".to_owned()));
                }
                Some(space) => space,
                None => None,
            };
            let owner = whose.map_or(Some(person), owner_of).unwrap_or(usize::MAX);
            let posted = Posted {
                owner,
                clock: body.logical_clock,
                diffs: body.diffs,
                head: body.head,
                limit: body.limit,
                seen: Vec::new(),
                report: body.report,
                check: body.check,
                schema: None,
                reads_only: false,
            };
            Ok(Part { whose, posted, names: body.owner })
        };
        let parts = parts.into_iter().map(part).collect::<Result<_, _>>()?;
        Ok(Self { phone, person, life, body, is_batch, names, parts })
    }

    pub fn diffs(&self) -> usize {
        self.parts.iter().map(|part| part.posted.diffs.len()).sum()
    }
}

/// A part of a request, as a client that was written from the text has it.
pub fn part(
    whose: Whose,
    clock: i64,
    diffs: &[Diff],
    head: Option<&str>,
    limit: Option<u64>,
    (report, check): (bool, bool),
    names: Option<&str>,
) -> Value {
    let mut part = Map::new();
    let mut put = |name: &str, value: Value| part.insert(name.to_owned(), value);
    if let Some(space) = whose {
        put("space", SPACES[space].into());
    }
    put("logical_clock", clock.into());
    put("diffs", json!(diffs));
    for (name, value) in [("head", head), ("owner", names)] {
        if let Some(value) = value {
            put(name, value.into());
        }
    }
    if let Some(limit) = limit {
        put("limit", limit.into());
    }
    if report {
        put("report", true.into());
    }
    if check {
        put("check", true.into());
    }
    part.into()
}

/// An answer as it came, with its parts.
#[derive(Clone, Debug)]
pub enum Came {
    /// With the `owner` beside them.
    Parts(Vec<One>, Option<String>),
    /// The request failed as a whole.
    Whole(Box<One>),
}

/// One answer, or one part of an answer.
#[derive(Clone, Debug)]
pub struct One {
    pub heard: Heard,
    /// The `owner` in it.
    pub names: Option<String>,
}

/// Reads an answer as strictly as the text has it.
pub fn read(
    sent: &Sent,
    status: u16,
    retry_after: Option<u64>,
    body: &[u8],
) -> Result<Came, Failure> {
    let json: Value = serde_json::from_slice(body).map_err(Failure::of)?;
    let Value::Object(mut members) = json else {
        return Err(Failure("an answer is no object".to_owned()));
    };
    if status == 200 && sent.is_batch {
        let (syncs, owner) = (members.remove("syncs"), members.remove("owner"));
        let owner = owner.map(|owner| owner.as_str().unwrap_or_default().to_owned());
        same("the answer to several", &Value::from(members), &json!({"success": true}))?;
        let Some(Value::Array(syncs)) = syncs else {
            return Err(Failure("the answer to several has none".to_owned()));
        };
        same("how many answers there are", &syncs.len(), &sent.parts.len())?;
        let one = |json: Value| {
            let Value::Object(mut members) = json else {
                return Err(Failure("one of several answers is no object".to_owned()));
            };
            let status = members.remove("status").and_then(|it| it.as_u64()).unwrap_or(0);
            let after = members.remove("retry_after").map(|it| it.as_u64().unwrap_or(0));
            read_one(u16::try_from(status).unwrap_or(0), after, members)
        };
        return Ok(Came::Parts(syncs.into_iter().map(one).collect::<Result<_, _>>()?, owner));
    }
    let one = read_one(status, retry_after, members)?;
    Ok(if status == 200 { Came::Parts(vec![one], None) } else { Came::Whole(Box::new(one)) })
}

fn read_one(
    status: u16,
    retry_after: Option<u64>,
    mut members: Map<String, Value>,
) -> Result<One, Failure> {
    let all: Vec<String> = members.keys().cloned().collect();
    let known: &[&str] = if status == 200 {
        &["success", "message", "logical_clock", "diffs", "refused", "head", "more", "overridden"]
    } else {
        &["success", "message", "code", "diff_id", "forgotten"]
    };
    let is_known = |it: &&String| {
        known.contains(&&***it) || status == 200 && ["check", "owner"].contains(&&***it)
    };
    let unknown: Vec<&String> = all.iter().filter(|it| !is_known(it)).collect();
    same("the members that an answer must not have", &unknown, &Vec::new())?;
    same("whether it waits", &retry_after.is_some_and(|it| it > 0), &(status == 503))?;
    let text = |name: &str| {
        members.get(name).and_then(Value::as_str).map(ToOwned::to_owned).unwrap_or_default()
    };
    let (code, message) = (text("code"), text("message"));
    let forgotten = members.get("forgotten") == Some(&Value::Bool(true));
    same("success", &members.get("success"), &Some(&Value::Bool(status == 200)))?;
    let names = members.remove("owner").and_then(|it| it.as_str().map(ToOwned::to_owned));
    let answer: Option<SyncResponse> = match status {
        200 => Some(serde_json::from_value(members.into()).map_err(Failure::of)?),
        _ => None,
    };
    Ok(One { heard: Heard { status, code, message, forgotten, answer }, names })
}

/// *Isolation*: the owners whose marks are in the bytes.
pub fn marks(bytes: &[u8]) -> Vec<usize> {
    let text = String::from_utf8_lossy(bytes);
    (0..OWNERS.len()).filter(|owner| text.contains(OWNERS[*owner])).collect()
}

/// What a phone has seen of the history of a space.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub head: String,
    pub log: Vec<Entry>,
}

//! Sound requests, of every shape there is.

use conformance::application;
use fastrand::Rng;
use serde_json::Value;

use super::{
    case::Case,
    json::Json,
    servers::{LIMIT, MODELS, MOST_DIFFS},
    words,
};

/// What a session has come to, for the next request to refer to.
#[derive(Debug, Default)]
pub struct Past {
    /// The clock of each owner.
    pub clocks: Vec<(String, i64)>,
    /// Heads that each owner was answered, with their clocks.
    pub heads: Vec<(String, i64, String)>,
    /// Diffs that were accepted, as sent.
    pub diffs: Vec<Value>,
}

/// The body as a tree, and the rest of the request.
#[derive(Debug)]
pub struct Draft {
    pub body: Json,
    pub headers: Vec<(&'static str, String)>,
}

impl Draft {
    /// As it goes out: with one more way to cut and frame a body.
    pub fn into_case(self, rng: &mut Rng) -> Case {
        let mut case = Case::post(self.body.write(rng));
        case.headers.extend(self.headers);
        case.pieces = if rng.u8(..3) == 0 { rng.usize(1..20) } else { 1 };
        if rng.u8(..4) == 0 {
            case.headers.push(("content-length", case.body.len().to_string()));
        }
        if rng.u16(..500) == 0 {
            // Spaces behind it, up to the limit or one byte over it.
            case.body.resize(case.body.len().max(LIMIT - rng.usize(..2) + rng.usize(..2)), b' ');
        }
        case
    }
}

/// A request of a device of one of the people.
pub fn request(past: &Past, rng: &mut Rng) -> Draft {
    let token = token(rng);
    let mut members = match rng.u8(..5) {
        0 => vec![("syncs".to_owned(), Json::List(several(past, &token, rng)))],
        _ => sync(past, &token, None, rng),
    };
    let mut headers = Vec::new();
    match rng.u8(..10) {
        0..2 if !token.contains(char::is_control) && token.trim() == token => {
            headers.push(("authorization", format!("Bearer {token}")));
        }
        2 => headers.push(("authorization", "Basic YWRhOg==".to_owned())),
        _ => {}
    }
    // In the header, which wins, and perhaps in the body; or in the body only.
    if headers.first().is_none_or(|(_, value)| value.starts_with("Basic")) || rng.bool() {
        members.push(("auth_token".to_owned(), Json::text(token)));
    }
    more_members(&mut members, rng);
    Draft { body: Json::Object(members), headers }
}

/// Requests of a person, for different spaces but for a few.
fn several(past: &Past, token: &str, rng: &mut Rng) -> Vec<Json> {
    let count = if rng.u16(..200) == 0 { 99 + rng.usize(..4) } else { rng.usize(..6) };
    let mut spaces = Vec::new();
    let mut syncs = Vec::new();
    for place in 0..count {
        let space = match rng.u8(..4) {
            _ if count > 90 => Some(format!("s{place}")),
            0 => None,
            _ => Some(space(rng)),
        };
        if spaces.contains(&space) && rng.u8(..10) > 0 {
            continue;
        }
        let mut members = match count {
            91.. => vec![("head".to_owned(), Json::text(""))],
            _ => sync(past, token, space.as_deref(), rng),
        };
        if let Some(space) = &space {
            members.push(("space".to_owned(), Json::text(space.clone())));
        }
        spaces.push(space);
        more_members(&mut members, rng);
        syncs.push(Json::Object(members));
    }
    syncs
}

fn space(rng: &mut Rng) -> String {
    const OTHERS: [&str; 7] =
        ["mirror", "lost", "busy", "failing", "nobody", "gated-1", "space ada"];
    const SPACES: [&str; 8] =
        ["ada,bob", "bob,ada", "ada,?bob", "?ada,bob", "ada", "guest,ada", "Ünï,bob", "bob,bob"];
    match rng.u8(..32) {
        0 => words::text(rng),
        1..4 => (*rng.choice(&OTHERS).unwrap()).to_owned(),
        _ => (*rng.choice(&SPACES).unwrap()).to_owned(),
    }
}

/// The members of a request, for that space or the person's own data.
fn sync(past: &Past, token: &str, space: Option<&str>, rng: &mut Rng) -> Vec<(String, Json)> {
    let owner = match (token, space) {
        ("panicking", _) | (_, Some("panicking")) => String::new(),
        _ => application::grant(token, space)
            .map(|grant| grant.owner().to_string())
            .unwrap_or_default(),
    };
    let now = past.clocks.iter().find(|(of, _)| *of == owner).map_or(0, |(_, clock)| *clock);
    let clock = match rng.u8(..24) {
        0..12 => now,
        12..16 => 0,
        16..22 => rng.i64(0..=now),
        22 => now + 1,
        _ => *rng.choice(&[i64::MAX, i64::MAX - 1, 1 << 53, (1 << 53) + 1]).unwrap(),
    };
    let head = past.heads.iter().find(|(of, at, _)| *of == owner && *at == clock);
    let head = head.map(|(.., head)| head.as_str()).unwrap_or_default();
    let clock = match rng.u8(..12) {
        0 => Json::text(clock.to_string()),
        1 => Json::text(format!("00{clock}")),
        _ => Json::raw(clock),
    };
    let count = match rng.u16(..1000) {
        0 => MOST_DIFFS + rng.usize(..2),
        _ => rng.usize(..6),
    };
    let diffs = (0..count).map(|_| diff(past, rng)).collect();
    let mut members =
        vec![("logical_clock".to_owned(), clock), ("diffs".to_owned(), Json::List(diffs))];
    match rng.u8(..16) {
        0..5 => members.push(("head".to_owned(), Json::text(head))),
        5 => members.push(("head".to_owned(), Json::Text(words::text(rng)))),
        6 => members.push(("head".to_owned(), words::value(rng))),
        _ => {}
    }
    match rng.u8(..16) {
        0..5 => members.push(("limit".to_owned(), Json::raw(rng.u8(1..6)))),
        5 => members.push(("limit".to_owned(), words::value(rng))),
        _ => {}
    }
    // Versions 2 and 3 have other names.
    match rng.u8(..32) {
        0 => members.push(("schema".to_owned(), Json::raw(1))),
        1..4 => members.push(("schema".to_owned(), Json::raw(rng.u8(4..9)))),
        4 => members.push(("schema".to_owned(), words::value(rng))),
        _ => {}
    }
    match rng.u8(..24) {
        0..3 => members.push(("owner".to_owned(), Json::text(""))),
        3..6 => members.push(("owner".to_owned(), Json::text(owner))),
        6 => members.push(("owner".to_owned(), Json::text(words::text(rng)))),
        7 => members.push(("owner".to_owned(), words::value(rng))),
        _ => {}
    }
    members
}

fn token(rng: &mut Rng) -> String {
    match rng.u8(..32) {
        0 => words::text(rng),
        1 => {
            let special = [
                "stranger",
                "banned",
                "lost",
                "busy",
                "failing",
                "gated-1",
                "guest",
                "guest",
                "space ada",
                "",
            ];
            (*rng.choice(&special).unwrap()).to_owned()
        }
        2..5 => "bob".to_owned(),
        5 => "Ünï".to_owned(),
        _ => "ada".to_owned(),
    }
}

/// A new diff, or one that came before, perhaps with other contents.
fn diff(past: &Past, rng: &mut Rng) -> Json {
    let model = match rng.u8(..64) {
        0 => (*rng.choice(&["diffs", "users", "constructor", "Tasks"]).unwrap()).to_owned(),
        1 => words::name(rng),
        2..8 => rng.choice(&MODELS).unwrap().0.to_owned(),
        _ => "tasks".to_owned(),
    };
    let kind = *rng.choice(&["create", "create", "update", "update", "update", "delete"]).unwrap();
    let id = match rng.u8(..40) {
        0 => words::name(rng),
        1 => format!("d{}", rng.u8(..8)),
        _ => format!("d{:x}", rng.u64(..)),
    };
    let data = Json::Encoded(Box::new(data(&model, rng)));
    let mut members = vec![
        ("id".to_owned(), Json::Text(id)),
        ("owner".to_owned(), Json::Text(if rng.bool() { String::new() } else { words::text(rng) })),
        ("logical_clock".to_owned(), Json::raw(*rng.choice(&[0, 3, i64::MAX]).unwrap())),
        ("utc_timestamp".to_owned(), Json::raw(words::timestamp(rng))),
        ("type".to_owned(), Json::text(kind)),
        ("model".to_owned(), Json::Text(model)),
        ("json_data".to_owned(), data),
    ];
    if rng.u8(..6) == 0
        && let Some(Value::Object(sent)) = rng.choice(&past.diffs)
    {
        // The same once more; sometimes it is no longer quite the same.
        let changed = if rng.u8(..5) == 0 { rng.usize(..7) } else { 7 };
        for (place, (name, value)) in members.iter_mut().enumerate() {
            match sent.get(name) {
                Some(Value::String(text)) if place != changed => *value = Json::text(text),
                Some(other) if place != changed => *value = Json::raw(other),
                _ => {}
            }
        }
    }
    more_members(&mut members, rng);
    Json::Object(members)
}

/// The object's id and some fields.
fn data(model: &str, rng: &mut Rng) -> Json {
    let id = match rng.u8(..24) {
        0 => words::name(rng),
        1 => "e\u{301}".to_owned(),
        2 => "é".to_owned(),
        _ => format!("t{}", rng.u8(..4)),
    };
    let mut members = vec![("id".to_owned(), Json::Text(id))];
    let fields = MODELS.iter().find(|(name, _)| *name == model).map_or(&["name"][..], |of| of.1);
    for field in fields {
        if rng.u8(..3) == 0 {
            let value = match rng.u8(..16) {
                0 => Json::text("forbidden"),
                1..8 => Json::raw(rng.u8(..3)),
                _ => words::sound_value(rng),
            };
            members.push(((*field).to_owned(), value));
        }
    }
    if rng.u8(..64) == 0 {
        // Most likely one that there is not.
        let name = words::text(rng);
        if members.iter().all(|(other, _)| *other != name) {
            members.push((name, words::sound_value(rng)));
        }
    }
    rng.shuffle(&mut members);
    Json::Object(members)
}

/// Members that nobody looks at, in any order.
fn more_members(members: &mut Vec<(String, Json)>, rng: &mut Rng) {
    if rng.u8(..8) == 0 {
        let name = words::text(rng);
        if members.iter().all(|(other, _)| *other != name) {
            members.push((name, words::sound_value(rng)));
        }
    }
    if rng.bool() {
        rng.shuffle(members);
    }
}

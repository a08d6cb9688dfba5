//! What goes wrong with a request: in its tree, in its bytes, in its head.

use fastrand::Rng;

use super::{case::Case, draw::Draft, json::Json, servers::LIMIT, words};

/// Changes the tree of the body somewhere.
pub fn tree(draft: &mut Draft, rng: &mut Rng) {
    let other = draft.body.at(rng.usize(..draft.body.count())).clone();
    let place = rng.usize(..draft.body.count());
    let at = draft.body.at(place);
    match rng.u8(..12) {
        // Members: missing, doubled, under another name, of another's value.
        0..5 => {
            if let Json::Object(members) = at {
                change_members(members, rng);
            } else {
                *at = words::value(rng);
            }
        }
        5 => *at = Json::raw(words::token(rng)),
        6 => *at = Json::Text(words::text(rng)),
        7 => *at = other,
        8 => {
            // Of another type: as a string, or out of one.
            *at = match at.clone() {
                Json::Encoded(json) => *json,
                Json::Text(text) => Json::Raw(text),
                value => Json::Encoded(Box::new(value)),
            }
        }
        9 => *at = Json::List(vec![at.clone(); rng.usize(..3)]),
        10 => {
            let levels = *rng.choice(&[1, 120, 124, 125, 126, 127, 128, 129]).unwrap();
            *at = words::nested(at, levels, rng);
        }
        _ => *at = words::value(rng),
    }
}

fn change_members(members: &mut Vec<(String, Json)>, rng: &mut Rng) {
    if members.is_empty() {
        return members.push((words::text(rng), words::value(rng)));
    }
    let (one, two) = (rng.usize(..members.len()), rng.usize(..members.len()));
    match rng.u8(..5) {
        0 => {
            members.remove(one);
        }
        1 => {
            let double = members[one].clone();
            members.insert(two, double);
        }
        2 => members[one].0 = words::text(rng),
        3 => {
            let value = members[one].1.clone();
            members[two].1 = value;
        }
        _ => members[one].1 = words::value(rng),
    }
}

/// Changes the bytes of the body somewhere.
pub fn bytes(body: &mut Vec<u8>, rng: &mut Rng) {
    const INSERTED: [&[u8]; 16] = [
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xef\xbb\xbf",
        b"\0",
        b"\\",
        b"\"",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\ud800",
        b"\\u0000",
    ];
    let at = rng.usize(..=body.len());
    let to = (at + rng.usize(..16)).min(body.len());
    match rng.u8(..10) {
        0 | 1 if at < body.len() => body[at] ^= 1 << rng.u8(..8),
        2 if at < body.len() => body[at] = rng.u8(..),
        3 => body.truncate(at),
        4 => {
            body.drain(at..to);
        }
        5 => {
            let double = body[at..to].to_vec();
            body.splice(at..at, double);
        }
        6 => {
            let token = words::token(rng);
            body.splice(at..to, token.bytes());
        }
        7 => {
            body.splice(..0, b"\xef\xbb\xbf".iter().copied());
        }
        8 => swap_tokens(body, rng),
        _ => {
            let inserted = *rng.choice(&INSERTED).unwrap();
            body.splice(at..at, inserted.iter().copied());
        }
    }
}

/// Two of the pieces between the signs of JSON change places.
fn swap_tokens(body: &mut Vec<u8>, rng: &mut Rng) {
    let is_sign = |byte: &u8| b"{}[],:".contains(byte);
    let mut tokens: Vec<Vec<u8>> = body.split_inclusive(is_sign).map(<[u8]>::to_vec).collect();
    if !tokens.is_empty() {
        let (one, two) = (rng.usize(..tokens.len()), rng.usize(..tokens.len()));
        tokens.swap(one, two);
        *body = tokens.concat();
    }
}

/// Changes the method or the headers.
pub fn head(case: &mut Case, rng: &mut Rng) {
    const METHODS: [&str; 8] =
        ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    const TYPES: [&str; 14] = [
        "",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        " application/json ;x",
        "application/json;",
        "application/json, text/plain",
        "application/jsonx",
        "application/ld+json",
        "text/json",
        "text/plain",
        "application",
        "*/*",
        ";",
        "application/jsön",
    ];
    const ENCODINGS: [&str; 6] = ["identity", "Identity", "gzip", "br", "", "identity, gzip"];
    const TOKENS: [&str; 20] = [
        "Bearer",
        "Bearer ",
        "bearer ada",
        "BEARER  ada ",
        "Bearer ada bob",
        "Bearer stranger",
        "Bearer banned",
        "Bearer lost",
        "Basic YWRhOg==",
        "ada",
        "",
        "Bearer Ünï",
        "Bearer\tada",
        "\tBearer ada\t",
        "Bearer:ada",
        "Bearer,ada",
        "Bearer=ada",
        "Bearers ada",
        "Bearer-x ada",
        "Bearer\u{a0}ada",
    ];
    const LENGTHS: [&str; 6] = ["0", "-1", "ten", "65537", "99999999999999999999999", "+1"];
    match rng.u8(..9) {
        0 => case.method = rng.choice(&METHODS).unwrap(),
        1 => case.headers[0].1 = (*rng.choice(&TYPES).unwrap()).to_owned(),
        2 => {
            case.headers.remove(0);
        }
        3 => add(case, "content-encoding", &ENCODINGS, rng),
        4 | 5 => add(case, "authorization", &TOKENS, rng),
        6 => add(case, "content-length", &LENGTHS, rng),
        7 => drop(case.body.splice(0..0, "\u{feff}".repeat(rng.usize(1..3)).into_bytes())),
        _ => case.body.resize(LIMIT + 1 + rng.usize(..1000), b' '),
    }
}

fn add(case: &mut Case, name: &'static str, values: &[&str], rng: &mut Rng) {
    case.headers.push((name, (*rng.choice(values).unwrap()).to_owned()));
}

/// A body that never was a request.
pub fn nonsense(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..4) {
        0 => {
            let length = rng.usize(..200);
            std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
        }
        1 => words::token(rng).into(),
        2 => {
            let signs = b"{}[],:\"\\ \n0-truefalsn.1eE";
            std::iter::repeat_with(|| *rng.choice(signs).unwrap()).take(100).collect()
        }
        _ => words::value(rng).write(rng).into_bytes(),
    }
}

//! The shape of answers, and what a sync may change.

use std::collections::HashSet;

use conformance::http::Answer;
use mobync::{Diff, Owner};
use serde_json::Value;

use super::{
    case::Case,
    expect::Sound,
    state::{Kept, State},
};

/// What is not as it should be, as a sentence.
pub type Verdict = Result<(), String>;

/// Fails with that sentence unless it is so.
fn holds(is_so: bool, otherwise: &str) -> Verdict {
    if is_so { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// The statuses and headers that the text has for each code.
fn head_of(code: &str) -> (u16, Option<(&'static str, &'static str)>) {
    match code {
        "invalid_json" | "invalid_request" | "invalid_diff" => (400, None),
        "unauthenticated" => (401, Some(("www-authenticate", "Bearer"))),
        "forbidden" | "no_member" | "other_owner" => (403, None),
        "method_not_allowed" => (405, Some(("allow", "POST"))),
        "clock_ahead" | "other_history" => (409, None),
        "payload_too_large" => (413, None),
        "unsupported_media_type" => (415, None),
        "unknown_model" | "unknown_field" => (422, None),
        "upgrade_required" => (426, None),
        "internal" => (500, None),
        "busy" => (503, Some(("retry-after", "1"))),
        other => panic!("the text has no code {other}"),
    }
}

/// A failure of that code, whole and in its shape.
pub fn failure(answer: &Answer, code: &str, case: &Case) -> Verdict {
    let (status, header) = head_of(code);
    if answer.status != status || (case.method != "HEAD" && answer.code() != code) {
        return Err(format!("the text says {status} {code}"));
    }
    let always = [("content-type", "application/json"), ("cache-control", "no-store")];
    let headers = always.into_iter().map(Some).chain([header]);
    let expected: HashSet<_> = headers.flatten().collect();
    let said = answer.headers.iter().filter(|(name, _)| name != "content-length");
    let said: HashSet<_> = said.map(|(name, value)| (&**name, &**value)).collect();
    holds(said == expected, "the headers are others")?;
    if case.method == "HEAD" {
        return Ok(());
    }

    let json = answer.json();
    let names: Vec<&str> =
        json.as_object().into_iter().flatten().map(|(name, _)| &**name).collect();
    let has_diff = names.contains(&"diff_id");
    let shape: &[&str] = match code {
        "upgrade_required" => &["code", "message", "min_schema", "success"],
        _ if has_diff => &["code", "diff_id", "message", "success"],
        _ => &["code", "message", "success"],
    };
    holds(
        names == shape && json["success"] == Value::Bool(false),
        "the failure has another shape",
    )?;
    let may_blame = matches!(code, "invalid_diff" | "unknown_model" | "unknown_field");
    holds(!has_diff || may_blame && json["diff_id"].is_string(), "no diff is to blame")?;
    holds(has_diff || !code.starts_with("unknown"), "a diff is to blame")?;
    sentence(&json["message"])
}

/// A sentence for a person, with nothing of the inside.
fn sentence(message: &Value) -> Verdict {
    const INSIDE: [&str; 14] = [
        "panick",
        "src/",
        ".rs:",
        "sqlx",
        "serde",
        "thread",
        "RawValue",
        "struct ",
        "Some(",
        "Err(",
        "mobync::",
        "on fire",
        "in use",
        "table of users",
    ];
    let message = message.as_str().unwrap_or_default();
    let begins = message.starts_with(|letter: char| letter.is_uppercase() || letter.is_numeric());
    holds(begins, "the message is no sentence")?;
    holds(message.ends_with('.'), "the message does not end")?;
    holds(message.chars().count() < 1000, "the message is too long")?;
    holds(!INSIDE.iter().any(|inside| message.contains(inside)), "the message tells of the inside")
}

/// A success in its shape, at that clock.
pub fn success(answer: &Answer, owner: &Owner, clock: i64) -> Verdict {
    holds(answer.status == 200, "the text says 200")?;
    holds(answer.header("cache-control") == Some("no-store"), "it may be kept")?;
    let json = answer.json();
    let mut names: Vec<&str> =
        json.as_object().into_iter().flatten().map(|(name, _)| &**name).collect();
    let refused = json.get("refused").and_then(Value::as_array);
    names.retain(|name| *name != "refused" || refused.is_none_or(Vec::is_empty));
    names.retain(|name| !matches!(*name, "head" | "more" | "check" | "owner"));
    holds(names == ["diffs", "logical_clock", "message", "success"], "it has other members")?;
    holds(json["success"] == Value::Bool(true), "it is no success")?;
    holds(json["logical_clock"] == clock, &format!("the clock must be {clock}"))?;
    if json["message"] != "" {
        sentence(&json["message"])?;
    }
    for refused in refused.into_iter().flatten() {
        holds(refused["code"] == "forbidden", "it is refused for another reason")?;
        sentence(&refused["message"])?;
    }

    let diffs = diffs(answer)?;
    holds(diffs.iter().map(Diff::order).is_sorted(), "the diffs are not in their order")?;
    for diff in &diffs {
        holds(diff.owner == owner.as_str(), "a diff is somebody else's")?;
        holds((0..clock.max(1)).contains(&diff.logical_clock), "a diff is of no tick")?;
        holds(diff.utc_timestamp >= 0, "a diff is of no time")?;
        let data: Value = serde_json::from_str(&diff.json_data).unwrap_or_default();
        holds(data["id"].is_string(), "a diff is of no object")?;
    }
    Ok(())
}

/// A success of that request, and what it has changed.
pub fn sound(answer: &Answer, sound: &Sound, before: &State, after: &State) -> Verdict {
    let clock = before.get(&sound.owner).map_or(0, |kept| kept.clock);
    let clock = clock + i64::from(sound.new > 0);
    let clock = sound.page.map_or(clock, |(end, _)| end);
    success(answer, &sound.owner, clock)?;
    asked(answer, sound, clock, after)?;
    changed(sound, before, after)
}

/// A head and the clock of what is behind a page are there where they are asked for, and nowhere else.
fn asked(answer: &Answer, sound: &Sound, clock: i64, after: &State) -> Verdict {
    let json = answer.json();
    let owner = sound.asks_for_owner.then(|| Value::from(sound.owner.as_str()));
    holds(json.get("owner") == owner.as_ref(), "the owner is told, or is not")?;
    let more = sound.page.map_or(Value::Null, |(_, now)| now.into());
    holds(json.get("more").unwrap_or(&Value::Null) == &more, "there is more, or is not")?;
    let Some(head) = json.get("head") else {
        return holds(!sound.asks_for_head || clock == sound.since, "there is no head");
    };
    holds(sound.asks_for_head && clock > sound.since, "there is a head")?;
    let is_head = |entry: &Diff| *head == *entry.id && entry.logical_clock == clock - 1;
    let log = after.get(&sound.owner).map(|kept| &kept.log);
    holds(log.is_some_and(|log| log.iter().any(is_head)), "the head is not in the log")
}

/// The diffs of an answer, which must have exactly the seven members.
pub fn diffs(answer: &Answer) -> Result<Vec<Diff>, String> {
    let json = answer.json();
    let diffs = json["diffs"].as_array().cloned().unwrap_or_default();
    let whole = diffs.iter().all(|diff| diff.as_object().is_some_and(|diff| diff.len() == 7));
    holds(whole, "a diff has not seven members")?;
    serde_json::from_value(diffs.into()).map_err(|error| error.to_string())
}

/// What a success has changed: its owner's log by one entry for each new diff, and nobody else's.
fn changed(sound: &Sound, before: &State, after: &State) -> Verdict {
    let others = |state: &State| {
        let mut others = state.clone();
        others.remove(&sound.owner);
        others
    };
    holds(others(before) == others(after), "another owner's data have changed")?;
    let empty = Kept::default();
    let of = |state: &State| state.get(&sound.owner).unwrap_or(&empty).clone();
    let (before, after) = (of(before), of(after));
    if sound.new == 0 {
        return holds(before == after, "there was nothing new, and something has changed");
    }
    holds(after.clock == before.clock + 1, "the clock has not advanced by one")?;
    holds(after.log.starts_with(&before.log), "the log's past has changed")?;
    let added = &after.log[before.log.len()..];
    let ids: HashSet<&str> = after.log.iter().map(|entry| &*entry.id).collect();
    holds(ids.len() == after.log.len(), "an id is twice in the log")?;
    let added_ids: HashSet<&str> = added.iter().map(|entry| &*entry.id).collect();
    let logged = sound.ids.iter().filter(|id| added_ids.contains(&***id)).count();
    holds(logged == sound.new, "not each new diff is in the log")?;
    let minted = added.iter().filter(|entry| !sound.ids.contains(&entry.id));
    let all_minted = minted.clone().all(|entry| super::state::is_minted(entry.id.as_bytes()));
    holds(all_minted && minted.count() <= sound.new, "something else is in the log")?;
    let is_of =
        |entry: &Diff| (entry.logical_clock, &*entry.owner) == (before.clock, sound.owner.as_str());
    holds(added.iter().all(is_of), "an entry is of another tick or owner")
}

/// A new device gets one create for each object, with the fields that are in its row.
pub fn new_device(answer: &Answer, owner: &Owner, kept: &Kept) -> Verdict {
    success(answer, owner, kept.clock)?;
    let mut got: Vec<(String, Value)> = Vec::new();
    for diff in diffs(answer)? {
        holds(
            diff.operation == mobync::Operation::Create,
            "a new device gets another diff than a create",
        )?;
        got.push((diff.model, serde_json::from_str(&diff.json_data).unwrap_or_default()));
    }
    let rows = kept.rows.iter().flat_map(|(model, rows)| {
        rows.iter().map(|row| ((*model).to_owned(), Value::from(row.clone())))
    });
    let mut rows: Vec<_> = rows.collect();
    for list in [&mut got, &mut rows] {
        list.sort_by_cached_key(|(model, data)| (model.clone(), data["id"].to_string()));
    }
    holds(got == rows, "a new device gets other objects than there are")
}

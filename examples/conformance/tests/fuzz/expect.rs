//! What the protocol's text says of a request, read once more and with other means than the library's.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use conformance::application;
use mobync::{Grant, Owner, http::AuthError};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    case::Case,
    servers::{LIMIT, MODELS, MOST_DIFFS},
    state::{Kept, State},
};

/// A request that has to be answered with 200.
#[derive(Debug)]
pub struct Sound {
    pub owner: Owner,
    /// The ids of its diffs, each once.
    pub ids: Vec<String>,
    /// How many of them the log does not have.
    pub new: usize,
    /// The clock that it has.
    pub since: i64,
    /// Whether it asks for a head.
    pub asks_for_head: bool,
    /// Whether it asks for the owner.
    pub asks_for_owner: bool,
    /// Where its page ends, and the clock then, if it gets one that is not all.
    pub page: Option<(i64, i64)>,
}

/// A request that is not refused as a whole.
#[derive(Debug)]
pub enum Expected {
    One(Sound),
    Several(Vec<Part>),
}

/// One of several requests.
#[derive(Debug)]
pub struct Part {
    token: String,
    space: Option<String>,
    /// It alone, as it was sent.
    pub text: String,
}

impl Part {
    /// What the auth closure says of its space, which is never the person's own data.
    pub fn granted(&self) -> Result<Grant, AuthError> {
        let granted = application::grant(&self.token, self.space.as_deref())?;
        let own = application::grant(&self.token, None);
        if self.space.is_some() && own.is_ok_and(|own| own.owner() == granted.owner()) {
            return Err(AuthError::no_member("You are not a member of this space."));
        }
        Ok(granted)
    }

    /// Whether it would be several itself.
    pub fn is_several(&self) -> bool {
        members(&self.text).is_some_and(|member| is_there(&member, "syncs"))
    }
}

/// A request as the text takes it apart, or the code of the first check that fails.
pub fn read(case: &Case, state: &State) -> Result<Expected, &'static str> {
    check_head(case)?;
    let token = header_token(case);
    let mut own = token.as_deref().map(person);
    if let Some(Err(code)) = own
        && code != "no_member"
    {
        return Err(code);
    }
    // Nobody knows yet whether there are spaces.
    let sooner = |code| if own == Some(Err("no_member")) { "no_member" } else { code };
    if case.body.len() > LIMIT {
        return Err(sooner("payload_too_large"));
    }
    let text = std::str::from_utf8(&case.body).map_err(|_| sooner("invalid_json"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !is_strict(text) {
        return Err(sooner("invalid_json"));
    }
    let body = members(text);
    let token = token.or_else(|| string(body.as_ref()?.get("auth_token")?)).unwrap_or_default();
    let own = own.take().unwrap_or_else(|| person(&token));
    match &body {
        Some(body) if is_there(body, "syncs") && matches!(own, Ok(_) | Err("no_member")) => {
            several(body, &token).map(Expected::Several)
        }
        _ => sync(text, &own?, state).map(Expected::One),
    }
}

/// Several requests in one, or what is wrong with them as a whole.
fn several(body: &Members<'_>, token: &str) -> Result<Vec<Part>, &'static str> {
    if is_there(body, "logical_clock") || is_there(body, "diffs") {
        return Err("invalid_request");
    }
    let syncs = body.get("syncs").and_then(|syncs| list(syncs)).ok_or("invalid_request")?;
    if syncs.len() > 100 {
        return Err("payload_too_large");
    }
    let (mut parts, mut spaces, mut count) = (Vec::new(), BTreeSet::new(), 0);
    for text in syncs {
        let member = members(text.get()).ok_or("invalid_request")?;
        let space = optional(&member, "space", string)?;
        if space.as_ref().is_some_and(|space| !is_name(space)) || !spaces.insert(space.clone()) {
            return Err("invalid_request");
        }
        let diffs = member.get("diffs").and_then(|diffs| list(diffs));
        count += diffs.map_or(0, |diffs| diffs.len());
        parts.push(Part { token: token.to_owned(), space, text: text.to_string() });
    }
    if count > MOST_DIFFS { Err("payload_too_large") } else { Ok(parts) }
}

/// One request of that owner.
pub fn sync(text: &str, owner: &Owner, state: &State) -> Result<Sound, &'static str> {
    let body = members(text).ok_or("invalid_request")?;
    if is_there(&body, "syncs") {
        return Err("invalid_request");
    }
    let clock = body.get("logical_clock").and_then(|clock| read_clock(clock));
    let clock = clock.ok_or("invalid_request")?;
    let head = optional(&body, "head", string)?;
    let whose = optional(&body, "owner", string)?;
    let limit = optional(&body, "limit", |text| natural(text).filter(|limit| *limit > 0))?;
    let schema = optional(&body, "schema", |text| natural(text).filter(|schema| *schema > 0))?;
    for flag in ["report", "check"] {
        optional(&body, flag, |text| text.parse::<bool>().ok())?;
    }
    let diffs = body.get("diffs").and_then(|diffs| list(diffs)).ok_or("invalid_request")?;
    if diffs.len() > MOST_DIFFS {
        return Err("payload_too_large");
    }
    let mut first: HashMap<String, Diff> = HashMap::new();
    let mut order = Vec::new();
    for diff in diffs {
        let diff = Diff::read(diff.get()).ok_or("invalid_diff")?;
        match first.get(&diff.id) {
            Some(first) if *first == diff => {}
            Some(_) => return Err("invalid_diff"),
            None => {
                order.push(diff.id.clone());
                first.insert(diff.id.clone(), diff);
            }
        }
    }

    let asks_for_owner = whose.is_some();
    if whose.is_some_and(|whose| !whose.is_empty() && whose != owner.as_str()) {
        return Err("other_owner");
    }
    if schema == Some(1) {
        return Err("upgrade_required");
    }
    match owner.as_str() {
        "busy" => return Err("busy"),
        "failing" => return Err("internal"),
        _ => {}
    }
    let empty = Kept::default();
    let kept = state.get(owner).unwrap_or(&empty);
    if clock > kept.clock {
        return Err("clock_ahead");
    }
    let asks_for_head = head.is_some();
    if let Some(head) = head.filter(|head| clock > 0 && !head.is_empty()) {
        let mut before = kept.log.iter().filter(|entry| entry.logical_clock == clock - 1);
        if !before.any(|entry| entry.id == head) {
            return Err("other_history");
        }
    }
    let limit = limit.filter(|_| order.is_empty());
    let page = limit.and_then(|limit| page_end(kept, clock, limit)).map(|end| (end, kept.clock));
    let new: Vec<&Diff> =
        order.iter().filter(|id| !kept.knows(id)).filter_map(|id| first.get(id)).collect();
    new.iter().try_for_each(|diff| diff.check_schema())?;
    let new = new.len();
    let owner = owner.clone();
    Ok(Sound { owner, ids: order, new, since: clock, asks_for_head, asks_for_owner, page })
}

/// The tick of the first entry behind a page of at most so many, or of one tick that has more.
fn page_end(kept: &Kept, clock: i64, limit: i64) -> Option<i64> {
    let ticks = kept.log.iter().map(|entry| entry.logical_clock).filter(|tick| *tick >= clock);
    let mut ticks: Vec<i64> = ticks.collect();
    ticks.sort_unstable();
    let tick = *ticks.get(usize::try_from(limit).unwrap())?;
    ticks.iter().copied().find(|next| *next >= tick && *next > ticks[0])
}

/// A member that may be missing, or null.
fn optional<T>(
    body: &Members<'_>,
    name: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, &'static str> {
    match body.get(name) {
        None | Some(&"null") => Ok(None),
        Some(text) => read(text).map(Some).ok_or("invalid_request"),
    }
}

fn check_head(case: &Case) -> Result<(), &'static str> {
    if case.method != "POST" {
        return Err("method_not_allowed");
    }
    let media_type = case.header("content-type").unwrap_or_default();
    let essence = media_type.split_once(';').map_or(media_type, |(essence, _)| essence);
    if !essence.trim_matches([' ', '\t']).eq_ignore_ascii_case("application/json")
        || case.headers_of("content-encoding").any(|value| !value.eq_ignore_ascii_case("identity"))
    {
        return Err("unsupported_media_type");
    }
    let announced = case.header("content-length").and_then(|length| length.parse().ok());
    if announced.unwrap_or(0) > LIMIT { Err("payload_too_large") } else { Ok(()) }
}

/// A Bearer header wins, even without a token in it; a header of another scheme does not. Two of them
/// are as one without a token.
fn header_token(case: &Case) -> Option<String> {
    let blank = [' ', '\t'];
    let tokens = case.headers_of("authorization").filter_map(|value| {
        let value = value.trim_matches(blank);
        let is_of_scheme =
            value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
        let token = value.get(6..).filter(|_| is_of_scheme)?;
        match token.chars().next() {
            Some(' ' | '\t') => Some(token.trim_matches(blank)),
            Some(more) if more.is_ascii_alphanumeric() => None,
            Some('!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '.') => None,
            Some('^' | '_' | '`' | '|' | '~') => None,
            _ => Some(""),
        }
    });
    let tokens: Vec<&str> = tokens.collect();
    match *tokens {
        [] => None,
        [token] => Some(token.to_owned()),
        _ => Some(String::new()),
    }
}

fn person(token: &str) -> Result<Owner, &'static str> {
    if token.is_empty() {
        return Err("unauthenticated");
    }
    application::grant(token, None).map(Grant::into_owner).map_err(|error| code(&error))
}

pub fn code(error: &AuthError) -> &'static str {
    match error {
        AuthError::Unauthenticated(_) => "unauthenticated",
        AuthError::Forbidden(_) => "forbidden",
        AuthError::NoMember(_) => "no_member",
        _ => "internal",
    }
}

/// Whether there is such a member that is not null.
fn is_there(body: &Members<'_>, name: &str) -> bool {
    body.get(name).is_some_and(|value| *value != "null")
}

fn list(text: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text).ok()
}

#[derive(Debug, PartialEq)]
struct Diff {
    id: String,
    at: i64,
    kind: String,
    model: String,
    data: String,
}

impl Diff {
    /// Its owner and logical clock must be right, and are ignored.
    fn read(text: &str) -> Option<Self> {
        let diff = members(text)?;
        let name = |name| string(diff.get(name)?).filter(|name| is_name(name));
        let natural = |name| natural(diff.get(name)?);
        string(diff.get("owner")?)?;
        natural("logical_clock")?;
        let kind = string(diff.get("type")?)?;
        let data = string(diff.get("json_data")?)?;
        let is_strict = is_strict(&data);
        let object = if is_strict { string(members(&data)?.get("id")?) } else { None };
        object.filter(|id| is_name(id))?;
        let is_kind = matches!(&*kind, "create" | "update" | "delete");
        let (id, model) = (name("id")?, name("model")?);
        is_kind.then_some(Self { id, at: natural("utc_timestamp")?, kind, model, data })
    }

    fn check_schema(&self) -> Result<(), &'static str> {
        let model = MODELS.iter().find(|(model, _)| *model == self.model);
        let (_, fields) = model.ok_or("unknown_model")?;
        let data = members(&self.data).unwrap_or_default();
        let has = |field: &String| field == "id" || fields.contains(&&**field);
        if self.kind == "delete" || data.keys().all(has) { Ok(()) } else { Err("unknown_field") }
    }
}

fn is_name(name: &str) -> bool {
    !name.contains('\0') && matches!(name.len(), 1..=1024)
}

fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// An integer from 0 to 2^63 − 1; -0 is none.
fn natural(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| !text.starts_with('-'))
}

fn read_clock(text: &str) -> Option<i64> {
    match string(text) {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => natural(&digits),
        Some(_) => None,
        None => natural(text),
    }
}

/// The members of an object, as they are written.
type Members<'a> = BTreeMap<String, &'a str>;

fn members(text: &str) -> Option<Members<'_>> {
    let Pairs(pairs) = serde_json::from_str(text).ok()?;
    Some(pairs.into_iter().map(|(name, value)| (name, value.get())).collect())
}

/// Whether every reader takes this text in the same way.
fn is_strict(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok() && is_unambiguous(text.trim_ascii())
}

/// Of JSON: whether it has no member twice and no integer beyond 64 bits.
fn is_unambiguous(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'{') => {
            let Ok(Pairs(pairs)) = serde_json::from_str(text) else { return false };
            let names: BTreeSet<&String> = pairs.iter().map(|(name, _)| name).collect();
            names.len() == pairs.len() && pairs.iter().all(|(_, value)| is_unambiguous(value.get()))
        }
        Some(b'[') => {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else { return false };
            items.iter().all(|item| is_unambiguous(item.get()))
        }
        Some(b'-' | b'0'..=b'9') if !text.contains(['.', 'e', 'E']) => text.parse::<i64>().is_ok(),
        _ => true,
    }
}

/// All members of an object, also those that are there twice.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

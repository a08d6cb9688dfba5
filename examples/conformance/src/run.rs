//! Plays a scenario against a server, and compares its answers.

use std::{
    collections::BTreeMap,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Scenario, Step,
    http::{Answer, Connection, Request},
};

/// The greatest allowed difference between a server's clock and this machine's, in milliseconds.
const CLOCK_TOLERANCE: u64 = 10 * 60 * 1000;

/// A difference between a scenario and a server.
#[derive(Debug)]
pub struct Failure {
    /// The step, from 1.
    pub step: usize,
    /// What is different, and where.
    pub reason: String,
    /// What the server answered, if it did.
    pub answer: Option<Answer>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: {}", self.step, self.reason)?;
        match &self.answer {
            Some(answer) => {
                write!(f, "\n  {} {}", answer.status, String::from_utf8_lossy(&answer.body))
            }
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// Plays a scenario for new owners, against the server at this address (`host:port`) and path.
///
/// Returns the answers, with placeholders for values that the server chose, so that they can be
/// compared.
///
/// # Errors
/// [`Failure`] at the first step whose answer is not as expected.
pub fn run(address: &str, path: &str, scenario: &Scenario) -> Result<Vec<Answer>, Failure> {
    let mut names = Names::new();
    let mut answers = Vec::new();
    for (place, step) in scenario.steps.iter().enumerate() {
        let fail = |reason, answer| Failure { step: place + 1, reason, answer };
        let request = request(step, path, &names);
        let answer = Connection::open(address)
            .and_then(|mut connection| connection.send(&request))
            .map_err(|error| fail(format!("no answer: {error}"), None))?;
        match compare(step, &answer, &mut names) {
            Ok(()) => answers.push(answer),
            Err(reason) => return Err(fail(reason, Some(answer))),
        }
    }
    Ok(answers.into_iter().map(|answer| names.mask(answer)).collect())
}

fn request(step: &Step, path: &str, names: &Names) -> Request {
    let mut body = match &step.request {
        Some(request) => names.fill(&encode(request, step.token.as_deref(), names).to_string()),
        None => names.fill(&step.body),
    };
    body.extend(std::iter::repeat_n(' ', step.padding));
    let mut headers = BTreeMap::from([("content-type", Some("application/json"))]);
    headers.extend(step.headers.iter().map(|(name, value)| (&**name, value.as_deref())));
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Request {
        method: step.method.clone(),
        path: path.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), names.fill(value))).collect(),
        body: body.into_bytes(),
    }
}

/// The request as it is sent: with a token, complete diffs, and `json_data` as a string.
fn encode(request: &Value, token: Option<&str>, names: &Names) -> Value {
    let mut request = request.clone();
    if let (Value::Object(members), Some(token)) = (&mut request, token) {
        members.entry("auth_token").or_insert_with(|| json!(names.fill(token)));
    }
    encode_diffs(&mut request);
    for member in request.get_mut("syncs").and_then(Value::as_array_mut).into_iter().flatten() {
        encode_diffs(member);
    }
    request
}

fn encode_diffs(request: &mut Value) {
    let clock = request.get("logical_clock").cloned().unwrap_or_else(|| json!(0));
    for diff in request.get_mut("diffs").and_then(Value::as_array_mut).into_iter().flatten() {
        let Value::Object(diff) = diff else { continue };
        if let Some(data @ Value::Object(_)) = diff.get_mut("json_data") {
            *data = json!(data.to_string());
        }
        diff.entry("owner").or_insert_with(|| json!(""));
        diff.entry("logical_clock").or_insert_with(|| clock.clone());
    }
}

fn compare(step: &Step, answer: &Answer, names: &mut Names) -> Result<(), String> {
    if answer.status != step.status {
        return Err(format!("the status is {}, not {}", answer.status, step.status));
    }
    if answer.header("content-type") != Some("application/json") {
        return Err("the content-type is not application/json".to_owned());
    }
    for (name, value) in &step.answer_headers {
        if answer.header(name) != Some(value) {
            return Err(format!("the header {name} is {:?}, not {value:?}", answer.header(name)));
        }
    }
    match &step.answer {
        Some(expected) => agree("the answer", expected, &answer.json(), names),
        None => Ok(()),
    }
}

/// Compares a part of the answer with the expected one; `place` is its path in the answer.
fn agree(place: &str, expected: &Value, actual: &Value, names: &mut Names) -> Result<(), String> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            agree_members(place, expected, actual, names)
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (number, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                agree(&format!("{place}[{number}]"), expected, actual, names)?;
            }
            Ok(())
        }
        (Value::String(placeholder), actual) if names.takes(placeholder, actual) => Ok(()),
        _ if expected == actual => Ok(()),
        _ => Err(format!("{place} is {actual}, not {expected}")),
    }
}

fn agree_members(
    place: &str,
    expected: &Map<String, Value>,
    actual: &Map<String, Value>,
    names: &mut Names,
) -> Result<(), String> {
    for (name, actual) in actual {
        let place = format!("{place}.{name}");
        match expected.get(name) {
            Some(data @ Value::Object(_)) if name == "json_data" => {
                let decoded = actual.as_str().and_then(|text| serde_json::from_str(text).ok());
                agree(&place, data, &decoded.unwrap_or_default(), names)?;
            }
            Some(expected) => agree(&place, expected, actual, names)?,
            // A message for people may be any sentence.
            None if name == "message"
                && actual.as_str().is_some_and(|text| text.ends_with('.')) => {}
            None => return Err(format!("{place} is {actual}, but must not be there")),
        }
    }
    match expected.keys().find(|name| !actual.contains_key(*name)) {
        Some(name) => Err(format!("{place}.{name} is missing")),
        None => Ok(()),
    }
}

/// The values of placeholders.
struct Names {
    known: BTreeMap<String, String>,
}

impl Names {
    fn new() -> Self {
        let known =
            ["{owner}", "{other}"].map(|name| (name.to_owned(), Uuid::now_v7().to_string()));
        Self { known: known.into() }
    }

    fn fill(&self, text: &str) -> String {
        let fill = |text: String, (name, value): (&String, &String)| text.replace(name, value);
        self.known.iter().fold(text.to_owned(), fill)
    }

    /// Whether the placeholder can have this value. If it had none before, it has this value from now
    /// on.
    fn takes(&mut self, placeholder: &str, actual: &Value) -> bool {
        let kind = placeholder.trim_matches(['{', '}']).split(':').next().unwrap_or_default();
        let value = match (kind, actual) {
            ("now", Value::Number(millis)) if millis.as_u64().is_some_and(is_now) => {
                millis.to_string()
            }
            ("id", Value::String(id)) if !id.is_empty() => id.clone(),
            ("any", Value::String(_)) => return true,
            ("owner" | "other", Value::String(owner)) => owner.clone(),
            _ => return false,
        };
        *self.known.entry(placeholder.to_owned()).or_insert_with(|| value.clone()) == value
    }

    /// The answer, with placeholders instead of their values.
    fn mask(&self, mut answer: Answer) -> Answer {
        let mut body = String::from_utf8_lossy(&answer.body).into_owned();
        for (name, value) in &self.known {
            body = body.replace(value, name);
        }
        answer.body = body.into_bytes();
        answer
    }
}

fn is_now(millis: u64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u128::from(millis).abs_diff(now) <= u128::from(CLOCK_TOLERANCE)
}

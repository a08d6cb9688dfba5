//! A scenario: what devices send, and the answers that they must get. Read from files.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::Deserialize;
use serde_json::Value;

/// A few requests in their order, with their answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A sentence of the protocol.
    pub name: String,
    /// The requests and answers.
    pub steps: Vec<Step>,
}

/// One request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The device that sends it, as information for the reader.
    #[serde(default)]
    pub device: String,
    /// The method; POST if it is missing.
    #[serde(default = "post")]
    pub method: String,
    /// Headers. `content-type: application/json` is added, unless another value or null is given.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    /// The `auth_token` of the request; `{owner}` if it is missing, no token if it is null.
    #[serde(default = "owner")]
    pub token: Option<String>,
    /// The body, as JSON.
    #[serde(default)]
    pub request: Option<Value>,
    /// The body as text, if it is not such JSON.
    #[serde(default)]
    pub body: String,
    /// The number of spaces after the body.
    #[serde(default)]
    pub padding: usize,
    /// The status of the answer; 200 if it is missing.
    #[serde(default = "ok")]
    pub status: u16,
    /// Headers that the answer must have.
    #[serde(default)]
    pub answer_headers: BTreeMap<String, String>,
    /// The answer's JSON; if it is missing, any answer is correct.
    #[serde(default)]
    pub answer: Option<Value>,
}

fn post() -> String {
    "POST".to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "a default of serde's")]
fn owner() -> Option<String> {
    Some("{owner}".to_owned())
}

const fn ok() -> u16 {
    200
}

impl Scenario {
    /// All scenarios of the folder's files, in the order of the files' names.
    ///
    /// # Errors
    /// If a file cannot be read, or has no list of scenarios.
    pub fn read_all(folder: &Path) -> io::Result<Vec<Self>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            files.push(entry?.path());
        }
        files.sort();
        let mut scenarios = Vec::new();
        for file in files.iter().filter(|file| file.extension().is_some_and(|ext| ext == "json")) {
            let read: Vec<Self> = serde_json::from_slice(&fs::read(file)?)
                .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?;
            scenarios.extend(read);
        }
        Ok(scenarios)
    }

    /// The scenarios of this crate.
    ///
    /// # Errors
    /// As [`read_all`](Self::read_all).
    pub fn all() -> io::Result<Vec<Self>> {
        Self::read_all(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")))
    }
}

//! Servers that break a rule, to check that they are found out.

use bytes::Bytes;
use serde_json::{Value, json};

use super::club::Flaw;

/// A plain request as an older server reads it.
pub fn older(body: &str) -> String {
    let Ok(mut json) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    json.as_object_mut().and_then(|plain| plain.remove("owner"));
    json.to_string()
}

/// The parts of a request, as those of a server that ignores the space.
pub fn plain(body: &str) -> Vec<String> {
    let json: Value = serde_json::from_str(body).unwrap();
    let parts = json["syncs"].as_array().cloned().unwrap_or_default();
    parts.into_iter().map(|part| part.to_string()).collect()
}

/// Answers as one.
pub fn several(parts: Vec<(u16, Bytes)>) -> Bytes {
    let parts = parts.into_iter().map(|(status, body)| {
        let mut json: Value = serde_json::from_slice(&body).unwrap();
        json["status"] = status.into();
        json
    });
    Bytes::from(json!({"success": true, "syncs": parts.collect::<Vec<_>>()}).to_string())
}

/// The answer of a server with that flaw.
pub fn answer(body: Bytes, flaw: Flaw) -> Bytes {
    if !matches!(flaw, Flaw::OneFailsAll | Flaw::AnswersAreSwapped) {
        return body;
    }
    let Ok(mut json) = serde_json::from_slice::<Value>(&body) else { return body };
    let Some(parts) = json.get_mut("syncs").and_then(Value::as_array_mut) else { return body };
    match flaw {
        Flaw::AnswersAreSwapped => parts.reverse(),
        _ => {
            let failed = parts.iter().find(|part| part["success"] == json!(false)).cloned();
            if let Some(failed) = failed {
                parts.fill(failed);
            }
        }
    }
    Bytes::from(json.to_string())
}

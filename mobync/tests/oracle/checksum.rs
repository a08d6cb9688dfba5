//! Checksums as in section "Is the copy right?" of the protocol, of values that were already read.

use super::Objects;
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Count, ids and values of each model of these objects.
pub fn of(objects: &Objects) -> BTreeMap<String, (u64, u64, u64)> {
    let mut sums: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for ((model, id), fields) in objects {
        let (count, ids, values) = sums.entry(model.clone()).or_default();
        *count += 1;
        *ids ^= hash(id);
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            *values ^= hash(&format!("{id}\0{name}\0{}", canonical(value)));
        }
    }
    sums
}

fn hash(text: &str) -> u64 {
    let hash: [u8; 32] = Sha256::digest(text).into();
    hash[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn canonical(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => of_number(number),
        Value::String(text) => of_text(text),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", values.join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_bytes());
            let member = |(name, value): (&String, &Value)| {
                format!("{}:{}", of_text(name), canonical(value))
            };
            let members: Vec<String> = members.into_iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

fn of_number(number: &Number) -> String {
    if let Some(integer) = number.as_i64() {
        return integer.to_string();
    }
    let float = number.as_f64().expect("a number");
    let is_integer = float.trunc() == float && float >= -(2_f64.powi(63)) && float < 2_f64.powi(63);
    if is_integer {
        format!("{float:.0}").replace("-0", "0")
    } else {
        format!("f{:016x}", float.to_bits())
    }
}

fn of_text(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|it| match it {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            it if it < ' ' => format!("\\u{:04x}", it as u32),
            it => it.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

//! JSON that every reader takes in the same way.
//!
//! `serde_json` takes the last of two members of one name, turns integers beyond 64 bits into floats,
//! and passes over what it is told to ignore. A synced value must mean the same in every language.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

/// Checks that `text` is one JSON value without duplicate members, lone surrogates, integers beyond
/// signed 64 bits, floats that overflow, or nesting deeper than 127.
///
/// # Errors
/// What is wrong, as the end of a sentence, with line and column.
pub(super) fn check(text: &str) -> Result<(), String> {
    check_integers(text)?;
    match serde_json::from_str::<Strict>(text) {
        Ok(Strict) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Looks at the tokens of numbers outside of strings; whether all is JSON is not its business.
fn check_integers(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = behind_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let is_part =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let rest = text.get(at..).unwrap_or_default();
                let length = rest.bytes().take_while(is_part).count();
                let token = rest.get(..length).unwrap_or_default();
                let is_integer = token.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9'));
                if is_integer && length > 18 && token.parse::<i64>().is_err() {
                    return Err("an integer does not fit into 64 bits".to_owned());
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// The place behind the string that begins at `at`.
fn behind_string(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// Any JSON value, looked at in all its parts and then forgotten.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while let Some(Strict) = seq.next_element()? {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while map.next_key_seed(Name(&mut names))?.is_some() {
            let Strict = map.next_value()?;
        }
        Ok(self)
    }
}

/// A member's name, which must be new among those of its object.
struct Name<'n>(&'n mut HashSet<Box<str>>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<(), E> {
        if self.0.insert(name.into()) {
            return Ok(());
        }
        Err(E::custom(format_args!(
            "the member \"{}\" is there twice",
            crate::error::shorten(name)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_every_reader_takes_alike_passes() {
        for text in [
            "null",
            "-0",
            "[1.5, -9223372036854775808, 9223372036854775807]",
            r#"{"a": {"a": 1}, "b": "\ud83d\ude00 \" 99999999999999999999"}"#,
            "1e308",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_readers_could_take_differently_fails() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for (text, why) in [
            ("", "EOF"),
            ("NaN", "expected"),
            ("1 2", "trailing"),
            (r#"{"a": 1, "a": 1}"#, "twice"),
            (r#"[{"a": {"b": 1, "\u0062": 2}}]"#, "\"b\" is there twice"),
            (r#""\ud800""#, "hex escape"),
            (r#"{"x": "\udc00"}"#, "surrogate"),
            ("9223372036854775808", "64 bits"),
            ("[-9223372036854775809]", "64 bits"),
            ("123456789012345678901234567890", "64 bits"),
            ("1e999", "out of range"),
            ("\"\u{1}\"", "control character"),
            (&deep, "recursion limit"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}

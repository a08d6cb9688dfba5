//! JSON that every parser reads in the same way.
//!
//! `serde_json` takes the last of two members with the same name, turns integers beyond 64 bits into
//! floats, and does not check values that it ignores. A synced value must mean the same in every
//! language.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

use crate::hash::HashSet;

/// Integers with at most this number of digits fit into 64 bits, and are not checked.
const SAFE_DIGITS: usize = 18;

/// Objects with more members than this use a hash set for the names.
pub(crate) const FEW: usize = 16;

/// Reads `text`, if it is one JSON value without duplicate members, lone surrogates, integers beyond
/// signed 64 bits, floats that overflow, or nesting deeper than 127.
///
/// # Errors
/// The reason, as the end of a sentence, with line and column.
pub(crate) fn read<'a, T: FromJson<'a>>(text: &'a str) -> Result<T, String> {
    if has_long_number(text.as_bytes()) {
        check_integers(text)?;
    }
    match serde_json::from_str(text) {
        Ok(Json(value)) => Ok(value),
        Err(_) if text.trim_ascii().is_empty() => Err("it is empty".to_owned()),
        Err(error) if error.is_eof() => {
            Err(error.to_string().replace("EOF while parsing", "it ends inside"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Checks that `text` is one JSON value that every parser reads in the same way.
///
/// # Errors
/// As [`read`].
pub(crate) fn check(text: &str) -> Result<(), String> {
    read::<Value<'_>>(text).map(drop)
}

/// Whether the JSON text of one value, which is valid except for what [`check`] tests, is so simple
/// that it passes.
pub(crate) fn is_plain(value: &str) -> bool {
    match value.as_bytes() {
        [b'"', text @ ..] => !text.contains(&b'\\'),
        [b't' | b'f' | b'n', ..] => true,
        number => {
            number.len() <= SAFE_DIGITS
                && number.iter().all(|byte| matches!(byte, b'-' | b'.' | b'0'..=b'9'))
        }
    }
}

/// Whether there are more consecutive digits than [`SAFE_DIGITS`], even in a string. Only every n-th
/// byte is tested: a sequence that long includes one of them.
pub(crate) fn has_long_number(bytes: &[u8]) -> bool {
    let mut at = SAFE_DIGITS;
    while let Some((before, behind)) = bytes.split_at_checked(at) {
        let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            let before = before.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            if before + digits > SAFE_DIGITS {
                return true;
            }
        }
        at += digits + SAFE_DIGITS + 1;
    }
    false
}

/// Checks the number tokens outside of strings, not whether the text is JSON.
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
                if is_integer && length > SAFE_DIGITS && token.parse::<i64>().is_err() {
                    return Err(
                        "an integer does not fit into 64 bits; send it as a string".to_owned()
                    );
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// The index after the string that begins at `at`.
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

/// A JSON value: keeps strings, integers and booleans; of any other value only its presence.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Text(Cow<'a, str>),
    Integer(i64),
    Other,
}

/// A type that can be built from any JSON value while all its parts are checked.
pub(crate) trait FromJson<'a>: Sized {
    fn of_value(value: Value<'a>) -> Self;

    fn of_array<A: SeqAccess<'a>>(mut array: A) -> Result<Self, A::Error> {
        while array.next_element::<Json<Value<'_>>>()?.is_some() {}
        Ok(Self::of_value(Value::Other))
    }

    fn of_object<A: MapAccess<'a>>(mut object: A) -> Result<Self, A::Error> {
        let mut names = Names::default();
        while let Some(Text(name)) = object.next_key()? {
            names.insert(name)?;
            object.next_value::<Json<Value<'_>>>()?;
        }
        Ok(Self::of_value(Value::Other))
    }
}

impl<'a> FromJson<'a> for Value<'a> {
    fn of_value(value: Value<'a>) -> Self {
        value
    }
}

/// What is null is absent.
impl<'a, T: FromJson<'a>> FromJson<'a> for Option<T> {
    fn of_value(value: Value<'a>) -> Self {
        if matches!(value, Value::Null) { None } else { Some(T::of_value(value)) }
    }

    fn of_array<A: SeqAccess<'a>>(array: A) -> Result<Self, A::Error> {
        T::of_array(array).map(Some)
    }

    fn of_object<A: MapAccess<'a>>(object: A) -> Result<Self, A::Error> {
        T::of_object(object).map(Some)
    }
}

/// Builds such a type from any JSON value.
pub(crate) struct Json<T>(pub(crate) T);

impl<'de, T: FromJson<'de>> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor(PhantomData)).map(Self)
    }
}

struct JsonVisitor<T>(PhantomData<T>);

impl<'de, T: FromJson<'de>> Visitor<'de> for JsonVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::of_value(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::of_value(Value::Bool(value)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::of_value(Value::Integer(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::of_value(i64::try_from(number).map_or(Value::Other, Value::Integer)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::of_value(Value::Other))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::of_value(Value::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::of_value(Value::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<T, A::Error> {
        T::of_array(array)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::of_object(object)
    }
}

/// A JSON string, borrowed if it has no escapes.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// The names of an object's members so far. Each may occur only once.
#[derive(Debug, Default)]
pub(crate) struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    more: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// # Errors
    /// If the name already exists.
    pub(crate) fn insert<E: de::Error>(&mut self, name: Cow<'a, str>) -> Result<(), E> {
        if self.few.contains(&name) || self.more.contains(&name) {
            return Err(twice(&name));
        }
        if self.few.len() < FEW {
            self.few.push(name);
        } else {
            self.more.insert(name);
        }
        Ok(())
    }
}

/// The error for a duplicate member.
pub(crate) fn twice<E: de::Error>(name: &str) -> E {
    let name = crate::error::shorten(name);
    E::custom(format_args!("the member \"{name}\" is there twice"))
}

#[cfg(test)]
mod tests {
    use super::{check, has_long_number, is_plain};

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
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("{\"a\":", "it ends inside a value"),
            ("[1", "it ends inside a list"),
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
            assert!(!is_plain(text) || why != "64 bits", "{text}");
        }
    }

    #[test]
    fn a_member_that_is_there_twice_is_found_among_many() {
        let members: Vec<String> = (0..100).map(|name| format!("\"m{name}\": 0")).collect();
        assert_eq!(check(&format!("{{{}}}", members.join(","))), Ok(()));
        for twice in [0, 15, 16, 99] {
            let text = format!("{{{}, \"m{twice}\": 1}}", members.join(","));
            assert!(check(&text).unwrap_err().contains("twice"), "m{twice}");
        }
    }

    #[test]
    fn a_long_number_is_found_wherever_it_begins() {
        for before in 0..60 {
            for digits in [18, 19, 20, 40] {
                let text = " ".repeat(before) + &"1".repeat(digits) + &" ".repeat(before % 7);
                assert_eq!(has_long_number(text.as_bytes()), digits > 18, "{before} {digits}");
            }
        }
    }
}

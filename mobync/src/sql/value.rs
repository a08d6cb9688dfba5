//! Which values a column can hold, as far as this is known without asking the database, and how values
//! that were read are converted.

use serde_json::Value;
use uuid::Uuid;

use super::{Column, Kind};
use crate::{error::DatabaseError, json::has_long_number, record::Record};

/// The greatest integer that every JSON parser reads exactly.
const MOST_SAFE: u64 = (1 << 53) - 1;

impl Column {
    /// # Errors
    /// [`DatabaseError::InvalidValue`] if the value does not fit the column. For other values the
    /// database decides: it may convert or reject them.
    pub(super) fn check(&self, json: &str) -> Result<(), DatabaseError> {
        let first = json.bytes().next();
        if first == Some(b'n') {
            return Ok(());
        }
        let fits = match (self.kind, first) {
            (Kind::Json | Kind::Other, _) => true,
            (Kind::Text, _) => first == Some(b'"'),
            // In any format, because the database accepts several.
            (Kind::Uuid, _) => first == Some(b'"'),
            (Kind::Boolean, _) => matches!(json, "true" | "false" | "0" | "1"),
            (Kind::Integer(bits), Some(b'"')) => {
                let number = text(json).and_then(|text| any_integer(&text));
                number.is_some_and(|number| in_range(number, bits))
            }
            (Kind::Integer(bits), _) => json
                .parse()
                .is_ok_and(|number: i64| in_range(number, bits) && self.may_be_number(number)),
            (Kind::Numeric, Some(b'"')) => text(json).is_some_and(|text| is_decimal(&text)),
            (Kind::Float | Kind::Numeric, _) => {
                first.is_some_and(|first| first == b'-' || first.is_ascii_digit())
            }
        };
        if !fits {
            return Err(self.invalid_value());
        }
        if self.kind == Kind::Text && (self.limit.is_some() || json.contains("\\u0000")) {
            let text: String = serde_json::from_str(json).map_err(DatabaseError::failed)?;
            if text.contains('\0') {
                return Err(DatabaseError::invalid_value(&self.name, "must not have a NUL in it"));
            }
            // Trailing blanks beyond the limit are cut off.
            let has_room = |limit: &usize| text.chars().skip(*limit).all(|letter| letter == ' ');
            if let Some(limit) = self.limit.filter(|limit| !has_room(limit)) {
                let what = format!("must not have more than {limit} characters");
                return Err(DatabaseError::invalid_value(&self.name, what));
            }
        }
        Ok(())
    }

    /// In a column whose integers are strings, only integers that every parser reads exactly may be
    /// numbers.
    fn may_be_number(&self, number: i64) -> bool {
        !self.as_strings || number.unsigned_abs() <= MOST_SAFE
    }

    pub(crate) fn invalid_value(&self) -> DatabaseError {
        let what = match self.kind {
            Kind::Text => "must be a string",
            Kind::Boolean => "must be true or false",
            Kind::Integer(16) => "must be an integer of 16 bits",
            Kind::Integer(32) => "must be an integer of 32 bits",
            Kind::Integer(_) if self.as_strings => {
                "must be a string with the digits of an integer of 64 bits"
            }
            Kind::Integer(_) => "must be an integer, or a string with its digits",
            Kind::Float => "must be a number",
            Kind::Numeric => "must be a number, or a string with one",
            Kind::Uuid => "must be a string with a UUID",
            Kind::Json | Kind::Other => {
                let what = format!("does not fit its type, {}", self.sql_type);
                return DatabaseError::invalid_value(&self.name, what);
            }
        };
        DatabaseError::invalid_value(&self.name, what)
    }
}

/// The record that a row is read as.
///
/// # Errors
/// If it has a number greater than any double.
pub(super) fn record(text: &str) -> Result<Record, DatabaseError> {
    let record: Record = serde_json::from_str(text).map_err(DatabaseError::failed)?;
    if !has_long_number(text.as_bytes()) {
        return Ok(record);
    }
    let (id, fields) = record.into_parts();
    let fields = fields.into_iter().map(|(name, value)| (name, without_long_integers(value)));
    Ok(fields.fold(Record::new(id), |record, (name, value)| record.with(name, value)))
}

/// Converts integers beyond signed 64 bits to doubles, as other parsers do.
fn without_long_integers(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_u64() && !number.is_i64() => number
            .as_f64()
            .and_then(serde_json::Number::from_f64)
            .map_or(Value::Null, Value::Number),
        Value::Array(values) => values.into_iter().map(without_long_integers).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, without_long_integers(value))).collect()
        }
        value => value,
    }
}

/// The text of a JSON string.
fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// Whether a UUID is written as the database returns it. Ids that it references are written in the same
/// way.
pub(super) fn is_uuid(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|uuid| uuid.to_string() == text)
}

/// The integer that is written exactly in this way.
pub(super) fn integer(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// The integer that a database reads from a text: with leading zeros or a plus sign, and blanks around
/// it.
fn any_integer(text: &str) -> Option<i64> {
    text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']).parse().ok()
}

pub(super) fn in_range(number: i64, bits: u32) -> bool {
    match bits {
        16 => i16::try_from(number).is_ok(),
        32 => i32::try_from(number).is_ok(),
        _ => true,
    }
}

/// Whether the text is a decimal number, and not one of the other words or notations that databases
/// accept.
pub(super) fn is_decimal(text: &str) -> bool {
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, part) = unsigned(number).split_once('.').unwrap_or((unsigned(number), ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(whole)
        && are_digits(part)
        && whole.len() + part.len() > 0
        && are_digits(unsigned(exponent))
        && !unsigned(exponent).is_empty()
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_of_an_integer_counts() {
        for text in ["0", "7", "-7", "9223372036854775807", "-9223372036854775808"] {
            assert!(integer(text).is_some(), "{text}");
        }
        for text in
            ["", "-", "-0", "+7", "07", " 7", "7 ", "7.0", "1e0", "0x7", "9223372036854775808", "٧"]
        {
            assert!(integer(text).is_none(), "{text}");
        }
    }

    #[test]
    fn words_and_other_notations_are_no_decimal_numbers() {
        for text in ["0", "-1.50", "+7", ".5", "5.", "1e25", "1.5E-7", "12345678901234567890.5"] {
            assert!(is_decimal(text), "{text}");
        }
        for text in [
            "", "-", ".", "e5", "1e", "1e+", "NaN", "Infinity", "-inf", "0x1f", "1_000", " 7", "1 ",
        ] {
            assert!(!is_decimal(text), "{text}");
        }
    }
}

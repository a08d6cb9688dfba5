//! Which values a column certainly returns as they were sent.

use std::borrow::Cow;

use super::value::{integer, is_uuid};
use crate::reconcile::same;

/// Which of its accepted values a column certainly returns as they were sent. For all others the row is
/// read after a write: the column may round, pad, truncate, or format them in another way.
///
/// If a column accepts both a number and the string of its digits, the two are one value, as long as the
/// string has the database's format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    not(all(feature = "postgres", feature = "sqlite")),
    allow(dead_code, reason = "each database has columns of its own kinds")
)]
pub(crate) enum Keeping {
    /// Nothing is known about it.
    #[default]
    Nothing,
    /// Everything that it accepts.
    All,
    /// The same, but of numbers only doubles and integers of 64 bits.
    Documents,
    /// Integers.
    Integers,
    /// The same, except for null, which the database replaces by a number.
    RowIds,
    /// Strings; of at most this number of characters, in a column that cuts trailing blanks.
    Strings(Option<usize>),
    /// Strings without trailing blanks, of at most this number of characters.
    Padded(usize),
    /// Doubles, integers of 64 bits, and strings that no database converts to numbers.
    Words,
    /// Numbers that are doubles.
    Doubles,
    /// Numbers that are floats of 32 bits.
    Floats,
    /// Decimals; with at most this number of digits after the point.
    Decimals(Option<u32>),
    /// `true` and `false`.
    Booleans,
    /// UUIDs in lower case and with hyphens.
    Uuids,
    /// Dates as `2026-02-28`.
    Dates,
}

impl Keeping {
    /// Whether the value, JSON text that the column accepts, certainly comes back unchanged.
    pub(super) fn keeps(self, json: &str) -> bool {
        if json == "null" {
            return self != Self::RowIds;
        }
        let text = || serde_json::from_str::<String>(json).ok();
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Documents => !is_number(json) || integer(json).is_some() || is_double(json),
            Self::Integers | Self::RowIds => integer(&number(json)).is_some(),
            Self::Strings(None) => json.starts_with('"'),
            Self::Strings(Some(most)) => {
                let is_short = json.starts_with('"') && json.len() <= most;
                is_short || text().is_some_and(|text| text.chars().count() <= most)
            }
            Self::Padded(most) => {
                text().is_some_and(|text| text.chars().count() <= most && !text.ends_with(' '))
            }
            Self::Words if json.starts_with('"') => {
                let is_word = |text: &String| {
                    text.chars().any(|letter| !is_of_numbers(letter)) && !text.contains('\0')
                };
                text().as_ref().is_some_and(is_word)
            }
            Self::Words => integer(json).is_some() || is_double(json),
            Self::Doubles => is_double(json),
            Self::Floats => is_float(json),
            Self::Decimals(None) if !json.starts_with('"') => json.parse::<f64>().is_ok(),
            Self::Decimals(scale) => is_plain(&number(json), scale),
            Self::Booleans => matches!(json, "true" | "false"),
            Self::Uuids => text().is_some_and(|text| is_uuid(&text)),
            Self::Dates => text().is_some_and(|text| is_date(&text)),
        }
    }

    /// Whether this is true for everything that such a column accepts.
    pub(super) fn keeps_all(self) -> bool {
        matches!(self, Self::All | Self::Strings(None))
    }
}

fn is_of_numbers(letter: char) -> bool {
    letter.is_ascii_digit() || letter.is_whitespace() || "+-.eE".contains(letter)
}

fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// In the database's format: the fewest digits that identify it.
fn is_double(json: &str) -> bool {
    let double = json.parse::<f64>().ok().filter(|double| double.is_finite());
    double.is_some_and(|double| same(json, &double.to_string()))
}

fn is_float(json: &str) -> bool {
    let float = json.parse::<f32>().ok().filter(|float| float.is_finite());
    float.is_some_and(|float| same(json, &float.to_string()))
}

/// The text of a number, or of a string.
fn number(json: &str) -> Cow<'_, str> {
    if json.starts_with('"') {
        serde_json::from_str(json).map_or(Cow::Borrowed(json), Cow::Owned)
    } else {
        Cow::Borrowed(json)
    }
}

/// Whether it is a number in the database's format: without exponent, plus sign or leading zeros.
fn is_plain(number: &str, scale: Option<u32>) -> bool {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let are_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let has_scale = |scale: u32| {
        !number.contains('.') || usize::try_from(scale).is_ok_and(|scale| part.len() <= scale)
    };
    are_digits(whole)
        && are_digits(part)
        && (whole == "0" || !whole.starts_with('0'))
        && scale.is_none_or(has_scale)
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_back_as_it_is_is_kept() {
        let cases: [(Keeping, &[&str], &[&str]); 16] = [
            (Keeping::Nothing, &["null"], &["1", "\"a\"", "{}"]),
            (Keeping::All, &["null", "1", "\"a\"", "[]"], &[]),
            (
                Keeping::Documents,
                &["{}", "\"1\"", "true", "9007199254740993", "1.5"],
                &["0.1000000000000000055"],
            ),
            (Keeping::Integers, &["null", "1", "-7", "\"7\""], &["\"07\"", "\"+7\"", "\" 7\""]),
            (Keeping::RowIds, &["1"], &["null"]),
            (Keeping::Strings(None), &["\"a \"", "null"], &["1", "{}"]),
            (Keeping::Strings(Some(2)), &["\"ab\"", "\"a \"", "\"äö\""], &["\"ab \"", "1"]),
            (Keeping::Padded(2), &["\"ab\"", "\"a\"", "\"\""], &["\"a \"", "\"abc\"", "1"]),
            (
                Keeping::Words,
                &["\"2026-02-28T00:00\"", "\"0x1\"", "\"inf\"", "1", "1.5"],
                &["\"1\"", "\" 1e5 \"", "\"2026\"", "\"\"", "true", "{}"],
            ),
            (
                Keeping::Doubles,
                &["1", "-9007199254740992", "0.1", "1e300"],
                &["9007199254740993", "0.1000000000000000055", "\"1\"", "true"],
            ),
            (
                Keeping::Floats,
                &["1.5", "0.1", "16777216", "1e30"],
                &["16777217", "0.123456789", "1e39"],
            ),
            (
                Keeping::Decimals(Some(2)),
                &["1", "1.25", "-0.5", "\"1.2\""],
                &["1.255", "1e1", "\"x\"", "\"1.255\"", "\"+1\"", "\"01.5\"", "\".5\"", "\"5.\""],
            ),
            (
                Keeping::Decimals(None),
                &["1e25", "0.12345678901234567890123", "\"0.1\""],
                &["\"1e25\"", "\"+1\""],
            ),
            (
                Keeping::Uuids,
                &["\"0192f1c5-7b1e-7c33-9d7f-3b1f0a6d2e01\""],
                &[
                    "\"0192F1C5-7B1E-7C33-9D7F-3B1F0A6D2E01\"",
                    "\"0192f1c57b1e7c339d7f3b1f0a6d2e01\"",
                ],
            ),
            (Keeping::Booleans, &["true", "false"], &["1", "0", "\"t\""]),
            (Keeping::Dates, &["\"2026-02-28\""], &["\"28.02.2026\"", "\"2026-2-28\"", "20260228"]),
        ];
        for (keeping, kept, others) in cases {
            for json in kept {
                assert!(keeping.keeps(json), "{keeping:?} {json}");
            }
            for json in others {
                assert!(!keeping.keeps(json), "{keeping:?} {json}");
            }
        }
    }
}

//! Whether two JSON texts are equal.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use crate::json::Text;

/// Whether two JSON texts have the same value: numbers are compared by value with all their digits,
/// strings byte by byte, and the order of members is irrelevant.
pub(crate) fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.trim_ascii(), right.trim_ascii());
    if left == right {
        return true;
    }
    let equal = match (left.as_bytes(), right.as_bytes()) {
        ([b'"', ..], [b'"', ..]) => both::<Text<'_>>(left, right).map(|(l, r)| l.0 == r.0),
        ([b'[', ..], [b'[', ..]) => both::<Vec<&RawValue>>(left, right).map(|(left, right)| {
            let mut pairs = left.iter().zip(&right);
            left.len() == right.len() && pairs.all(|(l, r)| same(l.get(), r.get()))
        }),
        ([b'{', ..], [b'{', ..]) => both::<Members<'_>>(left, right).map(|(left, right)| {
            let mut pairs = left.iter().zip(&right);
            left.len() == right.len()
                && pairs.all(|((l, left), (r, right))| l == r && same(left.get(), right.get()))
        }),
        _ => Decimal::read(left).zip(Decimal::read(right)).map(|(left, right)| left == right),
    };
    equal.unwrap_or(false)
}

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

fn both<'a, T: serde::Deserialize<'a>>(left: &'a str, right: &'a str) -> Option<(T, T)> {
    serde_json::from_str(left).ok().zip(serde_json::from_str(right).ok())
}

/// A number as JSON writes it, with all its digits: `digits` times ten to the power of `exponent`.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        if !text.bytes().next_back()?.is_ascii_digit() {
            return None; // null, true, false
        }
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{part}");
        let digits = all.trim_end_matches('0');
        let shift = i64::try_from(all.len() - digits.len()).ok()?;
        let shift = shift.checked_sub(i64::try_from(part.len()).ok()?)?;
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits, exponent: 0 });
        }
        Some(Self { is_negative, digits, exponent: exponent.checked_add(shift)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::same;

    #[test]
    fn numbers_are_compared_by_value_and_with_all_their_digits() {
        let alike = [
            ["1", "1.0"],
            ["1", "1e0"],
            ["100", "1E+2"],
            ["0.001", "1e-3"],
            ["-0", "0.00"],
            ["1.50", "1.5"],
            ["12345678901234567890.120", "12345678901234567890.12"],
        ];
        for [left, right] in alike {
            assert!(same(left, right) && same(right, left), "{left} {right}");
        }
        let others = [
            ["1", "-1"],
            ["1", "10"],
            ["0", "null"],
            ["1", "true"],
            ["1", "\"1\""],
            ["12345678901234567890.13", "12345678901234567890.12"],
            ["9007199254740993", "9007199254740992"],
            ["[1]", "[1,1]"],
            ["{}", "[]"],
            ["{}", r#"{"a":null}"#],
            ["\"a\"", "\"A\""],
            ["\"a\"", "\"a \""],
        ];
        for [left, right] in others {
            assert!(!same(left, right) && !same(right, left), "{left} {right}");
        }
    }

    #[test]
    fn escapes_blanks_and_the_order_of_members_mean_nothing() {
        assert!(same(r#""\u0061\/""#, r#""a/""#));
        assert!(same(r#"{"a": [1, {"b": "x"}], "c": 2.0}"#, r#"{"c":2,"a":[1.0,{"b":"\u0078"}]}"#));
        assert!(!same(r#"{"a":1}"#, r#"{"b":1}"#));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3_i64..3).prop_map(Value::from),
            (-3_i32..3).prop_map(|n| Value::from(f64::from(n) / 2.0)),
            "[ab\"\\\\\u{e9}]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Equality of `serde_json`, except for numbers, which are small here.
    fn equal(left: &Value, right: &Value) -> bool {
        match (left, right) {
            (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
            (Value::Array(left), Value::Array(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(l, r)| equal(l, r))
            }
            (Value::Object(left), Value::Object(right)) => {
                left.len() == right.len()
                    && left.iter().all(|(k, l)| right.get(k).is_some_and(|r| equal(l, r)))
            }
            _ => left == right,
        }
    }

    proptest! {
        #[test]
        fn texts_are_the_same_where_their_values_are(left in values(), right in values()) {
            let pretty = serde_json::to_string_pretty(&left).unwrap();
            prop_assert!(same(&pretty, &left.to_string()));
            prop_assert_eq!(same(&left.to_string(), &right.to_string()), equal(&left, &right));
            let within = json!({"a": left, "b": [right]}).to_string();
            let other = json!({"b": [right], "a": left}).to_string();
            prop_assert!(same(&within, &other));
        }
    }
}

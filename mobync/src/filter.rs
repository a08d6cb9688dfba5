//! The conditions of a read.

use std::cmp::Ordering;
#[cfg(feature = "memory")]
use std::collections::BTreeSet;

use serde_json::{Number, Value};

use crate::record::Record;

/// A condition on one field that the records of a read must meet.
///
/// A read with several filters returns the records that match all of them.
///
/// ```
/// use mobync::{ReadFilter, Record};
///
/// let open = ReadFilter::equal("done", false);
/// assert!(open.matches(&Record::new("t1").with("done", false)));
/// assert!(!open.matches(&Record::new("t2").with("done", true)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReadFilter {
    field: String,
    filter_type: FilterType,
    value: Value,
}

/// How a [`ReadFilter`] compares the record's value with its own.
///
/// Numbers compare with numbers and strings with strings (by code points). For all other values, `Greater`,
/// `Less` and the like are false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FilterType {
    /// The two are equal.
    #[doc(alias = "equal")]
    Equal,
    /// The record's value is greater.
    #[doc(alias = "major")]
    Greater,
    /// The record's value is less.
    #[doc(alias = "minor")]
    Less,
    /// The record's value is greater or equal.
    #[doc(alias = "majorOrEqual")]
    GreaterOrEqual,
    /// The record's value is less or equal.
    #[doc(alias = "minorOrEqual")]
    LessOrEqual,
    /// The record's value equals one of the filter's values, an array.
    #[doc(alias = "inside")]
    In,
}

macro_rules! filters {
    ($($name:ident $variant:ident $doc:literal;)*) => {$(
        #[doc = $doc]
        pub fn $name(field: impl Into<String>, value: impl Into<Value>) -> Self {
            Self { field: field.into(), filter_type: FilterType::$variant, value: value.into() }
        }
    )*};
}

impl ReadFilter {
    filters! {
        equal Equal "The field equals the value.";
        greater Greater "The field is greater than the value.";
        less Less "The field is less than the value.";
        greater_or_equal GreaterOrEqual "The field is greater than the value, or equals it.";
        less_or_equal LessOrEqual "The field is less than the value, or equals it.";
    }

    /// The field equals one of the values, in any order.
    pub fn any_of<V: Into<Value>>(
        field: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let mut values: Vec<Value> = values.into_iter().map(Into::into).collect();
        values.sort_by(|left, right| text_first(left).cmp(&text_first(right)));
        Self { field: field.into(), filter_type: FilterType::In, value: values.into() }
    }

    /// The field that is compared; `id` is the record's id.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// How it is compared.
    pub fn filter_type(&self) -> FilterType {
        self.filter_type
    }

    /// What it is compared with; an array if the type is [`FilterType::In`].
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The ids that matching records can have, each once, if the condition is about the id.
    #[cfg(feature = "memory")]
    pub(crate) fn ids(&self) -> Option<BTreeSet<&str>> {
        if self.field != "id" {
            return None;
        }
        match (self.filter_type, &self.value) {
            (FilterType::In, Value::Array(ids)) => {
                Some(ids.iter().filter_map(Value::as_str).collect())
            }
            (FilterType::Equal, Value::String(id)) => Some(BTreeSet::from([id.as_str()])),
            _ => None,
        }
    }

    /// Whether the record meets the condition. A missing field counts as null.
    pub fn matches(&self, record: &Record) -> bool {
        if self.field == "id" {
            return match (self.filter_type, &self.value) {
                (FilterType::In, Value::Array(values)) => has_text(values, record.id()),
                (FilterType::In, _) => false,
                (filter_type, Value::String(id)) => filter_type.holds(record.id().cmp(id)),
                _ => false,
            };
        }
        let value = record.get(&self.field).unwrap_or(&Value::Null);
        match (self.filter_type, &self.value) {
            (FilterType::In, Value::Array(values)) => match value {
                Value::String(text) => has_text(values, text),
                value => values.iter().any(|one| equal(value, one)),
            },
            (FilterType::In, _) => false,
            (FilterType::Equal, expected) => equal(value, expected),
            (filter_type, bound) => {
                compare(value, bound).is_some_and(|ordering| filter_type.holds(ordering))
            }
        }
    }
}

impl FilterType {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal | Self::In => ordering.is_eq(),
            Self::Greater => ordering.is_gt(),
            Self::Less => ordering.is_lt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::LessOrEqual => ordering.is_le(),
        }
    }
}

/// The order of the values of a [`FilterType::In`], for a binary search among thousands of texts.
fn text_first(value: &Value) -> (bool, Option<&str>) {
    (!value.is_string(), value.as_str())
}

fn has_text(values: &[Value], text: &str) -> bool {
    values.binary_search_by(|value| text_first(value).cmp(&(false, Some(text)))).is_ok()
}

fn equal(left: &Value, right: &Value) -> bool {
    left == right || compare(left, right).is_some_and(Ordering::is_eq)
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn compare_numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_filter_type_holds_for_what_its_name_says() {
        let record = Record::new("b").with("n", 2).with("s", "x").with("f", 2.5);
        let holds = |filter: ReadFilter| filter.matches(&record);
        assert!(holds(ReadFilter::equal("n", 2)) && !holds(ReadFilter::equal("n", 3)));
        assert!(holds(ReadFilter::equal("n", 2.0)), "numbers compare by value");
        assert!(holds(ReadFilter::greater("n", 1)) && !holds(ReadFilter::greater("n", 2)));
        assert!(holds(ReadFilter::less("f", 3)) && !holds(ReadFilter::less("f", 2.5)));
        assert!(
            holds(ReadFilter::greater_or_equal("n", 2))
                && !holds(ReadFilter::greater_or_equal("n", 3))
        );
        assert!(
            holds(ReadFilter::less_or_equal("s", "x"))
                && !holds(ReadFilter::less_or_equal("s", "w"))
        );
        assert!(holds(ReadFilter::any_of("n", [1, 2])) && !holds(ReadFilter::any_of("n", [1, 3])));
        assert!(
            holds(ReadFilter::any_of("id", ["a", "b"])) && !holds(ReadFilter::equal("id", "a"))
        );
        assert!(holds(ReadFilter::greater("id", "a")));
        let mixed = json!(["c", null, 2, "x", true, "b", 2.5]);
        for field in ["id", "n", "s", "f", "missing"] {
            assert!(holds(ReadFilter::any_of(field, mixed.as_array().unwrap().clone())), "{field}");
        }
        assert!(!holds(ReadFilter::any_of("s", [json!("y"), json!("w"), json!(1), json!("")])));
        assert!(
            holds(ReadFilter::equal("missing", json!(null)))
                && !holds(ReadFilter::less("missing", 1))
        );
    }
}

//! Checksums of copies: section "Is the copy right?" of the protocol.

use std::{collections::BTreeMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

use crate::protocol::Checksum;

/// The checksum of a model's objects, which are added in any order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    count: u64,
    ids: u64,
    values: u64,
}

/// The constant defaults of a model's columns: a field that has its default counts as never written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults(BTreeMap<String, Constant>);

#[derive(Clone, Debug)]
struct Constant {
    canonical: String,
    value: serde_json::Value,
}

impl Defaults {
    /// The defaults with these names, as JSON texts.
    ///
    /// # Errors
    /// If one is not JSON.
    pub(crate) fn read<'d>(
        defaults: impl IntoIterator<Item = (&'d str, &'d str)>,
    ) -> Result<Self, serde_json::Error> {
        let read = |(name, json): (&str, &str)| {
            let value = serde_json::from_str(json)?;
            Ok((name.to_owned(), Constant { canonical: canonical(json)?, value }))
        };
        Ok(Self(defaults.into_iter().map(read).collect::<Result<_, _>>()?))
    }
}

impl Sum {
    /// Adds an object, with its fields except the `id` as JSON texts.
    ///
    /// # Errors
    /// If a value is not JSON.
    pub(crate) fn add<'f>(
        &mut self,
        id: &str,
        fields: impl IntoIterator<Item = (&'f str, &'f str)>,
        defaults: &Defaults,
    ) -> Result<(), serde_json::Error> {
        self.count = self.count.saturating_add(1);
        self.ids ^= beginning(Sha256::new().chain_update(id));
        let of_object = Sha256::new().chain_update(id).chain_update([0]);
        for (name, json) in fields {
            let value = canonical(json)?;
            let is_default = || defaults.0.get(name).is_some_and(|it| it.canonical == value);
            if value != "null" && !is_default() {
                let hash = of_object.clone().chain_update(name).chain_update([0]);
                self.values ^= beginning(hash.chain_update(value));
            }
        }
        Ok(())
    }

    /// The checksum, and the defaults whose fields were left out.
    pub(crate) fn finish(self, defaults: Defaults) -> Checksum {
        Checksum {
            count: self.count,
            ids: format!("{:016x}", self.ids),
            values: format!("{:016x}", self.values),
            defaults: defaults.0.into_iter().map(|(name, it)| (name, it.value)).collect(),
        }
    }
}

/// The first eight bytes of a hash, as a number.
fn beginning(hash: Sha256) -> u64 {
    hash.finalize().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Normalizes a JSON text: equal values get equal texts.
fn canonical(json: &str) -> Result<String, serde_json::Error> {
    let mut text = String::with_capacity(json.len());
    let mut reader = serde_json::Deserializer::from_str(json);
    Canonical(&mut text).deserialize(&mut reader)?;
    reader.end()?;
    Ok(text)
}

/// Appends the value that is read to this text.
struct Canonical<'t>(&'t mut String);

impl<'de> DeserializeSeed<'de> for Canonical<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Canonical<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push_str("null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        push_integer(self.0, number);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        #[allow(clippy::cast_precision_loss, reason = "no integer of the protocol is that large")]
        match i64::try_from(number) {
            Ok(number) => push_integer(self.0, number),
            Err(_) => push_float(self.0, number as f64),
        }
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        push_float(self.0, number);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        push_string(self.0, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        self.0.push('[');
        let first = self.0.len();
        loop {
            let before = self.0.len();
            if before > first {
                self.0.push(',');
            }
            if array.next_element_seed(Canonical(self.0))?.is_none() {
                self.0.truncate(before);
                break;
            }
        }
        self.0.push(']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut members: BTreeMap<String, String> = BTreeMap::new();
        while let Some(name) = object.next_key::<String>()? {
            let mut value = String::new();
            object.next_value_seed(Canonical(&mut value))?;
            members.insert(name, value);
        }
        self.0.push('{');
        for (place, (name, value)) in members.iter().enumerate() {
            if place > 0 {
                self.0.push(',');
            }
            push_string(self.0, name);
            self.0.push(':');
            self.0.push_str(value);
        }
        self.0.push('}');
        Ok(())
    }
}

fn push_integer(text: &mut String, number: i64) {
    text.push_str(&number.to_string());
}

fn push_float(text: &mut String, number: f64) {
    // Both ends are powers of two, so they are exact.
    const LEAST: f64 = -9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && (LEAST..-LEAST).contains(&number) {
        #[allow(clippy::cast_possible_truncation, reason = "it is an integer of 64 bits")]
        push_integer(text, number as i64);
    } else {
        text.push_str(&format!("f{:016x}", number.to_bits()));
    }
}

fn push_string(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            '\0'..' ' => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => text.push(character),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::{Checksum, Defaults, Sum, canonical};
    use crate::reconcile::same;

    #[derive(Deserialize)]
    struct Vectors {
        canonical: Vec<Text>,
        checksums: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Text {
        json: String,
        canonical: String,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        objects: Vec<Object>,
        #[serde(default)]
        defaults: BTreeMap<String, String>,
        checksum: Checksum,
    }

    #[derive(Deserialize)]
    struct Object {
        id: String,
        fields: BTreeMap<String, String>,
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../tests/checksums.json")).unwrap()
    }

    fn sum(objects: &[Object], defaults: &BTreeMap<String, String>) -> Checksum {
        let texts = |fields: &BTreeMap<String, String>| fields.clone().into_iter();
        let defaults: Vec<_> = texts(defaults).collect();
        let defaults = defaults.iter().map(|(name, json)| (&**name, &**json));
        let defaults = Defaults::read(defaults).unwrap();
        let mut sum = Sum::default();
        for Object { id, fields } in objects {
            let fields = fields.iter().map(|(name, json)| (&**name, &**json));
            sum.add(id, fields, &defaults).unwrap();
        }
        sum.finish(defaults)
    }

    #[test]
    fn values_have_the_canonical_texts_of_the_vectors() {
        let vectors = vectors();
        assert!(vectors.canonical.len() > 50);
        for Text { json, canonical: expected } in vectors.canonical {
            assert_eq!(canonical(&json).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn objects_have_the_checksums_of_the_vectors() {
        let vectors = vectors();
        assert!(vectors.checksums.len() > 10);
        for Vector { name, mut objects, defaults, checksum } in vectors.checksums {
            let expected = Checksum { defaults: sum(&[], &defaults).defaults, ..checksum };
            assert_eq!(expected.defaults.len(), defaults.len());
            assert_eq!(sum(&objects, &defaults), expected, "{name}");
            objects.reverse();
            assert_eq!(sum(&objects, &defaults), expected, "{name}, in another order");
        }
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for text in ["", "1 2", "{\"a\"", "nul", "'a'"] {
            assert!(canonical(text).is_err(), "{text}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3_i64..3).prop_map(Value::from),
            (-6_i32..6).prop_map(|n| Value::from(f64::from(n) / 2.0)),
            "[ab\"\\\\\u{1}\u{e9}]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab\u{e9}]{0,2}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_texts_are_equal_where_values_are(left in values(), right in values()) {
            let pretty = serde_json::to_string_pretty(&left).unwrap();
            let (left, right) = (left.to_string(), right.to_string());
            prop_assert_eq!(canonical(&pretty).unwrap(), canonical(&left).unwrap());
            let are_equal = canonical(&left).unwrap() == canonical(&right).unwrap();
            prop_assert_eq!(are_equal, same(&left, &right));
        }

        #[test]
        fn an_object_that_differs_in_anything_has_another_checksum(
            id in "[ab]{1,3}", name in "[ab]{1,3}", value in 1..9_u8, other in 1..9_u8,
        ) {
            let object = |id: &str, name: &str, value: u8| Object {
                id: id.to_owned(),
                fields: BTreeMap::from([(name.to_owned(), json!(value).to_string())]),
            };
            let of = |objects: &[Object]| sum(objects, &BTreeMap::new());
            let one = of(&[object(&id, &name, value)]);
            prop_assert_eq!(one == of(&[object(&id, &name, other)]), value == other);
            prop_assert_ne!(&one, &of(&[object(&format!("{id}a"), &name, value)]));
            prop_assert_ne!(&one, &of(&[object(&id, &format!("{name}a"), value)]));
            prop_assert_ne!(&one, &of(&[object("c", &name, value), object(&id, &name, value)]));
        }
    }
}

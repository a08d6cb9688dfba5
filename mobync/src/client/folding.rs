//! Folding: a value that the next change of the same object overwrites need not be sent.
//!
//! The law *Folded* of the protocol, section "Folding", says what stays equal.

use std::collections::BTreeSet;

use super::{LocalUnit, Pending, StoreError, settle::Decoded};
use crate::{
    diff::{Diff, Operation},
    record::Record,
};

/// How many of the last pending diffs are read first.
const FEW: usize = 4;

/// Folds the pending diffs directly before an update that will be recorded. Reads no other diffs.
pub(super) async fn fold<U: LocalUnit>(unit: &mut U, update: &mut Diff) -> Result<(), StoreError> {
    let Ok(new) = Decoded::read(update.clone()) else { return Ok(()) };
    let mut many = FEW;
    let of_object = loop {
        let last = unit.last_pending(many).await?;
        let is_all = last.len() < many;
        let of_object: Vec<_> =
            last.into_iter().map_while(|pending| OfObject::new(pending, &new)).collect();
        if of_object.len() < many || is_all {
            break of_object;
        }
        many = many.saturating_mul(2);
    };
    let run = of_object.iter().take_while(|it| it.is_foldable()).count();
    let before = of_object.iter().skip(run).rev().fold(i64::MIN, |latest, it| it.counts_at(latest));
    let run = of_object.into_iter().take(run).rev().collect();
    let overwritten = new.fields().map(ToOwned::to_owned).collect();
    let Folded { dropped, changed, at } = folded(run, before, &overwritten, update.utc_timestamp);
    for seq in dropped {
        unit.forget(seq).await?;
    }
    for pending in changed {
        unit.set_pending(&pending).await?;
    }
    update.utc_timestamp = at;
    Ok(())
}

/// A pending diff of the object.
struct OfObject {
    pending: Pending,
    record: Record,
}

impl OfObject {
    /// `None` if it is of another object.
    fn new(pending: Pending, new: &Decoded) -> Option<Self> {
        let decoded = Decoded::read(pending.diff.clone()).ok()?;
        (decoded.object() == new.object()).then(|| Self { pending, record: decoded.into_record() })
    }

    fn is_foldable(&self) -> bool {
        !self.pending.sent && self.pending.diff.operation == Operation::Update
    }

    /// The time that the server gives it after a diff of that time.
    fn counts_at(&self, latest: i64) -> i64 {
        self.pending.diff.utc_timestamp.max(latest.saturating_add(1))
    }
}

/// The result of folding the pending updates before a new one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Folded {
    /// The `seq` of those that have no field left.
    dropped: Vec<i64>,
    /// Those that have lost a field, or get another time.
    changed: Vec<Pending>,
    /// The timestamp of the new update.
    at: i64,
}

/// Removes the overwritten fields from updates of one object. The updates are in the order in which they were
/// made, directly before the new update of these fields, which was made at `at`. `before` is the time of the
/// diff before them.
///
/// In the end every diff has the time that the server would have given it by the rule of one millisecond if
/// nothing had been dropped.
fn folded(run: Vec<OfObject>, before: i64, overwritten: &BTreeSet<String>, at: i64) -> Folded {
    let mut folded = Folded { at, ..Folded::default() };
    let mut latest = before;
    for change in run {
        latest = change.counts_at(latest);
        let OfObject { mut pending, record } = change;
        let sent_at = pending.diff.utc_timestamp;
        let mut left = Record::new(record.id());
        for (name, value) in record.fields().iter().filter(|(name, _)| !overwritten.contains(*name))
        {
            left.insert(name, value.clone());
        }
        let has_lost = left.fields().len() < record.fields().len();
        if has_lost && left.fields().is_empty() {
            folded.dropped.push(pending.seq);
            continue;
        }
        let counts_later = !folded.dropped.is_empty() && latest > sent_at;
        if has_lost || counts_later {
            if counts_later {
                pending.diff.utc_timestamp = latest;
            }
            if has_lost {
                pending.diff.json_data = serde_json::Value::from(left).to_string();
            }
            folded.changed.push(pending);
        }
    }
    if !folded.dropped.is_empty() {
        folded.at = at.max(latest.saturating_add(1));
    }
    folded
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn foldable(seq: i64, at: i64, fields: Value) -> OfObject {
        let mut data = fields;
        data["id"] = json!("t1");
        let record: Record = serde_json::from_value(data.clone()).unwrap();
        let diff = Diff {
            id: format!("d{seq}"),
            owner: String::new(),
            logical_clock: 0,
            utc_timestamp: at,
            operation: Operation::Update,
            model: "tasks".to_owned(),
            json_data: data.to_string(),
        };
        OfObject { pending: Pending { seq, sent: false, diff }, record }
    }

    /// The updates that are dropped, those whose time changes, and the time of the new update.
    fn fold(run: Vec<OfObject>, fields: &[&str], at: i64) -> (Vec<i64>, Vec<String>, i64) {
        fold_after(i64::MIN, run, fields, at)
    }

    /// The same, after a diff of that time.
    fn fold_after(
        before: i64,
        run: Vec<OfObject>,
        fields: &[&str],
        at: i64,
    ) -> (Vec<i64>, Vec<String>, i64) {
        let fields = fields.iter().map(|name| (*name).to_owned()).collect();
        let Folded { dropped, changed, at } = folded(run, before, &fields, at);
        let line = |pending: &Pending| {
            let mut data: Value = serde_json::from_str(&pending.diff.json_data).unwrap();
            data.as_object_mut().unwrap().remove("id");
            format!("{}@{} {data}", pending.seq, pending.diff.utc_timestamp)
        };
        (dropped, changed.iter().map(line).collect(), at)
    }

    #[test]
    fn an_update_that_is_overwritten_goes() {
        let run = vec![foldable(1, 10, json!({"a": 1}))];
        assert_eq!(fold(run, &["a", "b"], 20), (vec![1], vec![], 20));
    }

    #[test]
    fn a_field_that_is_not_overwritten_keeps_its_diff_and_its_time() {
        let run = vec![foldable(1, 10, json!({"a": 1, "b": 1})), foldable(2, 11, json!({"c": 1}))];
        assert_eq!(fold(run, &["a"], 20), (vec![], vec![r#"1@10 {"b":1}"#.into()], 20));
    }

    #[test]
    fn times_are_those_of_the_server_for_all_of_them() {
        // The server would have stored them as 10, 11, 12 and 13.
        let run = vec![
            foldable(1, 10, json!({"a": 1})),
            foldable(2, 10, json!({"b": 1})),
            foldable(3, 4, json!({"a": 2})),
        ];
        assert_eq!(fold(run, &["a"], 5), (vec![1, 3], vec![r#"2@11 {"b":1}"#.into()], 13));
    }

    #[test]
    fn a_create_of_the_same_moment_before_them_counts_too() {
        // The server would have stored them as 17, 18 and 19.
        let run = vec![foldable(2, 17, json!({"a": 1}))];
        assert_eq!(fold_after(17, run, &["a"], 17), (vec![2], vec![], 19));
    }

    #[test]
    fn where_nothing_goes_no_time_changes() {
        let run = vec![foldable(1, 10, json!({"a": 1})), foldable(2, 10, json!({"b": 1}))];
        assert_eq!(fold(run, &["c"], 10), (vec![], vec![], 10));
    }
}

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
    let mut run = Vec::new();
    let mut many = FEW;
    loop {
        let last = unit.last_pending(many).await?;
        let read = last.len();
        run.clear();
        run.extend(last.into_iter().map_while(|pending| Foldable::of(pending, &new)));
        if run.len() < many || read < many {
            break;
        }
        many = many.saturating_mul(2);
    }
    run.reverse();
    let overwritten = new.fields().map(ToOwned::to_owned).collect();
    let Folded { dropped, changed, at } = folded(run, &overwritten, update.utc_timestamp);
    for seq in dropped {
        unit.forget(seq).await?;
    }
    for pending in changed {
        unit.set_pending(&pending).await?;
    }
    update.utc_timestamp = at;
    Ok(())
}

/// A pending update that was in no request.
struct Foldable {
    pending: Pending,
    record: Record,
}

impl Foldable {
    /// `None` if it is not an unsent update of the same object.
    fn of(pending: Pending, new: &Decoded) -> Option<Self> {
        if pending.sent || pending.diff.operation != Operation::Update {
            return None;
        }
        let decoded = Decoded::read(pending.diff.clone()).ok()?;
        (decoded.object() == new.object()).then(|| Self { pending, record: decoded.into_record() })
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
/// made, directly before the new update of these fields, which was made at `at`.
///
/// In the end every diff has the time that the server would have given it by the rule of one millisecond if
/// nothing had been dropped.
fn folded(run: Vec<Foldable>, overwritten: &BTreeSet<String>, at: i64) -> Folded {
    let mut folded = Folded { at, ..Folded::default() };
    let mut latest = i64::MIN;
    for Foldable { mut pending, record } in run {
        let sent_at = pending.diff.utc_timestamp;
        latest = sent_at.max(latest.saturating_add(1));
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

    fn foldable(seq: i64, at: i64, fields: Value) -> Foldable {
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
        Foldable { pending: Pending { seq, sent: false, diff }, record }
    }

    /// The updates that are dropped, those whose time changes, and the time of the new update.
    fn fold(run: Vec<Foldable>, fields: &[&str], at: i64) -> (Vec<i64>, Vec<String>, i64) {
        let fields = fields.iter().map(|name| (*name).to_owned()).collect();
        let Folded { dropped, changed, at } = folded(run, &fields, at);
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
    fn where_nothing_goes_no_time_changes() {
        let run = vec![foldable(1, 10, json!({"a": 1})), foldable(2, 10, json!({"b": 1}))];
        assert_eq!(fold(run, &["c"], 10), (vec![], vec![], 10));
    }
}

//! What an answer does to one object with changes in flight: the protocol's table "Changes in flight".

use std::collections::VecDeque;

use super::Pending;
use crate::{
    diff::{Diff, Operation},
    record::Record,
};

/// A diff with its json_data read.
#[derive(Clone, Debug)]
pub(super) struct Decoded {
    pub(super) diff: Diff,
    record: Record,
}

/// A pending diff that is not in the answered request.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) seq: i64,
    pub(super) change: Decoded,
    /// Whether settling has changed it.
    pub(super) amended: bool,
}

/// A record as the server has it, and the time of its last change, or a later one if that is not known.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    pub(super) record: Option<Record>,
    pub(super) changed_at: i64,
}

impl Decoded {
    pub(super) fn read(diff: Diff) -> Result<Self, serde_json::Error> {
        let record = serde_json::from_str(&diff.json_data)?;
        Ok(Self { diff, record })
    }

    pub(super) fn object(&self) -> (String, String) {
        (self.diff.model.clone(), self.record.id().to_owned())
    }

    /// The names of its fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.record.fields().keys().map(String::as_str)
    }

    pub(super) fn into_record(self) -> Record {
        self.record
    }

    /// Applies the change to a record. A create replaces an existing one.
    pub(super) fn apply(&self, record: &mut Option<Record>) {
        match (self.diff.operation, record) {
            (Operation::Create, record) => *record = Some(self.record.clone()),
            (Operation::Update, Some(record)) => record.apply(self.record.clone()),
            (Operation::Update, None) => {}
            (Operation::Delete, record) => *record = None,
        }
    }

    fn is(&self, operation: Operation) -> bool {
        self.diff.operation == operation
    }
}

impl Left {
    /// `None` if its data cannot be read, so that it must be set aside.
    pub(super) fn of(pending: &Pending) -> Option<Self> {
        let change = Decoded::read(pending.diff.clone()).ok()?;
        Some(Self { seq: pending.seq, change, amended: false })
    }

    fn is(&self, operation: Operation) -> bool {
        self.change.is(operation)
    }

    /// Becomes an update without the fields for which `loses` returns true.
    fn amend(&mut self, loses: impl Fn(&str) -> bool) {
        let Decoded { diff, record } = &mut self.change;
        let lost = record.fields().keys().any(|name| loses(name));
        if lost || diff.operation == Operation::Create {
            let mut kept = Record::new(record.id());
            for (name, value) in record.fields().iter().filter(|(name, _)| !loses(name)) {
                kept.insert(name, value.clone());
            }
            diff.operation = Operation::Update;
            diff.json_data = serde_json::Value::from(kept.clone()).to_string();
            *record = kept;
            self.amended = true;
        }
    }
}

impl Acknowledged {
    /// Applies a change of this device that the server has accepted.
    pub(super) fn accept(&mut self, change: &Decoded) {
        change.apply(&mut self.record);
        self.changed_at = self.changed_at.max(change.diff.utc_timestamp);
    }

    /// Applies a change that has come at that time. A create bears the time when the object was created, and
    /// its fields may have been written at any time since.
    pub(super) fn receive(&mut self, change: &Decoded, now: i64) {
        self.accept(change);
        if change.is(Operation::Create) {
            self.changed_at = self.changed_at.max(now);
        }
    }
}

/// What remains of the device's newer changes after the changes of one answer, or of all pages.
pub(super) fn settle(answer: &[Decoded], left: VecDeque<Left>) -> VecDeque<Left> {
    // Lives that have begun and ended in the meantime leave nothing: the pending changes were made without
    // any knowledge of them. The end of the life that the device knows counts.
    let is_known = !answer.first().is_some_and(|first| first.is(Operation::Create));
    let end = answer.iter().rposition(|change| change.is(Operation::Delete));
    let first = end.map_or(0, |end| if is_known { end } else { end.saturating_add(1) });
    answer.iter().skip(first).fold(left, |left, change| merge(change, left))
}

fn merge(answer: &Decoded, mut left: VecDeque<Left>) -> VecDeque<Left> {
    match answer.diff.operation {
        // If the object was created again after it, that is another life.
        Operation::Delete => {
            while left.front().is_some_and(|change| !change.is(Operation::Create)) {
                left.pop_front();
            }
        }
        // Created and deleted on this device only: they do not affect the other life.
        Operation::Create => {
            while left.front().is_some_and(|change| change.is(Operation::Create)) {
                let delete = left.iter().position(|change| change.is(Operation::Delete));
                let Some(delete) = delete else { break };
                left.drain(..=delete);
            }
            meet(answer, &mut left);
        }
        Operation::Update => meet(answer, &mut left),
    }
    left
}

/// Field by field, the greater time wins; on a tie, the pending one wins. A delete in flight always wins.
fn meet(answer: &Decoded, left: &mut VecDeque<Left>) {
    if left.iter().any(|change| change.is(Operation::Delete)) {
        return;
    }
    let mut latest = i64::MIN;
    for change in left.iter_mut() {
        // As on the server, each diff counts as later than the one before it.
        latest = change.change.diff.utc_timestamp.max(latest.saturating_add(1));
        let answer_wins = answer.diff.utc_timestamp > latest;
        change.amend(|field| answer_wins && answer.record.get(field).is_some());
    }
    left.retain(|change| !change.change.record.fields().is_empty());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn change(operation: Operation, at: i64, fields: Value) -> Decoded {
        let mut data = fields;
        data["id"] = json!("t1");
        Decoded::read(Diff {
            id: format!("{operation}-{at}"),
            owner: String::new(),
            logical_clock: 0,
            utc_timestamp: at,
            operation,
            model: "tasks".to_owned(),
            json_data: data.to_string(),
        })
        .unwrap()
    }

    fn create(at: i64, fields: Value) -> Decoded {
        change(Operation::Create, at, fields)
    }

    fn update(at: i64, fields: Value) -> Decoded {
        change(Operation::Update, at, fields)
    }

    fn delete(at: i64) -> Decoded {
        change(Operation::Delete, at, json!({}))
    }

    /// What the device shows, and what it will send.
    fn settled(before: Value, answer: &[Decoded], left: Vec<Decoded>) -> (Value, Vec<String>) {
        let record = before.is_object().then(|| create(0, before).record);
        let mut acknowledged = Acknowledged { record, changed_at: 0 };
        let left = left.into_iter().map(|change| Left { seq: 0, change, amended: false });
        for diff in answer {
            acknowledged.receive(diff, 0);
        }
        let left = settle(answer, left.collect());
        let mut shown = acknowledged.record;
        for left in &left {
            left.change.apply(&mut shown);
        }
        let line = |left: &Left| {
            let fields = Value::Object(left.change.record.fields().clone());
            format!("{} {fields}", left.change.diff.operation)
        };
        let shown = shown.map_or(Value::Null, |record| Value::Object(record.into_parts().1));
        (shown, left.iter().map(line).collect())
    }

    #[test]
    fn a_delete_wins_over_updates_and_deletes_in_flight() {
        let before = json!({"a": 1});
        let left = vec![update(90, json!({"a": 2})), delete(91)];
        assert_eq!(settled(before, &[delete(5)], left), (Value::Null, vec![]));
    }

    #[test]
    fn what_was_made_anew_behind_a_delete_goes_on() {
        let left = vec![delete(1), create(2, json!({"a": 2})), update(3, json!({"a": 3}))];
        let after = settled(json!({"a": 1}), &[delete(50)], left);
        let sent = vec![r#"create {"a":2}"#.to_owned(), r#"update {"a":3}"#.to_owned()];
        assert_eq!(after, (json!({"a": 3}), sent));
    }

    #[test]
    fn of_two_updates_each_field_goes_to_the_later_and_on_a_tie_to_the_pending_one() {
        let answer = [update(10, json!({"a": "theirs", "b": "theirs", "c": "theirs"}))];
        let left = vec![
            update(5, json!({"a": "mine", "b": "mine", "d": "mine"})),
            update(10, json!({"b": "mine again"})),
        ];
        let after = settled(json!({"a": 0}), &answer, left);
        let shown = json!({"a": "theirs", "b": "mine again", "c": "theirs", "d": "mine"});
        let sent = vec![r#"update {"d":"mine"}"#.into(), r#"update {"b":"mine again"}"#.into()];
        assert_eq!(after, (shown, sent));
    }

    #[test]
    fn an_update_that_loses_all_of_its_fields_is_dropped() {
        let left = vec![update(5, json!({"a": "mine"}))];
        let after = settled(json!({"a": 0}), &[update(6, json!({"a": "theirs"}))], left);
        assert_eq!(after, (json!({"a": "theirs"}), vec![]));
    }

    #[test]
    fn a_clock_set_back_between_two_changes_does_not_turn_their_order() {
        let left = vec![update(15, json!({"a": "first"})), update(5, json!({"a": "second"}))];
        let after = settled(json!({"a": 0}), &[update(10, json!({"a": "theirs"}))], left);
        assert_eq!(after.0, json!({"a": "second"}));
    }

    #[test]
    fn a_delete_in_flight_wins_over_an_update() {
        let left = vec![update(1, json!({"a": "mine"})), delete(2), create(3, json!({"b": 1}))];
        let after = settled(json!({"a": 0}), &[update(90, json!({"a": "theirs"}))], left);
        assert_eq!(after.0, json!({"b": 1}));
        assert_eq!(after.1.len(), 3);
    }

    #[test]
    fn two_creates_meet_field_by_field_and_the_pending_one_goes_on_as_an_update() {
        let answer = [create(10, json!({"a": "theirs", "b": "theirs"}))];
        let left = vec![create(5, json!({"a": "mine", "c": "mine"})), update(11, json!({"b": 1}))];
        let after = settled(Value::Null, &answer, left);
        let sent = vec![r#"update {"c":"mine"}"#.to_owned(), r#"update {"b":1}"#.to_owned()];
        assert_eq!(after, (json!({"a": "theirs", "b": 1, "c": "mine"}), sent));
    }

    #[test]
    fn what_was_made_and_deleted_in_flight_is_as_if_it_had_not_been() {
        let theirs = create(10, json!({"a": "theirs"}));
        let gone = vec![create(90, json!({"a": "mine"})), delete(91)];
        let after = settled(Value::Null, std::slice::from_ref(&theirs), gone.clone());
        assert_eq!(after, (json!({"a": "theirs"}), vec![]));

        let again = gone.into_iter().chain([create(92, json!({"b": "mine"}))]).collect();
        let after = settled(Value::Null, &[theirs], again);
        let sent = vec![r#"update {"b":"mine"}"#.to_owned()];
        assert_eq!(after, (json!({"a": "theirs", "b": "mine"}), sent));
    }

    #[test]
    fn a_life_that_has_begun_and_ended_meanwhile_takes_nothing_with_it() {
        let other_life = [create(1, json!({"a": "theirs"})), delete(90)];
        let mine = vec![create(5, json!({"a": "mine"}))];
        let sent = vec![r#"create {"a":"mine"}"#.to_owned()];
        let after = settled(Value::Null, &other_life, mine.clone());
        assert_eq!(after, (json!({"a": "mine"}), sent.clone()));

        // The life that the device knows has ended, too.
        let lives = [&[delete(1)], &other_life[..]].concat();
        let left = [vec![update(5, json!({"a": "lost"})), delete(6)], mine].concat();
        assert_eq!(settled(json!({"a": 0}), &lives, left), (json!({"a": "mine"}), sent));
    }
}

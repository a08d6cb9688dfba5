//! Which log entries a handler gets.

use crate::{DatabaseError, Diff, Operation, hash::HashMap, merge::Entry};

/// Filters entries (whole ticks in the log's order) for those that changed something for others.
///
/// Receipts are left out, and so are lives that begin and end in the same tick, because nobody else ever
/// saw them. This includes the two entries of a refused create, and lives apart, which a reader would
/// otherwise mistake for the object's other life.
///
/// # Errors
/// If the log is broken.
pub(super) fn changes(entries: Vec<Diff>, log: &str) -> Result<Vec<Diff>, DatabaseError> {
    let mut is_told = vec![true; entries.len()];
    let mut forget = |place: usize| {
        if let Some(is_told) = is_told.get_mut(place) {
            *is_told = false;
        }
    };
    // By object, the places of the entries of the life that began in this tick.
    let mut begun = HashMap::<_, Vec<usize>>::default();
    let mut tick = None;
    for (place, diff) in entries.iter().enumerate() {
        if tick.replace(diff.logical_clock) != Some(diff.logical_clock) {
            begun.clear();
        }
        if diff.model == log {
            forget(place);
            continue;
        }
        let entry = Entry::of_log(diff)?;
        let object = (diff.model.as_str(), entry.object);
        match diff.operation {
            Operation::Create => begun.entry(object).or_default().push(place),
            Operation::Update if entry.fields.is_empty() => forget(place),
            Operation::Update => {
                if let Some(life) = begun.get_mut(&object) {
                    life.push(place);
                }
            }
            Operation::Delete => {
                if let Some(life) = begun.remove(&object) {
                    life.into_iter().chain([place]).for_each(&mut forget);
                }
            }
        }
    }
    drop(begun);
    let mut is_told = is_told.into_iter();
    Ok(entries.into_iter().filter(|_| is_told.next().unwrap_or(true)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries that a handler gets of these, each as `tick operation object fields`.
    fn told(entries: &[&str]) -> Vec<String> {
        let entry = |(place, line): (usize, &&str)| {
            let [tick, operation, id, fields] =
                line.splitn(4, ' ').collect::<Vec<_>>().try_into().unwrap();
            let mut data: serde_json::Map<_, _> = serde_json::from_str(fields).unwrap();
            data.insert("id".to_owned(), id.into());
            Diff {
                id: format!("d{place}"),
                owner: "ada".to_owned(),
                logical_clock: tick.parse().unwrap(),
                utc_timestamp: i64::try_from(place).unwrap(),
                operation: Operation::parse(operation).unwrap(),
                model: if id == "horizon" { "diffs" } else { "tasks" }.to_owned(),
                json_data: serde_json::Value::Object(data).to_string(),
            }
        };
        let entries: Vec<Diff> = entries.iter().enumerate().map(entry).collect();
        changes(entries, "diffs").unwrap().into_iter().map(|diff| diff.id).collect()
    }

    #[test]
    fn what_has_changed_something_is_told() {
        let ticks = [
            r#"0 create t1 {"a":1}"#,
            "0 create t2 {}",
            r#"1 update t1 {"a":2}"#,
            "1 delete t2 {}",
            r#"1 create t2 {"a":1}"#,
        ];
        assert_eq!(told(&ticks), ["d0", "d1", "d2", "d3", "d4"]);
    }

    #[test]
    fn receipts_are_not_nor_what_is_the_logs_own() {
        assert_eq!(told(&["0 update t1 {}", r#"0 update t1 {"a":1}"#]), ["d1"]);
        assert!(told(&["0 update horizon {}", r#"1 update horizon {"a":1}"#]).is_empty());
    }

    #[test]
    fn nor_are_lives_within_a_tick_though_the_others_of_the_object_are() {
        let refused_create = ["3 create t1 {}", "3 delete t1 {}"];
        assert!(told(&refused_create).is_empty());
        let between_two = [
            "4 delete t1 {}",
            r#"4 create t1 {"a":1}"#,
            r#"4 update t1 {"a":2}"#,
            "4 create t2 {}",
            "4 delete t1 {}",
            r#"4 create t1 {"a":3}"#,
            r#"4 update t1 {"a":4}"#,
        ];
        assert_eq!(told(&between_two), ["d0", "d3", "d5", "d6"]);
        let life_apart = [
            r#"1 create t1 {"a":1}"#,
            r#"2 create t1 {"a":2}"#,
            "2 delete t1 {}",
            r#"2 update t1 {"a":3}"#,
        ];
        assert_eq!(told(&life_apart), ["d0", "d3"]);
    }

    #[test]
    fn but_a_life_that_ends_in_a_later_tick_is_told_even_if_both_come_together() {
        assert_eq!(told(&["1 create t1 {}", "2 delete t1 {}"]), ["d0", "d1"]);
    }

    #[test]
    fn a_broken_log_is_an_error() {
        let broken = Diff {
            id: "d".to_owned(),
            owner: "ada".to_owned(),
            logical_clock: 0,
            utc_timestamp: 0,
            operation: Operation::Create,
            model: "tasks".to_owned(),
            json_data: "[]".to_owned(),
        };
        changes(vec![broken], "diffs").unwrap_err();
    }
}

//! Who decides before a diff is applied: the application's rules, and a database's own methods.

use mobync::{
    Change, Database, Diff, Error, Mobync, Owner, Record, Refusal, Rules, Synchronizer, View,
    memory::MemoryDatabase,
};
use serde_json::json;

use super::{
    support::{Plain, Server, ada, create, delete, diffs, line, lines, update},
    told,
};

/// Membership, checked when the diff's turn comes; and a quota.
#[derive(Debug)]
struct MembersOnly;

impl Rules for MembersOnly {
    async fn create(&self, _: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        if diff.model == "members" {
            return Ok(());
        }
        if view.find("members", "m1").await?.is_none() {
            return Err(Refusal::because("Join first."));
        }
        if view.read("tasks", &[]).await?.len() >= 2 {
            return Err(Refusal::because("Two tasks are enough."));
        }
        Ok(())
    }

    async fn delete(&self, _: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        match diff.model.as_str() {
            "tasks" if view.find("members", "m1").await?.is_none() => {
                Err(Refusal::because("Join first."))
            }
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_rule_sees_the_requests_earlier_diffs_done() {
    let mobync = Mobync::new(MemoryDatabase::new()).rules(MembersOnly);
    let sent = [
        create("t0", json!({})),
        create("m1", json!({})).model("members"),
        create("t1", json!({})),
        create("t2", json!({})),
        create("t3", json!({})),
        delete("m1").model("members").at(9),
        create("t4", json!({})),
    ];
    let answer = mobync.apply(&ada(), 0, diffs(sent)).await.unwrap();
    let said: Vec<_> = answer.refused.iter().map(|refused| &*refused.message).collect();
    assert_eq!(said, ["Join first.", "Two tasks are enough.", "Join first."]);
    assert_eq!(mobync.database().records(&ada(), "tasks").len(), 2);
}

/// Its rule on deletes alone.
struct OnDelete;

impl Rules for OnDelete {
    async fn delete(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        MembersOnly.delete(owner, diff, view).await
    }
}

#[tokio::test]
async fn a_rule_may_judge_a_delete_otherwise_when_its_turn_comes() {
    let mobync = Mobync::new(MemoryDatabase::new());
    mobync.apply(&ada(), 0, diffs([create("t1", json!({"a": 1}))])).await.unwrap();
    let mobync = mobync.rules(MembersOnly);
    // Before its turn the delete looks forbidden. In its turn it is allowed: a life apart.
    let sent = [
        create("m0", json!({})).model("members"),
        create("t1", json!({"a": 2})).at(1),
        create("m1", json!({})).model("members"),
        delete("t1").at(2),
    ];
    let answer = mobync.apply(&ada(), 0, diffs(sent)).await.unwrap();
    assert_eq!(answer.refused.len(), 1, "the create came before the joining: {:?}", answer.refused);

    // The same with a create that is allowed, because the rule on creates is off.
    let mobync = Mobync::new(MemoryDatabase::new());
    mobync.apply(&ada(), 0, diffs([create("t1", json!({"a": 1}))])).await.unwrap();
    let mobync = mobync.rules(OnDelete);
    let sent = [
        create("t1", json!({"a": 2})).at(1),
        create("m1", json!({})).model("members"),
        delete("t1").at(2),
    ];
    let answer = mobync.apply(&ada(), 0, diffs(sent)).await.unwrap();
    assert!(answer.refused.is_empty(), "{:?}", answer.refused);
    assert_eq!(answer.diffs.iter().map(line).collect::<Vec<_>>(), [r#"create t1 {"a":1}"#]);
    let task = mobync.database().records(&ada(), "tasks");
    assert_eq!(task[0].get("a"), Some(&json!(1)), "the one alive goes on untouched");

    // And the other way round: allowed before its turn, refused in its turn.
    let clock = answer.logical_clock;
    mobync.apply(&ada(), clock, diffs([create("t2", json!({"a": 1}))])).await.unwrap();
    let sent = [
        create("t2", json!({"a": 3})).at(1),
        delete("m1").model("members"),
        delete("t2").at(2).id("d2"),
    ];
    let answer = mobync.apply(&ada(), clock, diffs(sent)).await.unwrap();
    let told: Vec<_> = answer.refused.iter().map(|refused| &*refused.diff_id).collect();
    assert_eq!(told, ["d2"]);
    let task = mobync.database().records(&ada(), "tasks");
    assert_eq!(task[1].get("a"), Some(&json!(3)), "the create met the one alive");
}

#[tokio::test]
async fn a_failing_rule_fails_the_sync() {
    struct Failing;
    impl Rules for Failing {
        async fn create(&self, _: &Owner, _: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
            Err(mobync::DatabaseError::failed("no such table: members").into())
        }
    }
    let mobync = Mobync::new(MemoryDatabase::new()).rules(Failing);
    let error = mobync.apply(&ada(), 0, diffs([create("t1", json!({}))])).await.unwrap_err();
    assert!(matches!(error, Error::Internal(_)));
}

/// A rule that is called for every diff, with its kind.
async fn no_kind_named_after_itself(
    _: &Owner,
    diff: &Diff,
    view: &mut View<'_>,
) -> Result<(), Refusal> {
    if diff.object_id()? == diff.operation.as_str() && view.find("tasks", "t9").await?.is_none() {
        return Err(Refusal::because(format!("No {}.", diff.operation)));
    }
    Ok(())
}

/// Sends one refused diff of each kind, and one that is accepted.
async fn refused_of_each_kind(mobync: Mobync<impl Database, impl Rules>) -> Vec<String> {
    let objects = ["create", "update", "delete"];
    let changes = objects.map(|id| Change::create("tasks", Record::new(id)));
    mobync.write(&ada(), changes).await.unwrap();
    let sent = [
        create("t1", json!({})),
        create("create", json!({})),
        update("update", json!({"a": 1})),
        delete("delete"),
        update("t1", json!({"a": 1})),
        delete("t1").at(1),
    ];
    let answer = mobync.apply(&ada(), 1, diffs(sent)).await.unwrap();
    answer.refused.into_iter().map(|refused| refused.message).collect()
}

#[tokio::test]
async fn a_function_or_a_closure_is_asked_about_every_diff() {
    let mobync = || Mobync::new(MemoryDatabase::new());
    let all = ["No create.", "No update.", "No delete."];
    assert_eq!(refused_of_each_kind(mobync().rules(no_kind_named_after_itself)).await, all);
    assert_eq!(refused_of_each_kind(mobync().rules(no_kind_named_after_itself).erase()).await, all);
    let closure = async |owner: &Owner, diff: &Diff, view: &mut View<'_>| -> Result<(), Refusal> {
        no_kind_named_after_itself(owner, diff, view).await
    };
    assert_eq!(refused_of_each_kind(mobync().rules(closure)).await, all);
    assert_eq!(refused_of_each_kind(mobync().rules(Some(closure))).await, all);
    assert!(refused_of_each_kind(mobync().rules(None::<MembersOnly>)).await.is_empty());
}

#[tokio::test]
async fn a_diff_that_does_not_fit_a_rules_type_is_refused_alone() {
    #[derive(serde::Deserialize)]
    struct Task {
        a: Option<i64>,
    }
    async fn few(_: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        match diff.parse::<Task>()?.a {
            Some(10..) => Err(Refusal::because("That is too much.")),
            _ => Ok(()),
        }
    }
    let mobync = Mobync::new(MemoryDatabase::new()).rules(few);
    let sent = || {
        [
            create("t1", json!({"a": "many"})).id("d1"),
            create("t2", json!({"a": 11})).id("d2"),
            create("t3", json!({"a": 9, "b": 1})).id("d3"),
        ]
    };
    let answer = mobync.apply(&ada(), 0, diffs(sent())).await.unwrap();
    let refused: Vec<_> =
        answer.refused.iter().map(|refused| (&*refused.diff_id, &*refused.code)).collect();
    assert_eq!(refused, [("d1", "invalid_value"), ("d2", "forbidden")]);
    assert!(answer.refused[0].message.contains("does not fit"), "{answer:?}");
    assert_eq!(mobync.database().records(&ada(), "tasks").len(), 1);

    let whole = Mobync::new(MemoryDatabase::new()).rules(few).all_or_nothing(true);
    let error = whole.apply(&ada(), 0, diffs(sent())).await.unwrap_err();
    assert_eq!((error.code(), error.diff_id()), ("invalid_value", Some("d1")));
    let error = whole.apply(&ada(), 0, diffs(sent().into_iter().skip(1))).await.unwrap_err();
    assert_eq!((error.code(), error.diff_id()), ("forbidden", Some("d2")));
}

/// How the seven methods refuse.
mod validate_methods {
    use mobync::{DatabaseError, ReadFilter, Record};

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct ReadOnlyTasks(Plain);

    impl Synchronizer for ReadOnlyTasks {
        type Error = DatabaseError;

        async fn read(
            &mut self,
            owner: &Owner,
            model: &str,
            filters: &[ReadFilter],
        ) -> Result<Vec<Record>, DatabaseError> {
            self.0.read(owner, model, filters).await
        }
        async fn create(
            &mut self,
            owner: &Owner,
            model: &str,
            record: Record,
        ) -> Result<(), DatabaseError> {
            self.0.create(owner, model, record).await
        }
        async fn update(
            &mut self,
            owner: &Owner,
            model: &str,
            changes: Record,
        ) -> Result<(), DatabaseError> {
            self.0.update(owner, model, changes).await
        }
        async fn delete(
            &mut self,
            owner: &Owner,
            model: &str,
            id: &str,
        ) -> Result<(), DatabaseError> {
            self.0.delete(owner, model, id).await
        }
        async fn validate_create(&mut self, _: &Owner, _: &Diff) -> Result<bool, DatabaseError> {
            Ok(true)
        }
        async fn validate_update(
            &mut self,
            owner: &Owner,
            diff: &Diff,
        ) -> Result<bool, DatabaseError> {
            // Only the request's earlier diffs, and those of others before, are visible.
            Ok(!self.0.read(owner, &diff.model, &[]).await?.is_empty())
        }
        async fn validate_delete(&mut self, _: &Owner, _: &Diff) -> Result<bool, DatabaseError> {
            Ok(false)
        }
        async fn commit(self) -> Result<(), DatabaseError> {
            self.0.commit().await
        }
    }

    #[tokio::test]
    async fn what_validate_forbids_is_refused_alone() {
        let server = Server::new(ReadOnlyTasks::default());
        let sent = [
            update("t1", json!({"a": 0})).id("early").model("others"),
            create("t1", json!({"a": 1})),
            update("t1", json!({"a": 2})).at(1),
            delete("t1").id("d").at(2),
        ];
        let answer = server.sync(0, sent).await;
        assert_eq!(told(&answer), [("early", "forbidden"), ("d", "forbidden")]);
        assert_eq!(answer.refused[1].message, "You are not allowed to delete this in tasks.");
        assert_eq!(lines(&answer.diffs), [r#"create t1 {"a":2}"#]);
    }
}

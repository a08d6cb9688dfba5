//! Members with nothing to bring and nothing to get are told by one query; whatever becomes of it, each is answered
//! as if it were alone.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::{
    support::{create, diffs},
    town::{Role, Town},
};

const SPACES: [&str; 3] = ["family", "club", "choir"];

/// A town with these spaces, each of which has one task.
async fn town() -> Town {
    let town = Town::new();
    for space in SPACES.iter().chain(&["together fails", "together panics"]) {
        town.members.join(space, "ada", Role::Writer);
        let body = json!({"auth_token": format!("ada@{space}"), "logical_clock": 0,
            "diffs": diffs([create("t1", json!({"name": space}))])});
        assert_eq!(town.json(&body).await.0, 200);
    }
    town
}

fn batch(members: impl IntoIterator<Item = (&'static str, i64)>) -> Value {
    let member =
        |(space, clock)| json!({"space": space, "logical_clock": clock, "diffs": [], "owner": ""});
    json!({"auth_token": "ada", "syncs": members.into_iter().map(member).collect::<Vec<_>>()})
}

#[tokio::test]
async fn idle_members_are_told_together_and_open_no_unit_of_work() {
    let town = town().await;
    *town.database.open.lock().unwrap() = (0, 0);
    let (_, answer) = town.json(&batch(SPACES.map(|space| (space, 1)))).await;
    for (space, answer) in SPACES.iter().zip(answer["syncs"].as_array().unwrap()) {
        let expected = json!({"status": 200, "success": true, "message": "", "logical_clock": 1,
            "diffs": [], "owner": format!("space {space}")});
        assert_eq!(answer, &expected);
    }
    assert_eq!(town.database.told.load(Ordering::Relaxed), 3);
    assert_eq!(*town.database.open.lock().unwrap(), (0, 0));
}

#[tokio::test]
async fn a_query_that_fails_or_panics_leaves_each_member_to_itself() {
    std::panic::set_hook(Box::new(|_| {}));
    for ill in ["together fails", "together panics"] {
        let town = town().await;
        let members = [("family", 1), ("club", 0), (ill, 1), ("choir", 7)];
        let (status, answer) = town.json(&batch(members)).await;
        let told = |of: &str| {
            answer["syncs"].as_array().unwrap().iter().map(|it| it[of].clone()).collect()
        };
        let statuses: Vec<Value> = told("status");
        let clocks: Vec<Value> = told("logical_clock");
        assert_eq!((status, statuses), (200, vec![json!(200), json!(200), json!(200), json!(409)]));
        assert_eq!(clocks, [json!(1), json!(1), json!(1), Value::Null]);
        assert_eq!(town.database.told.load(Ordering::Relaxed), 0);
    }
    let _ = std::panic::take_hook();
}

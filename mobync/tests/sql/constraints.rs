//! A change that violates a constraint is refused alone. The rest of its batch is applied.

use mobync::Database;
use serde_json::json;

use super::{
    Server, postgres_server, sqlite_server,
    support::{Sent, create, delete, update},
};

const LISTS: &[&str] = &[
    "CREATE TABLE lists (id text, owner text, name text UNIQUE, PRIMARY KEY (owner, id))",
    "CREATE TABLE tasks (id text, owner text, list text, n integer CONSTRAINT small CHECK (n < 10), \
     name text NOT NULL DEFAULT '', PRIMARY KEY (owner, id), \
     CONSTRAINT tasks_list FOREIGN KEY (owner, list) REFERENCES lists (owner, id))",
];

fn list(id: &str) -> Sent {
    create(id, json!({"name": format!("list {id}")})).model("lists")
}

async fn constraints_refuse_alone<D: Database>(server: Server<D>, names: [&str; 5]) {
    // Many at once, a parent before its children, and one in the middle of a batch without a parent.
    let mut sent = vec![list("l1")];
    sent.extend((0..20).map(|n| {
        let parent = if n == 13 { "gone" } else { "l1" };
        create(&format!("t{n}"), json!({"list": parent, "n": 1})).id(&format!("d{n}"))
    }));
    let refused = server.refused(0, sent).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((&*refused[0].0, &*refused[0].1), ("d13", "constraint"));
    assert!(refused[0].2.contains(names[0]), "{refused:?}");
    assert_eq!(server.rows("tasks").await.len(), 19);

    let sent = [
        list("l2"),
        create("x", json!({"name": "list l1"})).model("lists").id("unique"),
        update("t1", json!({"n": 10})).id("check"),
        update("t2", json!({"name": null})).id("null"),
        delete("l1").model("lists").id("parent"),
        update("t3", json!({"n": 3})).at(1),
    ];
    let refused = server.refused(1, sent).await;
    let told: Vec<_> = refused.iter().map(|(id, code, _)| (&**id, &**code)).collect();
    let expected = ["unique", "check", "null", "parent"].map(|id| (id, "constraint"));
    assert_eq!(told, expected, "{refused:?}");
    for ((_, _, message), name) in refused.iter().zip(&names[1..]) {
        assert!(message.contains(name), "{message}: {name}");
    }
    let rows = server.rows("tasks").await;
    let t3 = rows.iter().find(|row| row["id"] == "t3").unwrap();
    assert_eq!(t3, &json!({"id": "t3", "list": "l1", "n": 3, "name": ""}));
    assert_eq!(server.rows("lists").await.len(), 2);
}

#[tokio::test]
async fn a_violated_constraint_of_postgresql_refuses_its_diff_alone() {
    let server = postgres_server(LISTS, &["lists", "tasks"]).await;
    let names = ["tasks_list", "lists_name_key", "small", "name", "tasks_list"];
    constraints_refuse_alone(server, names).await;
}

#[tokio::test]
async fn a_violated_constraint_of_sqlite_refuses_its_diff_alone() {
    let (server, _folder) = sqlite_server(LISTS, &["lists", "tasks"]).await;
    let names = ["foreign key", "lists.name", "small", "tasks.name", "foreign key"];
    constraints_refuse_alone(server, names).await;
}

const DEFERRED: &[&str] = &[
    "CREATE TABLE lists (id text, owner text, first_task text, PRIMARY KEY (owner, id))",
    "CREATE TABLE tasks (id text, owner text, list text, PRIMARY KEY (owner, id), \
     CONSTRAINT tasks_list FOREIGN KEY (owner, list) REFERENCES lists (owner, id) \
     DEFERRABLE INITIALLY DEFERRED)",
];

async fn deferred_constraints_hold_at_the_end<D: Database>(server: Server<D>) {
    // A child before its parent: valid at the commit.
    let sent = [create("t1", json!({"list": "l1"})), create("l1", json!({})).model("lists")];
    assert!(server.refused(0, sent).await.is_empty());

    // Invalid at the commit: the diff that causes it is refused alone.
    let sent = [
        create("t2", json!({"list": "l1"})),
        create("t3", json!({"list": "gone"})).id("bad"),
        create("t4", json!({"list": "l1"})),
    ];
    let refused = server.refused(1, sent).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((&*refused[0].0, &*refused[0].1), ("bad", "constraint"));
    assert_eq!(server.rows("tasks").await.len(), 3);
}

#[tokio::test]
async fn a_deferred_constraint_is_checked_at_the_end_and_refuses_alone() {
    deferred_constraints_hold_at_the_end(postgres_server(DEFERRED, &["lists", "tasks"]).await)
        .await;
    let (sqlite, _folder) = sqlite_server(DEFERRED, &["lists", "tasks"]).await;
    deferred_constraints_hold_at_the_end(sqlite).await;
}

#[tokio::test]
async fn two_rows_can_change_names_in_the_order_made() {
    let statements = &[
        "CREATE TABLE tasks (id text, owner text, name text, PRIMARY KEY (owner, id), UNIQUE (owner, name))",
    ];
    let (sqlite, _folder) = sqlite_server(statements, &["tasks"]).await;
    let postgres = postgres_server(statements, &["tasks"]).await;
    let made = || [create("a", json!({"name": "x"})), create("b", json!({"name": "y"}))];
    let moved = || {
        [
            update("b", json!({"name": "z"})).at(1),
            update("a", json!({"name": "y"})).at(2),
            update("b", json!({"name": "x"})).at(3),
        ]
    };
    for refused in [
        [sqlite.refused(0, made()).await, sqlite.refused(1, moved()).await],
        [postgres.refused(0, made()).await, postgres.refused(1, moved()).await],
    ] {
        assert!(refused.iter().all(Vec::is_empty), "{refused:?}");
    }
    let expected = [json!({"id": "a", "name": "y"}), json!({"id": "b", "name": "x"})];
    assert_eq!(sqlite.rows("tasks").await, expected);
    assert_eq!(postgres.rows("tasks").await, expected);
}

#[tokio::test]
async fn what_a_trigger_says_is_told_to_the_person() {
    let server = postgres_server(
        &[
            "CREATE TABLE tasks (id text, owner text, a text, PRIMARY KEY (owner, id))",
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \
             $$BEGIN RAISE EXCEPTION 'Not on a Sunday'; END$$",
            "CREATE TRIGGER no BEFORE DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION no()",
        ],
        &["tasks"],
    )
    .await;
    server.sync(0, [create("t1", json!({}))]).await;
    let refused = server.refused(1, [delete("t1").id("d")]).await;
    assert_eq!((&*refused[0].0, &*refused[0].1), ("d", "constraint"));
    assert!(refused[0].2.contains("Not on a Sunday"), "{refused:?}");
    assert_eq!(server.rows("tasks").await.len(), 1);
}

const SELF_DEFERRED: &[&str] = &[
    "CREATE TABLE lists (id text, owner text, above text, PRIMARY KEY (owner, id), \
     FOREIGN KEY (owner, above) REFERENCES lists (owner, id) DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE tasks (id text, owner text, list text, n integer, PRIMARY KEY (owner, id), \
     FOREIGN KEY (owner, list) REFERENCES lists (owner, id) DEFERRABLE INITIALLY DEFERRED)",
];

/// Requests in which children come before their parents, and parents are deleted before their children.
/// Some children have no parent at all: only these are refused, whatever the order is.
async fn only_those_to_blame_are_refused<D: Database>(server: Server<D>) {
    let above = |id: &str, above: &str| create(id, json!({"above": above})).model("lists").id(id);
    let task = |id: &str, list: &str| create(id, json!({"list": list})).id(id);
    let top = |id: &str| create(id, json!({})).model("lists").id(id);
    server.sync(0, [top("old"), task("child", "old"), task("other", "old")]).await;
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let name = |what: &str| format!("{what}-{seed}");
        let mut sent: Vec<Vec<Sent>> = vec![
            vec![task(&name("c3"), &name("p3"))],
            vec![top(&name("p3"))],
            vec![task(&name("o1"), "gone")],
            vec![
                task(&name("c4"), &name("p4")),
                update(&name("c4"), json!({"n": 4})).at(1).id(&name("u4")),
            ],
            vec![top(&name("p4"))],
            vec![above(&name("o2"), "gone")],
            // A diff that references a refused one is refused as well.
            vec![task(&name("o3"), &name("o2"))],
        ];
        // A chain in which each needs the next.
        for n in 0..6 {
            let next = name(&format!("chain{}", n + 1));
            sent.push(vec![above(&name(&format!("chain{n}")), &next)]);
        }
        sent.push(vec![top(&name("chain6"))]);
        random.shuffle(&mut sent);
        let clock = server.sync(0, []).await.logical_clock;
        let mut refused: Vec<String> =
            server.refused(clock, sent.concat()).await.into_iter().map(|one| one.0).collect();
        refused.sort();
        assert_eq!(refused, ["o1", "o2", "o3"].map(name), "seed {seed}");
        let rows = server.rows("tasks").await;
        let c4 = rows.iter().find(|row| row["id"] == *name("c4")).unwrap();
        assert_eq!(c4["n"], 4);
    }
    let clock = server.sync(0, []).await.logical_clock;
    let sent = [
        delete("old").model("lists").id("parent"),
        delete("child"),
        task("orphan", "gone"),
        delete("other"),
    ];
    let refused = server.refused(clock, sent).await;
    assert_eq!((refused.len(), &*refused[0].0), (1, "orphan"), "{refused:?}");
}

#[tokio::test]
async fn of_deferred_constraints_only_those_to_blame_are_refused_in_any_order() {
    let tables = &["lists", "tasks"];
    only_those_to_blame_are_refused(postgres_server(SELF_DEFERRED, tables).await).await;
    let (sqlite, _folder) = sqlite_server(SELF_DEFERRED, tables).await;
    only_those_to_blame_are_refused(sqlite).await;
}

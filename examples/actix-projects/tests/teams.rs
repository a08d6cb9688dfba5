//! Who may do what: over HTTP, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use serde_json::{Value, json};

use self::support::{Server, diff, on_every_database};

const NONE: Value = Value::Null;

fn task(author: &str, fields: &Value) -> Value {
    let mut task = json!({"title": "Engine", "author": author});
    task.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    diff("create", "tasks", &task)
}

/// Why the only refused diff of an answer was refused.
fn refusal(answer: &Value) -> &str {
    assert_eq!(
        (&answer["status"], answer["refused"].as_array().map(Vec::len)),
        (&json!(200), Some(1))
    );
    answer["refused"][0]["message"].as_str().unwrap()
}

#[test]
fn an_invited_person_learns_of_it_by_their_own_data_and_is_a_member_once_they_accept() {
    on_every_database(|server| {
        let project = server.found("ada", "Garden");
        let invitation = format!("/projects/{project}/invitations/bob");
        server.does("PUT", &invitation, "ada", &json!({"role": "editor"}));
        let again = server.ask("PUT", &invitation, "ada", &json!({"role": "reader"}));
        assert_eq!((again.0, &again.1["code"]), (403, &json!("forbidden")));
        let own = server.own("bob");
        assert!(own.len() == 1 && own[0].starts_with("create invitations"), "{own:?}");
        assert!(own[0].contains(&project) && own[0].contains("Garden"), "{own:?}");
        assert_eq!(server.push("bob", &project, 0, &[])["code"], "no_member");

        server.does("POST", &format!("/projects/{project}/members"), "bob", &NONE);
        let own = server.own("bob");
        assert!(own.len() == 1 && own[0].starts_with("create memberships"), "{own:?}");
        assert_eq!(server.push("bob", &project, 0, &[])["status"], 200);
        let twice = server.ask("POST", &format!("/projects/{project}/members"), "bob", &NONE);
        assert_eq!((twice.0, &twice.1["code"]), (403, &json!("no_member")));
    });
}

#[test]
fn an_invitation_that_is_declined_or_withdrawn_cannot_be_accepted() {
    let server = Server::start();
    let project = server.found("ada", "Garden");
    let invitation = format!("/projects/{project}/invitations/bob");
    for whose in ["bob", "ada"] {
        server.does("PUT", &invitation, "ada", &json!({"role": "editor"}));
        assert_eq!(server.ask("DELETE", &invitation, "eve", &NONE).0, 403);
        server.does("DELETE", &invitation, whose, &NONE);
        assert_eq!(server.own("bob"), [""; 0]);
        let accepted = server.ask("POST", &format!("/projects/{project}/members"), "bob", &NONE);
        assert_eq!(accepted.0, 403);
        // There is nothing left to withdraw.
        assert_eq!(server.ask("DELETE", &invitation, whose, &NONE).0, 403);
    }
}

#[test]
fn a_former_member_with_a_known_id_is_like_a_stranger_with_a_guessed_one() {
    on_every_database(|server| {
        let project = server.found("ada", "Garden");
        server.joins(&project, "ada", "bob", "editor");
        server.push("ada", &project, 0, &[task("ada", &json!({"id": "t1"}))]);
        assert_eq!(server.push("bob", &project, 0, &[])["status"], 200);
        server.does("DELETE", &format!("/projects/{project}/members/bob"), "ada", &NONE);

        let change = [diff("update", "tasks", &json!({"id": "t1", "title": "Stolen"}))];
        let former = server.push("bob", &project, 3, &change);
        assert_eq!((&former["status"], &former["code"]), (&json!(403), &json!("no_member")));
        let nowhere = "01893a3c-0000-7000-8000-000000000000";
        for space in
            [nowhere, "project x", "../x", "ada", &format!("project {project}"), &"x".repeat(1024)]
        {
            assert_eq!(server.push("bob", space, 0, &change), former, "{space}");
            assert_eq!(server.push("eve", space, 0, &change), former, "{space}");
        }
        assert_eq!(server.push("eve", &project, 0, &[]), former);
        assert_eq!(server.own("bob"), [""; 0]);
        let seen = server.push("ada", &project, 0, &[]).to_string();
        assert!(seen.contains("Engine") && !seen.contains("Stolen"), "{seen}");
    });
}

#[test]
fn a_batch_that_mixes_spaces_keeps_them_apart() {
    let server = Server::start();
    let [garden, boat, bobs] = ["Garden", "Boat", "Bob's"]
        .map(|name| server.found(if name == "Bob's" { "bob" } else { "ada" }, name));
    server.joins(&boat, "ada", "bob", "reader");
    // The same ids in all of them.
    let change = [task("bob", &json!({"id": "t1"}))];
    let members: Vec<_> =
        [&garden, &boat, &bobs].map(|space| (space.as_str(), 0, &change[..])).into();
    let answers = server.sync("bob", &members);
    assert_eq!((&answers[0]["status"], &answers[0]["code"]), (&json!(403), &json!("no_member")));
    assert_eq!(answers[1]["refused"][0]["code"], "forbidden");
    assert_eq!((&answers[2]["status"], &answers[2]["refused"]), (&json!(200), &NONE));
    for (space, person, tasks) in [(&garden, "ada", 0), (&boat, "ada", 0), (&bobs, "bob", 1)] {
        let seen = server.push(person, space, 0, &[]).to_string();
        assert_eq!(seen.matches(r#""model":"tasks""#).count(), tasks, "{seen}");
    }
}

#[test]
fn a_live_stream_ends_for_a_project_with_the_membership() {
    let server = Server::start();
    let project = server.found("ada", "Garden");
    server.joins(&project, "ada", "bob", "editor");
    let mut live = server.listen("bob", &project);
    let (event, first) = live.next();
    assert_eq!((event.as_str(), &first["space"]), ("clock", &json!(project)));
    server.push("ada", &project, 0, &[task("ada", &json!({"id": "t1"}))]);
    let (event, second) = live.next();
    assert_eq!(event, "clock");
    assert!(second["logical_clock"].as_i64() > first["logical_clock"].as_i64());
    server.does("DELETE", &format!("/projects/{project}/members/bob"), "ada", &NONE);
    let (event, gone) = live.next();
    assert_eq!((event.as_str(), &gone["space"]), ("no_member", &json!(project)));
}

#[test]
fn readers_read_editors_write_and_owners_delete_what_others_have_made() {
    on_every_database(|server| {
        let project = server.found("ada", "Garden");
        for (person, role) in [("bob", "editor"), ("cyd", "editor"), ("dan", "reader")] {
            server.joins(&project, "ada", person, role);
        }
        let created = server.push("bob", &project, 0, &[task("bob", &json!({"id": "t1"}))]);
        assert_eq!(created["refused"], NONE);
        let done = [diff("update", "tasks", &json!({"id": "t1", "done": true}))];
        assert_eq!(server.push("cyd", &project, 0, &done)["refused"], NONE);
        let refused = server.push(
            "dan",
            &project,
            0,
            &[diff("update", "tasks", &json!({"id": "t1", "done": false}))],
        );
        assert_eq!(refused["refused"][0]["code"], "forbidden");
        assert!(refused["diffs"].to_string().contains("Engine"), "a reader reads");

        let gone = diff("delete", "tasks", &json!({"id": "t1"}));
        let by = |person: &str| {
            let mut gone = gone.clone();
            gone["id"] = json!(format!("by {person}"));
            server.push(person, &project, 0, &[gone])
        };
        let others = "Only the owner of the project can delete the tasks of others.";
        assert_eq!(refusal(&by("cyd")), others);
        assert_eq!(by("ada")["refused"], NONE);

        // A reader who is made an editor writes.
        let dan = format!("/projects/{project}/members/dan");
        let theirs = [task("dan", &json!({"id": "t2"}))];
        assert_eq!(refusal(&server.push("dan", &project, 0, &theirs)), refusal(&refused));
        assert_eq!(server.ask("PATCH", &dan, "bob", &json!({"role": "editor"})).0, 403);
        server.does("PATCH", &dan, "ada", &json!({"role": "editor"}));
        assert!(
            server.own("dan").concat().contains(r#""role":"editor""#),
            "{:?}",
            server.own("dan")
        );
        assert_eq!(
            server.push("dan", &project, 0, &[task("dan", &json!({"id": "t3"}))])["refused"],
            NONE
        );
    });
}

#[test]
fn tasks_have_a_title_and_the_right_author_and_are_assigned_to_members() {
    let server = Server::start();
    let project = server.found("ada", "Garden");
    server.joins(&project, "ada", "bob", "editor");
    let push = |diff| server.push("bob", &project, 0, &[diff]);
    let assigned = "A task can only be assigned to a member of the project.";
    for (fields, sentence) in [
        (json!({"id": "t1", "author": "ada"}), "A new task has your name on it."),
        (json!({"id": "t1", "title": " "}), "A task needs a title."),
        (json!({"id": "t1", "assignee": "eve"}), assigned),
    ] {
        assert_eq!(refusal(&push(task("bob", &fields))), sentence);
    }
    assert_eq!(push(task("bob", &json!({"id": "t1", "assignee": "ada"})))["refused"], NONE);
    for (fields, sentence) in [
        (json!({"id": "t1", "author": "ada"}), "The author of a task cannot be changed."),
        (json!({"id": "t1", "title": ""}), "A task needs a title."),
        (json!({"id": "t1", "assignee": "eve"}), assigned),
    ] {
        assert_eq!(refusal(&push(diff("update", "tasks", &fields))), sentence);
    }
}

#[test]
fn members_and_invitations_cannot_be_written_by_a_device() {
    let server = Server::start();
    let project = server.found("ada", "Garden");
    server.joins(&project, "ada", "bob", "editor");
    let sentence = "Members and invitations are changed on the server.";
    for (model, data) in [
        ("members", json!({"id": "bob", "role": "owner"})),
        ("members", json!({"id": "eve", "role": "editor"})),
        ("invited", json!({"id": "eve", "role": "editor"})),
        ("memberships", json!({"id": project, "role": "owner", "name": "Garden"})),
        ("invitations", json!({"id": project, "role": "owner", "name": "Garden", "host": "ada"})),
    ] {
        for operation in ["create", "update", "delete"] {
            let change = diff(operation, model, &data);
            assert_eq!(
                refusal(&server.push("bob", &project, 0, std::slice::from_ref(&change))),
                sentence
            );
            let own = json!({"logical_clock": 0, "diffs": [change]});
            let (_, own) = server.ask("POST", "/sync", "bob", &own);
            assert_eq!(own["refused"][0]["message"], sentence, "{operation} {model}");
        }
    }
    assert_eq!(server.push("eve", &project, 0, &[])["code"], "no_member");
}

#[test]
fn only_the_owner_invites_and_removes_and_a_project_keeps_its_owner() {
    let server = Server::start();
    let project = server.found("ada", "Garden");
    server.joins(&project, "ada", "bob", "editor");
    server.joins(&project, "ada", "cyd", "reader");
    let path = |what: &str| format!("/projects/{project}/{what}");
    let editor = json!({"role": "editor"});
    for (method, what, person, body) in [
        ("PUT", "invitations/eve", "bob", &editor),
        ("PUT", "invitations/eve", "eve", &editor),
        ("PUT", "invitations/bob", "ada", &editor),
        ("PUT", "invitations/eve", "ada", &json!({"role": "owner"})),
        ("PATCH", "members/bob", "ada", &json!({"role": "owner"})),
        ("PATCH", "members/eve", "ada", &editor),
        ("PATCH", "members/ada", "ada", &editor),
        ("PATCH", "members/bob", "eve", &editor),
        ("DELETE", "members/cyd", "bob", &NONE),
        ("DELETE", "members/ada", "bob", &NONE),
        ("DELETE", "members/ada", "ada", &NONE),
        ("DELETE", "members/eve", "ada", &NONE),
        ("DELETE", "members/bob", "eve", &NONE),
    ] {
        let (status, answer) = server.ask(method, &path(what), person, body);
        assert_eq!(status, 403, "{method} {what} by {person}: {answer}");
    }
    server.does("DELETE", &path("members/cyd"), "cyd", &NONE);
    server.does("DELETE", &path("members/bob"), "ada", &NONE);
    assert_eq!((server.own("bob"), server.own("cyd")), (vec![], vec![]));
    assert_eq!(server.own("ada").len(), 1);
}

/// The rows of a model among changes, as `id role`; each is created once, and never changed after.
fn rows(changes: &[String], model: &str) -> Vec<String> {
    let create = format!("create {model} ");
    let data = changes.iter().filter_map(|change| change.strip_prefix(&create));
    let mut rows: Vec<_> = data
        .map(|data| {
            let row: Value = serde_json::from_str(data).unwrap();
            format!("{} {}", row["id"].as_str().unwrap(), row["role"].as_str().unwrap())
        })
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn whatever_is_asked_at_the_same_time_both_sides_of_a_membership_agree() {
    on_every_database(|server| {
        let project = &server.found("ada", "Garden");
        let people = ["bob", "cyd"];
        let [invitation, member] = ["invitations", "members"]
            .map(|what| move |person: &str| format!("/projects/{project}/{what}/{person}"));
        let [editor, reader] = ["editor", "reader"].map(|role| json!({"role": role}));
        std::thread::scope(|scope| {
            for person in people {
                for (method, path, who, body) in [
                    ("PUT", invitation(person), "ada", &editor),
                    ("DELETE", invitation(person), "ada", &NONE),
                    ("DELETE", invitation(person), person, &NONE),
                    ("POST", format!("/projects/{project}/members"), person, &NONE),
                    ("PATCH", member(person), "ada", &reader),
                    ("PATCH", member(person), "ada", &editor),
                    ("DELETE", member(person), "ada", &NONE),
                    ("DELETE", member(person), person, &NONE),
                ] {
                    scope.spawn(move || {
                        for _ in 0..6 {
                            let (status, answer) = server.ask(method, &path, who, body);
                            assert!([204, 403, 503].contains(&status), "{method} {path}: {answer}");
                        }
                    });
                }
            }
        });
        let shared = support::changes(&server.push("ada", project, 0, &[]));
        for (model, own) in [("members", "memberships"), ("invited", "invitations")] {
            let of = |person: &str| {
                let own = rows(&server.own(person), own);
                own.into_iter().map(|row| row.replace(project, person)).collect::<Vec<_>>()
            };
            assert_eq!(rows(&shared, model), ["ada", "bob", "cyd"].map(of).concat(), "{shared:?}");
        }
    });
}

#[test]
fn names_that_nobody_has_and_requests_without_one_are_refused() {
    let server = Server::start();
    let project = server.found("ada", "Garden");
    for name in ["Ada", "a b", "project", &format!("project {project}"), &"a".repeat(41)] {
        let (status, answer) = server.ask("POST", "/projects", name, &json!({"name": "Garden"}));
        let is_name = name == "project";
        assert_eq!(status, if is_name { 200 } else { 401 }, "{name}: {answer}");
    }
    let strange = format!("/projects/{project}/invitations/Bob");
    assert_eq!(server.ask("PUT", &strange, "ada", &json!({"role": "editor"})).0, 400);
    assert_eq!(server.ask("POST", "/projects", "ada", &json!({"name": " "})).0, 400);
}

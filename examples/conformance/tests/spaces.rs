//! Several requests in one over sockets: no space waits for another one, and large answers arrive.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use conformance::{Server, every_server, http::Request};
use serde_json::{Value, json};

use self::support::{connect, create, eventually, send};

fn several(token: &str, members: &[(&str, Value)]) -> Request {
    let member = |(space, diffs): &(&str, Value)| json!({"space": space, "logical_clock": 0, "diffs": diffs});
    let syncs: Vec<Value> = members.iter().map(member).collect();
    Request::post(json!({"auth_token": token, "syncs": syncs}).to_string())
}

/// Clock and number of diffs of each answer.
fn seen(answer: &Value) -> Vec<(i64, usize)> {
    let of = |answer: &Value| {
        assert_eq!(answer["status"], 200, "{answer}");
        (answer["logical_clock"].as_i64().unwrap(), answer["diffs"].as_array().unwrap().len())
    };
    answer["syncs"].as_array().unwrap().iter().map(of).collect()
}

fn a_space_whose_database_does_not_answer_holds_up_no_other(server: &Server) {
    let new = |id: &str| json!([create(id)]);
    let mut connection = connect(server);
    let members = [
        ("gated-1", new("t1")),
        ("gated-2", json!([])),
        ("ada,bob", new("t1")),
        ("ada", new("t1")),
    ];
    connection.write(&several("eve", &members[..1]).to_bytes()).unwrap();
    let mut ada = connect(server);
    ada.write(&several("ada", &members).to_bytes()).unwrap();
    eventually("not all have begun", || server.gate.waiting() == 3);
    // Bob gets what Ada has written, though she waits for her answer.
    let bob = several("bob", &[("ada,bob", json!([]))]);
    eventually("the others wait", || seen(&send(server, &bob).json()) == [(1, 1)]);
    server.gate.open();
    // Both have written the same task into the first space.
    let (eve, ada) = (connection.read(false).unwrap(), ada.read(false).unwrap());
    assert_eq!((eve.status, ada.status), (200, 200));
    let ada = seen(&ada.json());
    assert_eq!(ada[1..], [(0, 0), (1, 0), (1, 0)]);
    assert_eq!((seen(&eve.json())[0].0, ada[0].0), (1, 1), "the second is a retry of the first");
}

fn a_large_answer_of_many_spaces_arrives_whole(server: &Server) {
    let text = "x".repeat(40 * 1024);
    let spaces: Vec<String> = (0..20).map(|space| format!("ada,m{space}")).collect();
    let large = |space: &str| {
        let mut diff = create(space);
        diff["json_data"] = json!({"id": space, "name": text}).to_string().into();
        json!([diff])
    };
    let pushed: Vec<_> = spaces.iter().map(|space| (&**space, large(space))).collect();
    assert_eq!(seen(&send(server, &several("ada", &pushed)).json()), [(1, 0); 20]);
    let pulled: Vec<_> = spaces.iter().map(|space| (&**space, json!([]))).collect();
    let answer = send(server, &several("ada", &pulled));
    assert!(answer.body.len() > 20 * text.len());
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    assert_eq!(seen(&answer.json()), [(1, 1); 20]);
    for (space, part) in spaces.iter().zip(answer.json()["syncs"].as_array().unwrap()) {
        let data: Value =
            serde_json::from_str(part["diffs"][0]["json_data"].as_str().unwrap()).unwrap();
        assert_eq!((&data["id"], &data["name"]), (&json!(space), &json!(text)));
    }
}

every_server!(a_large_answer_of_many_spaces_arrives_whole);

/// The database of the seven methods has one unit of work at a time, whoever's it is.
mod side_by_side {
    use super::{a_space_whose_database_does_not_answer_holds_up_no_other, every_server};

    every_server!(@database memory: Memory; a_space_whose_database_does_not_answer_holds_up_no_other);
    every_server!(@database sqlite: Sqlite; a_space_whose_database_does_not_answer_holds_up_no_other);
    every_server!(@database postgres: Postgres; a_space_whose_database_does_not_answer_holds_up_no_other);
}

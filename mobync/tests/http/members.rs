//! The body's members: what breaks a rule of the wire format is told by name, and JSON that readers could
//! take differently is none.

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::{Server, ada, diff, request};

#[tokio::test]
async fn members_that_break_a_rule_are_told_by_name() {
    let server = Server::new();
    let body = |clock: Value, diffs: Value| json!({"auth_token": "ada", "logical_clock": clock, "diffs": diffs});
    let cases = [
        ("[1, 2]".to_owned(), 401, "unauthenticated", ""),
        (
            body(json!(null), json!([])).to_string(),
            400,
            "invalid_request",
            "logical_clock is missing",
        ),
        (body(json!(3.0), json!([])).to_string(), 400, "invalid_request", "logical_clock must be"),
        (body(json!(-1), json!([])).to_string(), 400, "invalid_request", "logical_clock must be"),
        (body(json!("3a"), json!([])).to_string(), 400, "invalid_request", "logical_clock must be"),
        (body(json!("+3"), json!([])).to_string(), 400, "invalid_request", "logical_clock must be"),
        (body(json!(""), json!([])).to_string(), 400, "invalid_request", "logical_clock must be"),
        (body(json!(true), json!([])).to_string(), 400, "invalid_request", "logical_clock must be"),
        (body(json!(0), json!({})).to_string(), 400, "invalid_request", "diffs must be an array"),
        (
            r#"{"auth_token": "ada", "logical_clock": 0}"#.to_owned(),
            400,
            "invalid_request",
            "diffs is missing",
        ),
        (
            r#"{"auth_token": "ada", "diffs": []}"#.to_owned(),
            400,
            "invalid_request",
            "logical_clock is missing",
        ),
        (
            body(json!(0), json!([7])).to_string(),
            400,
            "invalid_diff",
            "it must be an object (diffs[0])",
        ),
    ];
    for (body, status, code, message) in cases {
        let answer = server.post(body.clone()).await;
        assert_eq!((answer.status, &answer.json["code"]), (status, &json!(code)), "{body}");
        assert!(answer.json["message"].as_str().unwrap().contains(message), "{}", answer.json);
    }
    let with_header = Request::post("/sync")
        .header("content-type", "application/json")
        .header("authorization", "Bearer ada")
        .body(Full::from("[1, 2]"))
        .unwrap();
    let answer = server.send(with_header).await;
    assert_eq!((answer.status, &answer.json["code"]), (400, &json!("invalid_request")));
}

#[tokio::test]
async fn a_clock_may_be_a_string_of_digits_and_unknown_members_are_ignored() {
    let server = Server::new();
    let answer = server
        .post(r#"{"auth_token": "ada", "logical_clock": "0", "diffs": [], "x": {"y": [1.5]}}"#)
        .await;
    assert_eq!(answer.status, 200);
    let extra = diff(json!({"comment": {"deep": [null]}}));
    assert_eq!(server.post(request(&[extra])).await.status, 200);
}

#[tokio::test]
async fn what_a_request_may_ask_for_has_a_type_and_null_is_as_if_it_were_not_there() {
    let server = Server::new();
    let post = async |name: &str, value: &str| {
        let body = format!(
            r#"{{"auth_token": "ada", "logical_clock": 0, "diffs": [], "{name}": {value}}}"#
        );
        let answer = server.post(body).await;
        (answer.status, answer.json)
    };
    let sound = [
        ("head", vec!["null", r#""""#, r#""of any server""#]),
        ("limit", vec!["null", "1", "9223372036854775807"]),
    ];
    for (name, values) in sound {
        for value in values {
            let (status, json) = post(name, value).await;
            assert_eq!(status, 200, "{name} {value}");
            assert_eq!(json.as_object().unwrap().len(), 4, "there is nothing: {json}");
        }
    }
    let wrong = [
        ("head", vec!["1", "true", "[]", "{}"]),
        ("limit", vec!["0", "-1", "1.0", r#""1""#, "true", "[]"]),
    ];
    for (name, values) in wrong {
        for value in values {
            let (status, json) = post(name, value).await;
            assert_eq!((status, &json["code"]), (400, &json!("invalid_request")), "{name} {value}");
            assert!(
                json["message"].as_str().unwrap().contains(&format!("{name} must be")),
                "{json}"
            );
        }
    }
}

#[tokio::test]
async fn a_diff_that_breaks_a_rule_is_named_with_what_is_wrong() {
    let server = Server::new();
    let long = "x".repeat(1025);
    let deep = format!("{{\"id\": \"t\", \"a\": {}{}}}", "[".repeat(200), "]".repeat(200));
    let missing = "<missing>";
    let cases = [
        (json!({"id": missing}), "id is missing"),
        (json!({"id": ""}), "id must not be empty"),
        (json!({"id": 7}), "id must be a string"),
        (json!({"id": long}), "longer than 1,024 bytes"),
        (json!({"id": "a\u{0}b"}), "NUL"),
        (json!({"owner": missing}), "owner is missing"),
        (json!({"owner": null}), "owner is missing"),
        (json!({"owner": 1}), "owner must be a string"),
        (json!({"logical_clock": missing}), "logical_clock is missing"),
        (json!({"logical_clock": -1}), "logical_clock must be an integer"),
        (json!({"logical_clock": "0"}), "logical_clock must be an integer"),
        (json!({"utc_timestamp": missing}), "utc_timestamp is missing"),
        (json!({"utc_timestamp": 1.0}), "utc_timestamp must be an integer"),
        (json!({"utc_timestamp": -5}), "utc_timestamp must be an integer"),
        (json!({"type": missing}), "type is missing"),
        (json!({"type": "upsert"}), "not \"upsert\""),
        (json!({"type": 1}), "type must be a string"),
        (json!({"model": missing}), "model is missing"),
        (json!({"model": ""}), "model must not be empty"),
        (json!({"json_data": missing}), "json_data is missing"),
        (json!({"json_data": {"id": "t1"}}), "json_data must be a string"),
        (json!({"json_data": ""}), "json_data cannot be read: it is empty"),
        (json!({"json_data": "[]"}), "json_data must be a JSON object"),
        (json!({"json_data": "{}"}), "must have the id"),
        (json!({"json_data": "{\"id\": 1}"}), "the id in json_data must be a string"),
        (json!({"json_data": "{\"id\": \"\"}"}), "the id in json_data must not be empty"),
        (json!({"json_data": "{\"id\": \"t1\", \"id\": \"t1\"}"}), "twice"),
        (json!({"json_data": "{\"id\": \"t1\", \"a\": 1, \"a\": 1}"}), "twice"),
        (json!({"json_data": "{\"id\": \"t1\", \"a\": {\"b\": 1, \"b\": 2}}"}), "twice"),
        (json!({"json_data": "{\"id\": \"t1\", \"a\": NaN}"}), "not valid"),
        (json!({"json_data": "{\"id\": \"t1\", \"a\": 9223372036854775808}"}), "64 bits"),
        (json!({"json_data": "{\"id\": \"t1\", \"a\": 1e999}"}), "out of range"),
        (json!({"json_data": "{\"id\": \"t1\", \"a\": \"\\ud800\"}"}), "hex escape"),
        (json!({"json_data": "{\"id\": \"t1\"} x"}), "trailing"),
        (json!({"json_data": deep}), "recursion"),
    ];
    for (changes, message) in cases {
        let fine = diff(json!({"id": "d0", "json_data": "{\"id\": \"t0\"}"}));
        let answer = server.post(request(&[fine, diff(changes.clone())])).await;
        assert_eq!(
            (answer.status, &answer.json["code"]),
            (400, &json!("invalid_diff")),
            "{changes}"
        );
        let said = answer.json["message"].as_str().unwrap();
        assert!(said.contains(message), "{changes}: {said}");
        let named = answer.json.get("diff_id") == Some(&json!("d1"));
        assert_eq!(named, changes.get("id").is_none(), "{changes}: {}", answer.json);
    }
    assert!(server.0.database().records(&ada(), "tasks").is_empty(), "nothing was applied");
}

#[tokio::test]
async fn json_that_readers_could_take_differently_is_no_json() {
    let server = Server::new();
    let twice = diff(json!({})).to_string().replacen("\"id\"", "\"id\": \"d0\", \"id\"", 1);
    let deep = "[".repeat(50_000);
    for body in [
        "",
        "{",
        "nonsense",
        r#"{"auth_token": "ada", "logical_clock": NaN, "diffs": []}"#,
        r#"{"auth_token": "ada", "logical_clock": 0, "logical_clock": 1, "diffs": []}"#,
        r#"{"auth_token": "ada", "logical_clock": 9223372036854775808, "diffs": []}"#,
        r#"{"auth_token": "ada", "logical_clock": 0, "diffs": [], "x": "\ud800"}"#,
        r#"{"auth_token": "ada", "logical_clock": 0, "diffs": [], "x": -1e999}"#,
        r#"{"auth_token": "ada", "logical_clock": 0, "diffs": []} x"#,
        &format!(r#"{{"auth_token": "ada", "logical_clock": 0, "diffs": [{twice}]}}"#),
        &deep,
    ] {
        let answer = server.post(body.to_owned()).await;
        let code = (answer.status, answer.json["code"].as_str().unwrap_or_default().to_owned());
        assert_eq!(code, (400, "invalid_json".to_owned()), "{}", &body[..body.len().min(99)]);
    }
    let answer = server.post(&b"{\"auth_token\": \"\xff\"}"[..]).await;
    assert_eq!(answer.json["code"], "invalid_json");
}

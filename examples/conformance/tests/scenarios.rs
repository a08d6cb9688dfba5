//! Every scenario on every server; and all frameworks answer alike, byte for byte.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use conformance::{
    CODES, Database, Framework, Scenario, Server, every_server,
    http::{Answer, Connection, Request},
    run,
};

fn all_scenarios_pass(server: &Server) {
    for scenario in Scenario::all().unwrap() {
        if let Err(failure) = run(&server.address.to_string(), "/sync", &scenario) {
            panic!("{}\n{failure}", scenario.name);
        }
    }
}

every_server!(all_scenarios_pass);

/// What the frameworks answer to the same, with the headers that the protocol speaks of.
fn answers(database: Database, ask: impl Fn(&Server) -> Vec<Answer>) -> [Vec<Answer>; 3] {
    Framework::ALL.map(|framework| {
        let server = Server::start(framework, database).unwrap();
        ask(&server).into_iter().map(Answer::of_protocol).collect()
    })
}

#[test]
fn all_frameworks_answer_the_scenarios_alike_to_the_byte() {
    let scenarios = Scenario::all().unwrap();
    let names: Vec<&str> = scenarios
        .iter()
        .flat_map(|scenario| scenario.steps.iter().map(|_| &*scenario.name))
        .collect();
    for database in Database::ALL {
        let [axum, actix, rocket] = answers(database, |server| {
            let address = server.address.to_string();
            let run = |scenario: &Scenario| run(&address, "/sync", scenario).unwrap();
            scenarios.iter().flat_map(run).collect()
        });
        assert_eq!(axum.len(), names.len());
        for (((name, axum), actix), rocket) in names.iter().zip(axum).zip(actix).zip(rocket) {
            assert_eq!(actix, axum, "{name}");
            assert_eq!(rocket, axum, "{name}");
        }
    }
}

#[test]
fn all_frameworks_answer_hostile_bytes_alike_to_the_byte() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let sent: [(&str, Vec<u8>); 6] = [
        (
            "invalid UTF-8",
            b"{\"auth_token\": \"a\xff\", \"logical_clock\": 0, \"diffs\": []}".to_vec(),
        ),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{\"auth_token\": \"ada\"}".to_vec()),
        ("NULs", vec![0; 100]),
        ("many brackets", deep.into_bytes()),
        (
            "a lone surrogate",
            br#"{"auth_token": "\ud800", "logical_clock": 0, "diffs": []}"#.to_vec(),
        ),
    ];
    let [axum, actix, rocket] = answers(Database::Memory, |server| {
        let send = |(_, body): &(&str, Vec<u8>)| {
            Connection::open(server.address).unwrap().send(&Request::post(body.clone())).unwrap()
        };
        sent.iter().map(send).collect()
    });
    for (place, (what, _)) in sent.iter().enumerate() {
        assert_eq!(axum.get(place).unwrap().status, 400, "{what}");
        assert_eq!(actix.get(place), axum.get(place), "{what}");
        assert_eq!(rocket.get(place), axum.get(place), "{what}");
    }
}

#[test]
fn every_code_of_the_error_table_that_a_client_can_provoke_is_in_a_scenario() {
    let scenarios = Scenario::all().unwrap();
    let answers = scenarios.iter().flat_map(|scenario| &scenario.steps).map(|step| &step.answer);
    let mut codes: Vec<&str> =
        answers.flatten().filter_map(|answer| answer.get("code")?.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    // What is too old depends on what the server keeps.
    codes.retain(|code| *code != "too_old");
    assert_eq!(codes, CODES);
}

//! Every workload on every server, and every row: a handful of requests each, whose answers are checked
//! as they come. What they take is of no interest here.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{path::Path, time::Duration};

use bench::{
    Database, Framework, Measured, Places, Server, Until, What, Workload, drive,
    rows::{self, Options, Row, Scale},
};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bench");

const WORKLOADS: [Workload; 10] = [
    Workload::Push { creates: 10 },
    Workload::Idle,
    Workload::IdleHead,
    Workload::Spaces { spaces: 7 },
    Workload::Pull { diffs: 25 },
    Workload::Growth { entries: 50, owners: 2 },
    Workload::FirstSync { objects: 20 },
    Workload::Mixed,
    Workload::Contention,
    Workload::Repeats,
];

/// Everything as small as it can be.
fn options(row: Row) -> Options {
    Options {
        program: PROGRAM.into(),
        other: Some(PROGRAM.into()),
        rows: vec![row],
        frameworks: Framework::ALL.to_vec(),
        databases: Database::ALL.to_vec(),
        rounds: 2,
        time: Duration::MAX,
        scale: Scale { requests: 8, entries: [50, 60, 70, 80], objects: 20, repeats: [16, 32] },
    }
}

fn on(database: Database) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for framework in Framework::ALL {
            let mut places = Places::new().unwrap();
            let at = places.make(database).await.unwrap();
            let server =
                Server::start(Path::new(PROGRAM), framework, database, What::Ours, &at).unwrap();
            for workload in WORKLOADS {
                let what = format!("{workload} on {} and {}", framework.name(), database.name());
                let run = drive(&server.url, Some(&server), workload, 4, Until::requests(40));
                let Measured { requests, p50_us, p99_us, peak_mib, .. } =
                    run.await.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(requests, 40, "{what}");
                assert!(0.0 < p50_us && p50_us <= p99_us, "{what}");
                assert!(peak_mib > Some(0.0), "{what}");
            }
        }
    });
}

#[test]
fn every_workload_runs_on_every_framework_in_memory() {
    on(Database::Memory);
}

#[test]
fn every_workload_runs_on_every_framework_with_sqlite() {
    on(Database::Sqlite);
}

#[test]
fn every_workload_runs_on_every_framework_with_postgresql() {
    on(Database::Postgres);
}

/// The goals of a row as JSON: for each one its subject and its rounds.
fn goals(row: Row) -> Vec<(String, Vec<Value>)> {
    let report = rows::measure(options(row), |_| Ok(())).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    assert!(report.to_string().contains(row.name()), "{report}");
    let goals = json["goals"].as_array().unwrap().iter().map(|goal| {
        assert_eq!(goal["row"], row.name());
        assert!(goal["bound"]["at_least"].is_number() || goal["bound"]["at_most"].is_number());
        let rounds = goal["rounds"].as_array().unwrap().clone();
        for round in &rounds {
            let figure = |name: &str| round[name].as_f64().unwrap();
            assert!(figure("floor") > 0.0, "{goal}");
            assert!((figure("ratio") - figure("ours") / figure("floor")).abs() < 1e-9, "{goal}");
        }
        (goal["subject"].as_str().unwrap().to_owned(), rounds)
    });
    goals.collect()
}

fn subjects(goals: &[(String, Vec<Value>)]) -> Vec<&str> {
    goals.iter().map(|(subject, _)| &**subject).collect()
}

/// That what stands on a floor moves as many bytes as the floor does.
fn bytes_are_equal(goals: &[(String, Vec<Value>)]) {
    for (subject, rounds) in goals {
        assert_eq!(rounds.len(), 2, "{subject}");
        for round in rounds {
            let [floor, ours] = &**round["measured"].as_array().unwrap() else { panic!("{round}") };
            assert_eq!(floor["requests"], ours["requests"], "{subject}");
            assert_eq!(floor["request_bytes"], ours["request_bytes"], "{subject}");
            assert_eq!(floor["answer_bytes"], ours["answer_bytes"], "{subject}");
        }
    }
}

#[test]
fn pushes_and_idle_syncs_are_set_against_bare_servers_that_move_as_many_bytes() {
    for row in [Row::PushMemory, Row::IdleMemory, Row::IdlePostgres] {
        let goals = goals(row);
        assert_eq!(subjects(&goals), ["axum", "actix", "rocket"]);
        bytes_are_equal(&goals);
    }
}

#[test]
fn pushes_are_set_against_bare_transactions() {
    assert_eq!(subjects(&goals(Row::PushPostgres)), ["8 connections"]);
    assert_eq!(subjects(&goals(Row::PushSqlite)), ["8 connections", "32 connections"]);
    assert_eq!(subjects(&goals(Row::PushCaptured)), ["postgres", "sqlite"]);
    assert_eq!(subjects(&goals(Row::IdleHead)), ["memory", "sqlite", "postgres"]);
    assert_eq!(subjects(&goals(Row::IdleSpaces)), ["memory", "sqlite", "postgres"]);
    let pushes = ["memory push", "sqlite push", "postgres push"];
    assert_eq!(subjects(&goals(Row::Builds)), pushes);
}

#[test]
fn long_logs_are_set_against_short_ones() {
    let goals = goals(Row::Growth);
    assert_eq!(
        subjects(&goals),
        ["memory 70", "memory 80", "sqlite 70", "sqlite 80", "postgres 70", "postgres 80"]
    );
}

#[test]
fn a_first_sync_is_set_against_its_rows_in_time_and_in_bytes() {
    let goals = goals(Row::FirstSync);
    assert_eq!(subjects(&goals), ["memory", "memory", "sqlite", "sqlite", "postgres", "postgres"]);
    bytes_are_equal(&goals.into_iter().step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_compacted_log_is_set_against_its_rows() {
    let of = |database: &str, kind: &str| -> Vec<String> {
        ["", ", 20 at once"].map(|many| format!("{database} {kind}{many}")).into()
    };
    let pages = goals(Row::Pages);
    let expected = ["sqlite", "postgres"]
        .map(|database| [of(database, "together"), of(database, "apart")].concat());
    assert_eq!(subjects(&pages), expected.concat());
    let sizes = goals(Row::CompactedLog);
    let expected = ["sqlite columns", "sqlite pages", "postgres columns", "postgres pages"];
    assert_eq!(subjects(&sizes), expected);
}

#[test]
fn memory_is_set_against_bytes_and_against_itself() {
    let goals_of_memory = goals(Row::Memory);
    let names = ["sqlite push", "sqlite first sync", "postgres push", "postgres first sync"];
    assert_eq!(subjects(&goals_of_memory), names);
    assert_eq!(subjects(&goals(Row::Million)), ["axum"]);
}

#[test]
fn the_table_has_every_workload_on_every_server() {
    let report = rows::measure(options(Row::Servers), |_| Ok(())).unwrap();
    assert_eq!(report.servers.len(), 7 * 3 * 3);
    let json = serde_json::to_value(&report.servers[0]).unwrap();
    assert_eq!(json["workload"]["name"], "push");
    assert_eq!(json["framework"], "axum");
    for figure in ["per_second", "p50_us", "p99_us", "server_cpu_us", "peak_mib", "request_bytes"] {
        assert!(json["measured"][figure].is_number(), "{json}");
    }
}

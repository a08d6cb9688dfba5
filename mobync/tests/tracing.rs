//! What an operator sees of a sync: its counts, and causes of failures; never tokens or contents.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use mobync::{
    Change, Database, DatabaseError, Grant, Mobync, Owner, Record,
    http::{AuthError, Credentials, Endpoint, failed},
    memory::MemoryDatabase,
    postgres::PostgresDatabase,
};
use serde_json::json;
use support::{Faulty, Hooked, Picky, ada, create, diffs, update};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All that is logged when these diffs are sent at clock 0, with the token `secret-ada`.
fn logged<D: Database>(database: D, sent: Vec<support::Sent>) -> String {
    let endpoint = Endpoint::new(Mobync::new(database), async |credentials| {
        Ok(Owner::new(credentials.token()?)?)
    });
    let body = json!({"logical_clock": 0, "diffs": diffs(sent)}).to_string();
    let request = Request::post("/sync")
        .header("content-type", "application/json")
        .header("authorization", "Bearer secret-ada")
        .body(Full::<Bytes>::from(body))
        .unwrap();
    log_of(endpoint.handle(request))
}

/// All that is logged meanwhile.
fn log_of(work: impl Future) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    log_in(&runtime, work)
}

fn log_in(runtime: &tokio::runtime::Runtime, work: impl Future) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || runtime.block_on(work));
    let lines = lines.0.lock().unwrap().clone();
    String::from_utf8(lines).unwrap()
}

#[test]
fn a_sync_is_one_span_with_its_counts_and_without_tokens_or_contents() {
    let sent = vec![
        create("t1", json!({"name": "private"})),
        update("t1", json!({"name": "bad"})).at(1),
        update("t2", json!({"name": "private"})).at(2),
    ];
    let database = Hooked { inner: MemoryDatabase::new(), hook: Picky };
    let log = logged(database, sent);
    for field in
        ["clock=0", "pushed=3", "known=0", "accepted=1", "dropped=1", "refused=1", "returned=1"]
    {
        assert!(log.contains(field), "{field} is not in {log}");
    }
    assert!(log.contains("duration_us="), "{log}");
    assert_eq!(log.matches("close").count(), 1, "{log}");
    assert!(!log.contains("secret") && !log.contains("private") && !log.contains("ada"), "{log}");
}

#[test]
fn idle_syncs_that_are_answered_together_have_a_span_each() {
    let endpoint = Endpoint::new(Mobync::new(MemoryDatabase::new()), async |credentials| {
        Ok(Owner::new(credentials.space().unwrap_or(credentials.token()?))?)
    });
    let idle = |space: &str| json!({"space": space, "logical_clock": 0, "diffs": []});
    let body = json!({"syncs": [idle("family"), idle("club")]}).to_string();
    let request = Request::post("/sync")
        .header("content-type", "application/json")
        .header("authorization", "Bearer secret-ada")
        .body(Full::<Bytes>::from(body))
        .unwrap();
    let log = log_of(endpoint.handle(request));
    let span =
        "sync{clock=0 pushed=0 known=0 accepted=0 dropped=0 refused=0 returned=0 duration_us=";
    let closed = log.lines().filter(|line| line.contains(span) && line.contains("close"));
    assert_eq!(closed.count(), 2, "{log}");
    assert!(!log.contains("family") && !log.contains("secret"), "{log}");
}

#[test]
fn several_requests_are_one_span_with_their_counts_and_nothing_of_who_sends_what_where() {
    let auth = async |credentials: Credentials| -> Result<Grant, AuthError> {
        let person = credentials.token()?;
        match credentials.space() {
            None => Ok(Owner::new(person)?.into()),
            Some("secret-others") => Err(AuthError::no_member("You are not a member.")),
            Some("secret-mirror") => Ok(Owner::new(person)?.into()),
            Some(space) => {
                Ok(Grant::new(Owner::new(format!("space {space}"))?).member("secret-eve"))
            }
        }
    };
    let endpoint = Endpoint::new(Mobync::new(MemoryDatabase::new()), auth);
    let member = |space: &str, sent: Vec<support::Sent>| json!({"space": space, "logical_clock": 0, "diffs": diffs(sent)});
    let members = || {
        json!({"syncs": [
            member("secret-family", vec![create("t1", json!({"name": "private"}))]),
            {"logical_clock": 0, "diffs": []},
            member("secret-others", vec![]),
            member("secret-mirror", vec![]),
        ]})
    };
    let log = || {
        let request = Request::post("/sync")
            .header("content-type", "application/json")
            .header("authorization", "Bearer secret-ada")
            .body(Full::<Bytes>::from(members().to_string()))
            .unwrap();
        log_of(endpoint.handle(request))
    };
    let first = log();
    assert!(first.contains("batch{members=4 failed=2}"), "{first}");
    // The span of a sync is within that of the batch.
    assert_eq!(first.matches("batch{members=4}:sync{clock=0 pushed=").count(), 4, "{first}");
    assert_eq!(first.matches("does it look at space()?").count(), 1, "{first}");
    let second = log();
    assert!(!second.contains("space()"), "once is enough: {second}");
    for log in [first, second] {
        assert!(!log.contains("secret") && !log.contains("private"), "{log}");
    }
}

#[test]
fn a_failure_is_logged_with_its_cause_at_the_level_it_deserves() {
    let sent = || vec![create("t1", json!({"name": "private"}))];
    let failing = |hook| logged(Hooked { inner: MemoryDatabase::new(), hook }, sent());
    let broken = failing(Faulty::after(0));
    assert!(broken.contains("ERROR") && broken.contains("internal"), "{broken}");
    assert!(broken.contains("cause="), "{broken}");
    let busy = failing(Faulty::busy_after(0));
    assert!(busy.contains("WARN") && busy.contains("busy"), "{busy}");

    let refused = logged(MemoryDatabase::new().model("notes", ["text"]), sent());
    assert!(refused.contains("INFO") && refused.contains("unknown_model"), "{refused}");
    assert!(!refused.contains("private") && !refused.contains("secret"), "{refused}");
}

#[test]
fn what_a_handler_fails_with_is_logged_where_the_client_hears_nothing_of_it() {
    let log = |error: fn() -> AuthError| log_of(async move { failed(error()) });
    let lost = log(|| DatabaseError::failed("the disk is on fire").into());
    assert!(lost.contains("ERROR") && lost.contains("the disk is on fire"), "{lost}");
    let busy = log(|| DatabaseError::busy("all connections are in use").into());
    assert!(busy.contains("WARN") && busy.contains("all connections are in use"), "{busy}");
    assert_eq!(log(|| AuthError::forbidden("Not you.")), "");
}

#[test]
fn a_change_of_the_backend_is_a_span_that_no_device_has() {
    let mobync = Mobync::new(MemoryDatabase::new());
    let change = Change::create("tasks", Record::new("t1"));
    let log = log_of(mobync.write(&ada(), [change]));
    assert!(log.contains("clock=-1") && log.contains("accepted=1"), "{log}");
}

#[test]
fn what_postgresql_says_is_logged_in_one_line_and_without_contents() {
    const TASKS: &str = "CREATE TABLE tasks (owner text, id text, name text, PRIMARY KEY (owner, id)); \
        CREATE FUNCTION ill() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN \
        IF NEW.name LIKE 'ill%' THEN RAISE EXCEPTION USING ERRCODE = substr(NEW.name, 5, 5), \
        MESSAGE = concat('said', chr(10), 'FAKE LINE'); END IF; RETURN NEW; END$$; \
        CREATE TRIGGER ill BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION ill()";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mobync = runtime.block_on(async {
        let pool = sqlx::PgPool::connect(&support::postgres::new_database().await).await.unwrap();
        sqlx::raw_sql(TASKS).execute(&pool).await.unwrap();
        let database = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
        database.set_up().await.unwrap();
        Mobync::new(database)
    });
    for (code, level) in [("53100", "WARN"), ("58030", "ERROR"), ("40001", "WARN")] {
        let sent = diffs([create("t1", json!({"name": format!("ill {code} private")}))]);
        let log = log_in(&runtime, mobync.apply(&ada(), 0, sent));
        // What sqlx logs of its statements is for the application to say.
        let ours = log.lines().filter(|line| !line.contains("sqlx"));
        let ours: Vec<&str> = ours.filter(|line| line.contains("sync failed")).collect();
        assert_eq!(ours.len(), 1, "{log}");
        assert!(ours[0].contains(level) && ours[0].contains(code), "{ours:?}");
        assert!(!log.lines().any(|line| line.starts_with("FAKE")), "{log}");
        assert!(!ours[0].contains("private"), "{ours:?}");
    }
    // What no diff can bring about, and all of them cause, has no contents either.
    let sent = diffs([create("t1", json!({"name": "ill 22000 private"}))]);
    let log = log_in(&runtime, mobync.apply(&ada(), 0, sent));
    assert!(!log.contains("sync failed") && !log.contains("private"), "{log}");
}

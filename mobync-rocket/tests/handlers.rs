//! Handlers written by hand, from the guards and responders.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use mobync::{Error, Mobync, Owner, http::AuthError, memory::MemoryDatabase};
use mobync_rocket::{Answer, Authenticated, SharedAuth, SyncBody, SyncError};
use rocket::{
    Build, Rocket, State, async_trait, catch, catchers,
    data::{Limits, ToByteUnit},
    http::{Header, Status},
    outcome::Outcome,
    post,
    request::{self, FromRequest, Request},
    routes,
};
use serde_json::json;

use self::support::{auth, client, fairing, mobync, nothing, one_task, post as sent, rocket, send};

#[post("/sync", data = "<sync>")]
async fn authenticated(
    mobync: &State<Mobync<MemoryDatabase>>,
    sync: Result<Authenticated, SyncError>,
) -> Result<Answer, SyncError> {
    let Authenticated { owner, request } = sync?;
    Ok(Answer(mobync.answer(&owner, &request).await?))
}

/// Leaves failures to the catchers.
#[post("/bare", data = "<sync>")]
async fn bare(
    mobync: &State<Mobync<MemoryDatabase>>,
    sync: Authenticated,
) -> Result<Answer, SyncError> {
    let Authenticated { owner, request } = sync;
    Ok(Answer(mobync.answer(&owner, &request).await?))
}

/// A guard of the application's own.
struct User(Owner);

#[async_trait]
impl<'r> FromRequest<'r> for User {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, ()> {
        match request.headers().get_one("x-user").map(Owner::new) {
            Some(Ok(owner)) => Outcome::Success(Self(owner)),
            _ => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}

/// Finds the owner by itself.
#[post("/by-guard", data = "<body>")]
async fn by_guard(
    mobync: &State<Mobync<MemoryDatabase>>,
    user: Option<User>,
    body: Result<SyncBody, SyncError>,
) -> Result<Answer, SyncError> {
    let User(owner) = user.ok_or_else(|| AuthError::unauthenticated("Say who you are."))?;
    let SyncBody(request) = body?;
    Ok(Answer(mobync.answer(&owner, &request).await?))
}

fn app(rocket: Rocket<Build>) -> Rocket<Build> {
    let handlers = routes![authenticated, bare, by_guard];
    rocket.manage(mobync()).manage(SharedAuth::new(auth)).mount("/", handlers)
}

#[test]
fn a_handler_with_an_owner_answers_like_the_routes_to_the_byte() {
    let by_hand = client(app(rocket()));
    let routes = client(rocket().attach(fairing()));
    for body in [
        one_task(),
        one_task(),
        nothing(),
        "no JSON".into(),
        "[]".into(),
        r#"{"logical_clock": 0, "diffs": []}"#.into(),
        r#"{"auth_token": "ada", "logical_clock": 9, "diffs": []}"#.into(),
        nothing().replace('{', r#"{"head": "", "limit": 1, "#),
        r#"{"auth_token": "ada", "logical_clock": 1, "head": "x", "diffs": []}"#.into(),
        one_task().replace("d1", "d2").replace("tasks", "teapots"),
    ] {
        let answer = send(sent(&by_hand, "/sync", &body));
        assert_eq!(answer, send(sent(&routes, "/sync", &body)));
    }
    let untyped = send(by_hand.post("/sync").body("{}"));
    assert_eq!(untyped.code(), "unsupported_media_type");
    assert_eq!(untyped, send(routes.post("/sync").body("{}")));
}

#[test]
fn a_header_s_token_is_looked_at_before_the_body() {
    let client = client(app(rocket()));
    for (token, body, status) in
        [("Bearer", "no JSON", 401), ("Bearer ada", "no JSON", 400), ("Basic x", "{}", 401)]
    {
        let request = sent(&client, "/sync", body).header(Header::new("authorization", token));
        assert_eq!(send(request).status, status, "{token}");
    }
}

#[test]
fn an_auth_closure_that_panics_is_a_500() {
    let auth = SharedAuth::new(async |_| -> Result<Owner, AuthError> { panic!("it does") });
    let client = client(rocket().manage(mobync()).manage(auth).mount("/", routes![authenticated]));
    for token in ["Bearer ada", "Basic x"] {
        let request = sent(&client, "/sync", nothing()).header(Header::new("authorization", token));
        let failed = send(request);
        assert_eq!((failed.status, &*failed.code()), (500, "internal"));
    }
}

#[test]
fn managed_limits_count_but_for_the_configuration_s_size() {
    let limits = || mobync::http::Limits::new().max_body_bytes(100);
    let small = client(
        app(rocket().manage(limits())).mount("/routes", mobync_rocket::routes(mobync(), auth)),
    );
    for path in ["/sync", "/by-guard", "/routes"] {
        let request = sent(&small, path, one_task()).header(Header::new("x-user", "ada"));
        assert_eq!(send(request).code(), "payload_too_large", "{path}");
    }
    let rocket = support::configured("limits.mobync", 10_000).manage(limits());
    let large = client(app(rocket));
    assert_eq!(send(sent(&large, "/sync", one_task())).status, 200);
}

#[rocket::async_test]
async fn without_the_auth_closure_rocket_does_not_ignite() {
    let app = rocket().manage(mobync()).mount("/", routes![authenticated]);
    assert_eq!(app.ignite().await.unwrap_err().to_string(), "sentinel(s) aborted");
}

#[test]
fn a_handler_can_find_the_owner_by_itself() {
    let client = client(app(rocket()));
    let by_grace = sent(&client, "/by-guard", one_task()).header(Header::new("x-user", "grace"));
    assert_eq!(send(by_grace).json()["logical_clock"], 1);

    let refused = send(sent(&client, "/by-guard", one_task()));
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.json(),
        json!({"success": false, "message": "Say who you are.", "code": "unauthenticated"})
    );
    assert!(refused.has("www-authenticate: Bearer"), "{:?}", refused.headers);

    let broken = send(sent(&client, "/by-guard", "{}").header(Header::new("x-user", "grace")));
    assert_eq!((broken.status, &*broken.code()), (400, "invalid_request"));
}

#[catch(default)]
fn whatever(status: Status, _: &Request<'_>) -> String {
    format!("the application's own words for {status}")
}

#[test]
fn a_guard_that_is_not_taken_as_a_result_leaves_its_failure_to_the_catchers() {
    let client = client(app(rocket()).register("/", catchers![whatever]));
    assert_eq!(send(sent(&client, "/bare", nothing())).status, 200);
    let caught = send(sent(&client, "/bare", "no JSON"));
    assert_eq!(
        (caught.status, &*caught.body),
        (400, "the application's own words for 400 Bad Request")
    );
    assert_eq!(send(sent(&client, "/sync", "no JSON")).code(), "invalid_json");
}

#[test]
fn rockets_own_limit_counts() {
    let limits = Limits::default().limit("mobync", 100.bytes());
    let figment = support::figment().merge(("limits", limits));
    let client = client(app(rocket::custom(figment)));
    assert_eq!(send(sent(&client, "/sync", one_task())).code(), "payload_too_large");
    assert_eq!(send(sent(&client, "/sync", nothing())).status, 200);
}

#[test]
fn an_error_reads_like_the_one_it_wraps() {
    let error = Error::ClockAhead { device: 9, server: 4 };
    let sentence = error.to_string();
    assert_eq!(SyncError::from(error).to_string(), sentence);
}

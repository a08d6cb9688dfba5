//! Who is asking, without a sync: guards for any handler, and a guard as the auth closure.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use mobync::{DatabaseError, Owner, http::AuthError};
use mobync_rocket::{
    AuthenticatedOwner, BearerToken, Credentials, SharedAuth, SyncError, from_guard,
};
use rocket::{
    Request, async_trait, catch, catchers, get,
    http::{Cookie, Header, Method, Status},
    outcome::Outcome,
    post,
    request::{self, FromRequest},
    routes,
};

use self::support::{Seen, client, mobync, nothing, post as sent, request as asked, rocket, send};

async fn by_cookie_and_token(credentials: Credentials<'_, '_>) -> Result<Owner, AuthError> {
    let tenant = credentials.request.cookies().get("tenant").map(Cookie::value);
    let (tenant, path) = (tenant.unwrap_or("none"), credentials.request.uri().path());
    Ok(Owner::new(format!("{tenant}/{}{path}", credentials.token()?))?)
}

#[get("/me")]
fn me(owner: Result<AuthenticatedOwner, SyncError>) -> Result<String, SyncError> {
    owner.map(|AuthenticatedOwner(owner)| owner.to_string())
}

#[get("/bare")]
fn bare(owner: AuthenticatedOwner) -> String {
    let AuthenticatedOwner(owner) = owner;
    owner.to_string()
}

#[catch(default)]
fn whatever(status: Status, _: &Request<'_>) -> String {
    format!("the application's own words for {status}")
}

#[test]
fn the_closure_sees_the_request_of_a_handler_without_a_body() {
    let rocket = rocket().manage(SharedAuth::new(by_cookie_and_token));
    let client = client(rocket.mount("/", routes![me, bare]).register("/", catchers![whatever]));
    let get = |path| asked(&client, Method::Get, path).cookie(("tenant", "acme"));
    for path in ["/me", "/bare"] {
        let by_ada = send(get(path).header(Header::new("authorization", "bearer ada")));
        assert_eq!(by_ada.body, format!("acme/ada{path}"));
    }
    let refused = send(get("/me"));
    assert_eq!((refused.status, &*refused.code()), (401, "unauthenticated"));
    let routes = support::client(support::rocket().attach(support::fairing()));
    let nobody = send(sent(&routes, "/sync", nothing().replace("ada", "")));
    assert_eq!(refused, nobody, "to the byte");
    let caught = send(get("/bare"));
    assert_eq!(
        (caught.status, &*caught.body),
        (401, "the application's own words for 401 Unauthorized")
    );
}

#[rocket::async_test]
async fn without_the_auth_closure_rocket_does_not_ignite() {
    let app = rocket().mount("/", routes![me]);
    assert_eq!(app.ignite().await.unwrap_err().to_string(), "sentinel(s) aborted");
}

#[post("/", data = "<body>")]
fn with_body(token: Result<BearerToken, SyncError>, body: &str) -> Result<String, SyncError> {
    Ok(token?.0 + body)
}

#[test]
fn a_token_is_taken_in_front_of_a_body_too() {
    let client = client(rocket().mount("/", routes![with_body]));
    let request = client.post("/").header(Header::new("authorization", "Bearer ada"));
    assert_eq!(send(request.body(" says hi")).body, "ada says hi");
    let token = BearerToken("secret".into());
    assert!(!format!("{token:?}").contains("secret"));
}

/// Whom the header `x-user` names; a number in it is the status of an error, or of a forward.
struct User(String);

#[async_trait]
impl<'r> FromRequest<'r> for User {
    type Error = SyncError;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, SyncError> {
        let failed = |error: SyncError| Outcome::Error((Status::ImATeapot, error));
        let user = request.headers().get_one("x-user").unwrap_or("303");
        match (user.parse().map(Status::new), user) {
            (Ok(status), _) => Outcome::Forward(status),
            (_, "expired") => failed(AuthError::unauthenticated("Your token has expired.").into()),
            (_, "slow") => failed(DatabaseError::busy("in use").into()),
            _ => Outcome::Success(Self(user.to_owned())),
        }
    }
}

/// The same, whose errors say nothing but their status.
struct Silent(User);

#[async_trait]
impl<'r> FromRequest<'r> for Silent {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, ()> {
        match request.guard::<User>().await {
            Outcome::Success(user) => Outcome::Success(Self(user)),
            Outcome::Forward(status) | Outcome::Error((status, _)) => Outcome::Error((status, ())),
        }
    }
}

fn banned(User(name): User) -> Result<Owner, AuthError> {
    match &*name {
        "bob" => Err(AuthError::forbidden("Your account is closed.")),
        _ => Ok(Owner::new(name)?),
    }
}

fn refused(seen: &Seen) -> (u16, String) {
    assert!(seen.has("content-type: application/json"), "{:?}", seen.headers);
    (seen.status, seen.code())
}

#[test]
fn a_guard_is_the_auth_closure_and_its_errors_are_told_in_the_protocol_s_words() {
    let auth = from_guard(banned);
    let silent = from_guard(|Silent(user)| banned(user));
    let client = client(
        rocket()
            .manage(SharedAuth::new(auth.clone()))
            .attach(mobync_rocket::fairing(mobync(), auth.clone()))
            .attach(mobync_rocket::live(mobync(), auth))
            .mount("/silent", mobync_rocket::routes(mobync(), silent))
            .mount("/", routes![me]),
    );
    let user = |name: &'static str| Header::new("x-user", name);
    assert_eq!(send(sent(&client, "/sync", nothing()).header(user("ada"))).status, 200);
    assert_eq!(send(sent(&client, "/silent", nothing()).header(user("ada"))).status, 200);
    assert_eq!(send(asked(&client, Method::Get, "/me").header(user("ada"))).body, "ada");
    for (name, status, code) in [
        ("bob", 403, "forbidden"),
        ("expired", 401, "unauthenticated"),
        ("slow", 503, "busy"),
        ("303", 401, "unauthenticated"),
        ("401", 401, "unauthenticated"),
        ("403", 403, "forbidden"),
        ("404", 401, "unauthenticated"),
        ("429", 503, "busy"),
        ("500", 500, "internal"),
        ("503", 503, "busy"),
    ] {
        for request in [
            sent(&client, "/sync", nothing()),
            asked(&client, Method::Get, "/sync/live"),
            asked(&client, Method::Get, "/me"),
        ] {
            let seen = send(request.header(user(name)));
            assert_eq!(refused(&seen), (status, code.to_owned()), "{name}");
            let told = seen.json()["message"].as_str().unwrap().to_owned();
            assert_eq!(told == "Your token has expired.", name == "expired", "{told}");
            assert_eq!(seen.has("retry-after: 1"), status == 503, "{name}");
        }
        if name.parse::<u16>().is_ok() {
            let seen = send(sent(&client, "/silent", nothing()).header(user(name)));
            assert_eq!(refused(&seen), (status, code.to_owned()), "{name}");
        }
    }
}

#[get("/<how>")]
fn fails(how: &str) -> Result<String, SyncError> {
    match how {
        "busy" => Err(DatabaseError::busy("all connections are in use"))?,
        "conflict" => Err(DatabaseError::conflict("a deadlock"))?,
        "failed" => Err(DatabaseError::failed("a secret"))?,
        _ => Ok(Owner::new("")?.to_string()),
    }
}

#[test]
fn what_a_handler_fails_with_is_told_as_a_sync_s_failure() {
    let client = client(rocket().mount("/", routes![fails]));
    for (path, status, code) in [
        ("/busy", 503, "busy"),
        ("/conflict", 503, "busy"),
        ("/failed", 500, "internal"),
        ("/owner", 401, "unauthenticated"),
    ] {
        let failed = send(asked(&client, Method::Get, path));
        assert_eq!(refused(&failed), (status, code.to_owned()));
        assert_eq!(failed.has("retry-after: 1"), status == 503, "{path}");
        assert!(!failed.body.contains("secret"));
    }
}

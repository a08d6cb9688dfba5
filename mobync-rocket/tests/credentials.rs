//! What the auth closure reaches: cookies, private ones too, the local cache, guards, the state.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::HashMap;

use mobync::{Owner, http::AuthError};
use mobync_rocket::Credentials;
use rocket::{
    Data, Request, State,
    fairing::AdHoc,
    http::{Cookie, CookieJar, Header},
    local::blocking::Client,
    post, routes,
};

use self::support::{mobync, nothing, post as sent, rocket, send};

#[post("/sign-in")]
fn sign_in(cookies: &CookieJar<'_>) {
    cookies.add_private(Cookie::new("user", "ada"));
}

#[test]
fn a_private_cookie_names_the_owner() {
    let sync = mobync_rocket::fairing(mobync(), async |credentials| {
        let user = credentials.request.cookies().get_private("user");
        let user = user.ok_or_else(|| AuthError::unauthenticated("Sign in first."))?;
        Ok(Owner::new(user.value())?)
    });
    let client = Client::tracked(rocket().attach(sync).mount("/", routes![sign_in])).unwrap();
    let refused = send(sent(&client, "/sync", nothing()));
    assert_eq!((refused.status, &refused.json()["message"]), (401, &"Sign in first.".into()));
    send(client.post("/sign-in"));
    assert_eq!(send(sent(&client, "/sync", nothing())).status, 200);
}

/// What a fairing finds out once for a request.
struct User(Option<String>);

#[test]
fn the_local_cache_holds_what_a_fairing_found() {
    let finder = AdHoc::on_request("user", |request: &mut Request<'_>, _: &Data<'_>| {
        Box::pin(async move {
            let user = request.headers().get_one("x-user").map(str::to_owned);
            request.local_cache(|| User(user));
        })
    });
    let sync = mobync_rocket::fairing(mobync(), async |credentials| {
        match credentials.request.local_cache(|| User(None)) {
            User(Some(name)) => Ok(Owner::new(name)?),
            User(None) => Err(AuthError::forbidden("Sign in first.")),
        }
    });
    let client = support::client(rocket().attach(finder).attach(sync));
    let by_ada = sent(&client, "/sync", nothing()).header(Header::new("x-user", "ada"));
    assert_eq!(send(by_ada).status, 200);
    assert_eq!(send(sent(&client, "/sync", nothing())).code(), "forbidden");
}

type Users = HashMap<&'static str, &'static str>;

async fn by_guard(credentials: Credentials<'_, '_>) -> Result<Owner, AuthError> {
    let users = credentials.request.guard::<&State<Users>>().await.succeeded();
    let user = users.and_then(|users| users.get(credentials.token().ok()?));
    Ok(Owner::new(user.ok_or_else(|| AuthError::unauthenticated("Nobody knows you."))?)?)
}

#[test]
fn guards_and_the_state_are_at_hand() {
    let sync = mobync_rocket::fairing(mobync(), by_guard);
    let users: Users = HashMap::from([("ada", "Ada Lovelace")]);
    let client = support::client(rocket().manage(users).attach(sync));
    assert_eq!(send(sent(&client, "/sync", nothing())).status, 200);
    let stranger = send(sent(&client, "/sync", nothing().replace("ada", "eve")));
    assert_eq!((stranger.status, &stranger.json()["message"]), (401, &"Nobody knows you.".into()));
}

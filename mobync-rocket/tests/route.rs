//! The fairing and the routes, in every way that Rocket offers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use mobync::{Owner, http::AuthError};
use mobync_rocket::Credentials;
use rocket::{
    Request, catch, catchers,
    data::{Limits, ToByteUnit},
    futures::future::BoxFuture,
    get,
    http::{Header, Method},
    options, routes,
};

use self::support::{
    auth, client, configured, fairing, mobync, nothing, one_task, post, request, rocket, send,
};

#[test]
fn what_one_device_pushes_a_new_one_gets() {
    let client = client(rocket().attach(fairing()));
    let pushed = send(post(&client, "/sync", one_task()));
    assert_eq!((pushed.status, &pushed.json()["logical_clock"]), (200, &1.into()));

    let pulled = send(post(&client, "/sync", nothing())).json();
    assert_eq!(pulled["diffs"][0]["json_data"], r#"{"id":"t1","name":"Milk"}"#);
}

/// Looks around in the request before and after it has waited.
async fn waits(credentials: Credentials<'_, '_>) -> Result<Owner, AuthError> {
    let user = credentials.request.cookies().get("user").map(|cookie| cookie.value().to_owned());
    rocket::tokio::task::yield_now().await;
    assert_eq!(credentials.request.uri().path(), "/function");
    Ok(Owner::new(user.as_deref().map_or_else(|| credentials.token(), Ok)?)?)
}

fn boxed<'a>(credentials: Credentials<'a, '_>) -> BoxFuture<'a, Result<Owner, AuthError>> {
    Box::pin(async move { Ok(Owner::new(credentials.token()?)?) })
}

#[test]
fn a_closure_without_type_annotations_and_any_async_function_are_the_auth() {
    let closure = mobync_rocket::routes(mobync(), async |credentials| {
        rocket::tokio::task::yield_now().await;
        Ok(Owner::new(credentials.token()?)?)
    });
    let client = client(
        rocket()
            .mount("/closure", closure)
            .mount("/function", mobync_rocket::routes(mobync(), waits))
            .mount("/boxed", mobync_rocket::routes(mobync(), boxed)),
    );
    for path in ["/closure", "/function", "/boxed"] {
        assert_eq!(send(post(&client, path, nothing())).status, 200);
        let nobody = nothing().replace("ada", "");
        assert_eq!(send(post(&client, path, nobody)).code(), "unauthenticated");
    }
}

#[test]
fn routes_are_mounted_at_any_path() {
    let sync = mobync_rocket::routes(mobync(), auth);
    let client = client(rocket().mount("/devices/exchange", sync));
    assert_eq!(send(post(&client, "/devices/exchange", nothing())).status, 200);
    assert_eq!(send(post(&client, "/sync", nothing())).status, 404);
}

#[test]
fn path_and_limit_of_the_fairing_come_from_the_configuration() {
    let figment = support::figment()
        .merge(("mobync.path", "/my/path"))
        .merge(("limits", Limits::default().limit("mobync", 100.bytes())));
    let client = client(rocket::custom(figment).attach(fairing()));
    assert_eq!(send(post(&client, "/my/path", nothing())).status, 200);
    assert_eq!(send(post(&client, "/sync", nothing())).status, 404);

    let refused = send(post(&client, "/my/path", one_task()));
    assert_eq!((refused.status, &*refused.code()), (413, "payload_too_large"));
    assert!(refused.body.contains("100 bytes"), "{}", refused.body);
}

#[test]
fn it_takes_sixteen_mebibytes_where_no_limit_is_set() {
    let client = client(rocket().attach(fairing()));
    let mut large = nothing() + &" ".repeat(16 * 1024 * 1024);
    large.truncate(16 * 1024 * 1024);
    assert_eq!(send(post(&client, "/sync", &large)).status, 200);
    large.push(' ');
    assert_eq!(send(post(&client, "/sync", large)).code(), "payload_too_large");
}

#[test]
fn it_answers_every_other_method_by_itself() {
    let client = client(rocket().attach(fairing()));
    for method in [
        Method::Get,
        Method::Put,
        Method::Delete,
        Method::Patch,
        Method::Options,
        Method::Trace,
        Method::Head,
    ] {
        let refused = send(request(&client, method, "/sync"));
        assert_eq!(refused.status, 405, "{method}");
        assert!(refused.has("allow: POST"), "{:?}", refused.headers);
        if method != Method::Head {
            assert_eq!(refused.code(), "method_not_allowed");
        }
    }
}

#[test]
fn a_path_that_is_not_the_route_s_to_the_byte_goes_to_others() {
    let plain = client(rocket().attach(fairing()));
    let with_page = client(rocket().attach(fairing()).mount("/", routes![page]));
    for path in ["/sync/", "//sync", "/%73ync", "/sync//"] {
        assert_eq!(send(post(&plain, path, nothing())).status, 404, "{path}");
        assert_eq!(send(request(&plain, Method::Get, path)).status, 404, "{path}");
        assert_eq!(send(request(&with_page, Method::Get, path)).body, "the page", "{path}");
    }
    // Rocket takes a slash off the end of a mount point.
    for (base, own, other) in
        [("/", "/", "/x"), ("/a/b", "/a/b", "/a/b/"), ("/a/b/", "/a/b", "/a/b/")]
    {
        let client = client(rocket().mount(base, mobync_rocket::routes(mobync(), auth)));
        assert_eq!(send(post(&client, own, nothing())).status, 200, "{base}");
        assert_eq!(send(post(&client, other, nothing())).status, 404, "{base}");
    }
}

#[get("/<_..>", rank = 20)]
fn page() -> &'static str {
    "the page"
}

#[options("/<_..>")]
fn preflight() -> &'static str {
    "go ahead"
}

#[test]
fn routes_of_the_application_for_other_methods_go_first() {
    let client = client(rocket().attach(fairing()).mount("/", routes![page, preflight]));
    assert_eq!(send(request(&client, Method::Get, "/sync")).body, "the page");
    assert_eq!(send(request(&client, Method::Options, "/sync")).body, "go ahead");
    assert_eq!(send(request(&client, Method::Put, "/sync")).status, 405);
    assert_eq!(send(post(&client, "/sync", nothing())).status, 200);
}

#[catch(default)]
fn whatever(request: &Request<'_>) -> String {
    format!("the application's own words for {}", request.uri())
}

#[test]
fn catchers_neither_answer_for_it_nor_hear_of_it() {
    let plain = client(rocket().attach(fairing()));
    let catching = client(rocket().attach(fairing()).register("/", catchers![whatever]));
    let empty = r#"{"logical_clock": 0, "diffs": []}"#;
    let ahead = r#"{"auth_token": "ada", "logical_clock": 9, "diffs": []}"#;
    for (body, status) in [("no JSON", 400), (empty, 401), (ahead, 409)] {
        let answer = send(post(&catching, "/sync", body));
        assert_eq!(answer.status, status);
        assert_eq!(answer, send(post(&plain, "/sync", body)));
    }
    let untyped = send(catching.post("/sync").body("{}"));
    assert_eq!((untyped.status, &*untyped.code()), (415, "unsupported_media_type"));

    let elsewhere = send(post(&catching, "/elsewhere", nothing()));
    assert_eq!(elsewhere.body, "the application's own words for /elsewhere");
}

#[test]
fn a_missing_token_is_answered_with_a_challenge() {
    let client = client(rocket().attach(fairing()));
    let refused = send(post(&client, "/sync", r#"{"logical_clock": 0, "diffs": []}"#));
    assert_eq!((refused.status, &*refused.code()), (401, "unauthenticated"));
    assert!(refused.has("www-authenticate: Bearer"), "{:?}", refused.headers);
}

#[test]
fn every_header_line_reaches_the_core() {
    let client = client(rocket().attach(fairing()));
    let encodings = post(&client, "/sync", nothing())
        .header(Header::new("content-encoding", "gzip"))
        .header(Header::new("content-encoding", "identity"));
    assert_eq!(send(encodings).code(), "unsupported_media_type");
}

#[rocket::async_test]
async fn a_path_that_cannot_be_right_fails_the_ignition() {
    for path in ["sync", "/sync?a=b", "/<id>", "", "https://tasks.example/sync"] {
        let error = configured("mobync.path", path).attach(fairing()).ignite().await.unwrap_err();
        assert_eq!(error.to_string(), "launch fairing(s) failed", "{path}");
    }
}

#[rocket::async_test]
async fn a_setting_that_there_is_not_or_of_the_wrong_type_fails_the_ignition() {
    for (key, value) in [("mobync.paht", "/sync".into()), ("mobync.path", 7.into())] {
        let value: rocket::figment::value::Value = value;
        let error = configured(key, value).attach(fairing()).ignite().await.unwrap_err();
        assert_eq!(error.to_string(), "launch fairing(s) failed", "{key}");
    }
}

#[rocket::async_test]
async fn a_limit_that_cannot_be_right_fails_the_ignition() {
    let error = configured("limits.mobync", "much").attach(fairing()).ignite().await.unwrap_err();
    assert_eq!(error.to_string(), "failed to extract configuration");
}

#[rocket::async_test]
async fn two_at_one_path_collide_at_the_ignition() {
    let both = rocket().attach(fairing()).mount("/sync", mobync_rocket::routes(mobync(), auth));
    assert_eq!(both.ignite().await.unwrap_err().to_string(), "collisions detected");
}

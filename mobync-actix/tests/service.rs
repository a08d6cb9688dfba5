//! The service, mounted in every way that actix-web offers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::rc::Rc;

use actix_web::{
    App,
    http::Method,
    test::{TestRequest, init_service},
    web::{self, Data, PayloadConfig},
};
use mobync::Owner;

use self::support::{auth, mobync, nothing, one_task, post, send};

#[actix_web::test]
async fn what_one_device_pushes_a_new_one_gets() {
    let app = init_service(App::new().service(mobync_actix::service(mobync(), auth))).await;
    let pushed = send(&app, post("/sync", one_task())).await;
    assert_eq!((pushed.status, &pushed.json()["logical_clock"]), (200, &1.into()));

    let pulled = send(&app, post("/sync", nothing())).await.json();
    assert_eq!(pulled["diffs"][0]["json_data"], r#"{"id":"t1","name":"Milk"}"#);
}

#[actix_web::test]
async fn the_auth_closure_needs_neither_type_annotations_nor_to_be_send() {
    let plain = mobync_actix::service(mobync(), |credentials| async move {
        Ok(Owner::new(credentials.token()?)?)
    });
    let tenant = Rc::new(String::from("acme"));
    let holding = mobync_actix::service(mobync(), move |credentials| {
        let tenant = Rc::clone(&tenant);
        async move { Ok(Owner::new(format!("{tenant}/{}", credentials.token()?))?) }
    });
    let asynchronous =
        mobync_actix::service(mobync(), async |credentials| Ok(Owner::new(credentials.token()?)?));
    let app = App::new()
        .service(plain.path("/plain"))
        .service(holding.path("/holding"))
        .service(asynchronous.path("/asynchronous"));
    let app = init_service(app).await;
    for path in ["/plain", "/holding", "/asynchronous"] {
        assert_eq!(send(&app, post(path, nothing())).await.status, 200);
    }
}

#[actix_web::test]
async fn it_goes_into_a_scope_and_a_configuration() {
    let configure = |config: &mut web::ServiceConfig| {
        config.service(mobync_actix::service(mobync(), auth));
    };
    let scope = web::scope("/api").service(mobync_actix::service(mobync(), auth));
    let app = init_service(App::new().service(scope).configure(configure)).await;
    for path in ["/api/sync", "/sync"] {
        assert_eq!(send(&app, post(path, one_task())).await.json()["logical_clock"], 1);
    }
    assert_eq!(send(&app, post("/api", nothing())).await.status, 404);
}

#[actix_web::test]
async fn its_path_and_its_limit_can_be_chosen() {
    let sync = mobync_actix::service(mobync(), auth).path("/my/path").max_body_bytes(100);
    let app = init_service(App::new().service(sync)).await;
    assert_eq!(send(&app, post("/my/path", nothing())).await.status, 200);
    assert_eq!(send(&app, post("/sync", nothing())).await.status, 404);

    let refused = send(&app, post("/my/path", one_task())).await;
    assert_eq!((refused.status, &*refused.code()), (413, "payload_too_large"));
    assert!(refused.json()["message"].as_str().unwrap().contains("100 bytes"));
}

#[actix_web::test]
async fn a_payload_config_of_the_application_is_its_limit_too() {
    let app = || App::new().service(mobync_actix::service(mobync(), auth));
    let config = || PayloadConfig::new(100);
    for app in [app().app_data(config()), app().app_data(Data::new(config()))] {
        let app = init_service(app).await;
        assert_eq!(send(&app, post("/sync", nothing())).await.status, 200);
        let refused = send(&app, post("/sync", one_task())).await;
        assert_eq!((refused.status, &*refused.code()), (413, "payload_too_large"));
        let announced = post("/sync", one_task()).insert_header(("content-length", 5_000));
        assert_eq!(send(&app, announced).await.code(), "payload_too_large");
    }
}

#[actix_web::test]
async fn a_limit_of_its_own_goes_before_that_of_the_application() {
    let sync = mobync_actix::service(mobync(), auth).max_body_bytes(1_000);
    let app = init_service(App::new().app_data(PayloadConfig::new(100)).service(sync)).await;
    assert_eq!(send(&app, post("/sync", one_task())).await.status, 200);
    let large = nothing() + &" ".repeat(1_000);
    assert_eq!(send(&app, post("/sync", large)).await.status, 413);
}

#[actix_web::test]
async fn it_takes_sixteen_mebibytes_where_no_limit_is_set() {
    let app = init_service(App::new().service(mobync_actix::service(mobync(), auth))).await;
    let mut large = nothing() + &" ".repeat(16 * 1024 * 1024);
    large.truncate(16 * 1024 * 1024);
    assert_eq!(send(&app, post("/sync", large.clone())).await.status, 200);
    large.push(' ');
    assert_eq!(send(&app, post("/sync", large)).await.code(), "payload_too_large");
}

#[actix_web::test]
async fn it_answers_every_other_method_by_itself() {
    let app = init_service(App::new().service(mobync_actix::service(mobync(), auth))).await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let refused = send(&app, TestRequest::with_uri("/sync").method(method)).await;
        assert_eq!((refused.status, refused.header("allow")), (405, "POST"));
        assert_eq!(refused.code(), "method_not_allowed");
    }
}

#[actix_web::test]
async fn a_missing_token_is_answered_with_a_challenge() {
    let app = init_service(App::new().service(mobync_actix::service(mobync(), auth))).await;
    let refused = send(&app, post("/sync", r#"{"logical_clock": 0, "diffs": []}"#)).await;
    assert_eq!((refused.status, &*refused.code()), (401, "unauthenticated"));
    assert_eq!(refused.header("www-authenticate"), "Bearer");
}

#[actix_web::test]
async fn the_bytes_of_every_header_line_reach_the_core() {
    let app = init_service(App::new().service(mobync_actix::service(mobync(), auth))).await;
    let latin = post("/sync", nothing()).insert_header(("authorization", &b"Bearer caf\xe9"[..]));
    assert_eq!(send(&app, latin).await.code(), "unauthenticated");
    let two = post("/sync", nothing())
        .append_header(("authorization", "Bearer ada"))
        .append_header(("authorization", "Bearer bob"));
    assert_eq!(send(&app, two).await.code(), "unauthenticated");

    let encodings = post("/sync", nothing())
        .append_header(("content-encoding", "gzip"))
        .append_header(("content-encoding", "identity"));
    assert_eq!(send(&app, encodings).await.code(), "unsupported_media_type");
}

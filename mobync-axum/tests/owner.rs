//! Who is asking, without a sync: extractors for any handler, and an extractor as the auth closure.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use axum::{
    Extension, Router,
    body::Body,
    extract::{FromRef, FromRequestParts, Path},
    http::{Request, StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use mobync::{
    DatabaseError, Owner,
    http::{AuthError, Credentials, SharedAuth},
};
use mobync_axum::{
    AuthenticatedOwner, BearerToken, SyncError, from_extractor, from_extractor_with_state,
};

use self::support::{Seen, auth, mobync, nothing, post, send};

fn asking(path: &str, header: (&str, &str)) -> Request<Body> {
    Request::get(path).header(header.0, header.1).body(Body::empty()).unwrap()
}

/// What a middleware leaves in the request.
#[derive(Clone)]
struct Tenant(&'static str);

async fn of_tenant(credentials: Credentials) -> Result<Owner, AuthError> {
    let Tenant(tenant) = credentials.extensions.get().unwrap();
    Ok(Owner::new(format!("{tenant}/{}{}", credentials.token()?, credentials.uri.path()))?)
}

#[derive(Clone, FromRef)]
struct App {
    auth: SharedAuth,
}

#[tokio::test]
async fn the_closure_sees_the_request_of_a_handler_without_a_body() {
    let owner = |AuthenticatedOwner(owner): AuthenticatedOwner| async move { owner.to_string() };
    let app: Router = Router::new()
        .route("/me", get(owner))
        .layer(Extension(Tenant("acme")))
        .with_state(App { auth: SharedAuth::new(of_tenant) });
    assert_eq!(
        send(&app, asking("/me", ("authorization", "bearer ada"))).await.body,
        "acme/ada/me"
    );
    let refused = send(&app, asking("/me", ("x-user", "ada"))).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (401, "unauthenticated"));
    let route: Router = mobync_axum::router(mobync(), auth);
    let nobody = post("/sync", nothing().replace("ada", ""));
    assert_eq!(refused, send(&route, nobody).await, "to the byte");
}

#[tokio::test]
async fn a_token_is_taken_in_front_of_a_body_too() {
    let with_body = |BearerToken(token): BearerToken, body: String| async move { token + &body };
    let app: Router = Router::new().route("/", get(with_body));
    let request = Request::get("/").header("authorization", "Bearer ada").body(" says hi".into());
    assert_eq!(send(&app, request.unwrap()).await.body, "ada says hi");
    let token = BearerToken("secret".into());
    assert!(!format!("{token:?}").contains("secret"));
}

/// Whom the header `x-user` names; a number in it is the status of a rejection.
struct User(String);

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let user = parts.headers.get("x-user").ok_or(Redirect::to("/sign-in").into_response())?;
        let user = user.to_str().map_err(|_| StatusCode::BAD_REQUEST.into_response())?;
        match user.parse::<u16>() {
            Ok(status) => Err(StatusCode::from_u16(status).unwrap().into_response()),
            Err(_) => Ok(Self(user.to_owned())),
        }
    }
}

fn syncing(user: &str) -> Request<Body> {
    let mut request = post("/sync", nothing());
    request.headers_mut().insert("x-user", user.parse().unwrap());
    request
}

fn refused(seen: &Seen) -> (u16, String) {
    assert_eq!(seen.headers["content-type"], "application/json");
    (seen.status.as_u16(), seen.code())
}

#[tokio::test]
async fn an_extractor_is_the_auth_closure_and_its_rejections_are_told_in_the_protocol_s_words() {
    let banned = |User(name)| match &*name {
        "bob" => Err(AuthError::forbidden("Your account is closed.")),
        _ => Ok(Owner::new(name)?),
    };
    let auth = from_extractor(banned);
    let app: Router =
        mobync_axum::router(mobync(), auth.clone()).merge(mobync_axum::live(mobync(), auth));
    assert_eq!(send(&app, syncing("ada")).await.status, 200);
    for (user, status, code) in [
        ("bob", 403, "forbidden"),
        ("401", 401, "unauthenticated"),
        ("403", 403, "forbidden"),
        ("404", 401, "unauthenticated"),
        ("429", 503, "busy"),
        ("500", 500, "internal"),
        ("502", 500, "internal"),
        ("503", 503, "busy"),
    ] {
        assert_eq!(refused(&send(&app, syncing(user)).await), (status, code.to_owned()), "{user}");
        let live = send(&app, asking("/sync/live", ("x-user", user))).await;
        assert_eq!(refused(&live), (status, code.to_owned()), "{user}");
    }
    let redirected = send(&app, post("/sync", nothing())).await;
    assert_eq!(refused(&redirected), (401, "unauthenticated".to_owned()));
    assert!(!redirected.headers.contains_key("location"));
}

#[tokio::test]
async fn an_extractor_may_need_state_and_its_own_sentence_is_told() {
    struct Member(Owner);

    impl FromRequestParts<&'static str> for Member {
        type Rejection = SyncError;

        async fn from_request_parts(
            parts: &mut Parts,
            tenant: &&'static str,
        ) -> Result<Self, SyncError> {
            let BearerToken(user) = BearerToken::from_request_parts(parts, tenant).await?;
            match &*user {
                "expired" => Err(AuthError::unauthenticated("Your token has expired."))?,
                "slow" => Err(DatabaseError::busy("all connections are in use"))?,
                user => Ok(Self(Owner::new(format!("{tenant}/{user}"))?)),
            }
        }
    }

    let auth = from_extractor_with_state("acme", |Member(owner)| Ok::<_, AuthError>(owner));
    let app: Router = mobync_axum::router(mobync(), auth);
    let sync = async |token: &str| {
        let mut request = post("/sync", nothing());
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        send(&app, request).await
    };
    assert_eq!(sync("ada").await.status, 200);
    let expired = sync("expired").await;
    assert_eq!(refused(&expired), (401, "unauthenticated".to_owned()));
    assert_eq!(expired.json()["message"], "Your token has expired.");
    let busy = sync("slow").await;
    assert_eq!(refused(&busy), (503, "busy".to_owned()));
    assert_eq!(busy.headers["retry-after"], "1");
}

async fn fails(Path(how): Path<String>) -> Result<String, SyncError> {
    match &*how {
        "busy" => Err(DatabaseError::busy("all connections are in use"))?,
        "conflict" => Err(DatabaseError::conflict("a deadlock"))?,
        "failed" => Err(DatabaseError::failed("a secret"))?,
        _ => Ok(Owner::new("")?.to_string()),
    }
}

#[tokio::test]
async fn what_a_handler_fails_with_is_told_as_a_sync_s_failure() {
    let app: Router = Router::new().route("/{how}", get(fails));
    for (path, status, code) in [
        ("/busy", 503, "busy"),
        ("/conflict", 503, "busy"),
        ("/failed", 500, "internal"),
        ("/owner", 401, "unauthenticated"),
    ] {
        let failed = send(&app, asking(path, ("accept", "*/*"))).await;
        assert_eq!(refused(&failed), (status, code.to_owned()));
        assert_eq!(failed.headers.contains_key("retry-after"), status == 503, "{path}");
        assert!(!String::from_utf8_lossy(&failed.body).contains("secret"));
    }
}

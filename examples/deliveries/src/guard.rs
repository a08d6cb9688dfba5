//! Who may use the admin page: basic authentication, and forms of the page itself only.

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};

/// The admin's password.
#[derive(Clone)]
pub(crate) struct Guard {
    password: String,
}

impl Guard {
    /// With that password, or a random one.
    pub(crate) fn new(password: Option<String>) -> Result<Self, getrandom::Error> {
        let password = match password {
            Some(password) => password,
            None => random_text()?,
        };
        Ok(Self { password })
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn protect(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), check))
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let expected = BASE64_STANDARD.encode(format!("admin:{}", self.password));
        let told = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let told = told.and_then(|value| value.strip_prefix("Basic ")).unwrap_or_default();
        // As long for a wrong password that begins well as for any other.
        let differences = expected.bytes().zip(told.bytes()).map(|(left, right)| left ^ right);
        told.len() == expected.len() && differences.fold(0, |all, bits| all | bits) == 0
    }
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if !guard.knows(request.headers()) {
        let ask = [(WWW_AUTHENTICATE, "Basic realm=\"deliveries\", charset=\"UTF-8\"")];
        return (StatusCode::UNAUTHORIZED, ask, "Who are you?").into_response();
    }
    // A browser sends the password along with the forms of any other site, too.
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !request.method().is_safe() && !matches!(site, None | Some(b"same-origin")) {
        return (StatusCode::FORBIDDEN, "That form is of another site.").into_response();
    }
    next.run(request).await
}

/// A text that nobody guesses.
pub(crate) fn random_text() -> Result<String, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

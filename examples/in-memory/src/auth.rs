//! Who is asking. In this demo the token itself is the owner: whoever says "ada" is Ada.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use mobync::{
    Owner,
    http::{AuthError, Credentials},
};

/// The owner for a sync. A real application looks the token up in its users or sessions.
pub(crate) async fn owner_of(credentials: Credentials) -> Result<Owner, AuthError> {
    Ok(Owner::new(credentials.token()?)?)
}

/// The token of an ordinary request: of its `Authorization: Bearer` header, else of its query.
pub(crate) fn token(headers: &HeaderMap, query: Option<String>) -> Result<String, AuthError> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = header.and_then(|header| header.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = bearer.map(|(_, token)| token.trim().to_owned()).or(query);
    token.filter(|token| !token.is_empty()).ok_or_else(|| {
        AuthError::unauthenticated(
            "A token is needed, as an Authorization: Bearer header or as ?auth_token=.",
        )
    })
}

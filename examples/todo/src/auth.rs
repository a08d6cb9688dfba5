//! Who is asking. In this demo there are two people, and each one's token is their name.

use mobync::{
    Owner,
    http::{AuthError, Credentials},
};

/// The owner of a request. A real application looks the token up in its users or sessions.
pub(crate) async fn owner_of(credentials: Credentials) -> Result<Owner, AuthError> {
    match credentials.token()? {
        name @ ("ada" | "grace") => Ok(Owner::new(name)?),
        _ => Err(AuthError::unauthenticated("The token is neither Ada's nor Grace's.")),
    }
}

//! Who is asking. In this demo the token itself is the owner: whoever says "ada" is Ada.

use mobync::{
    Owner,
    http::{AuthError, Credentials},
};

/// The owner of a request. A real application looks the token up in its users or sessions.
pub(crate) async fn owner_of(credentials: Credentials) -> Result<Owner, AuthError> {
    Ok(Owner::new(credentials.token()?)?)
}

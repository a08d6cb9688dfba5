//! Who is asking, and for which list. In this demo there are two people, and each one's token is their name.

use mobync::{
    Grant, Owner,
    http::{AuthError, Credentials},
};

/// Whose data a request is for: the person's own, or those of the list that both people share. A real application
/// looks the token up in its users or sessions, and the space in its table of members.
pub(crate) async fn grant(credentials: Credentials) -> Result<Grant, AuthError> {
    let person @ ("ada" | "grace") = credentials.token()? else {
        return Err(AuthError::unauthenticated("The token is neither Ada's nor Grace's."));
    };
    match credentials.space() {
        None => Ok(Owner::new(person)?.into()),
        // An owner that nobody's own data has.
        Some("family") => Ok(Grant::new(Owner::new("list family")?).member(person)),
        Some(_) => Err(AuthError::no_member("You are not a member of this list.")),
    }
}

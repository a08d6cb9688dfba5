//! Who is asking, and what they may do. In this demo a person's token is their name, so do not copy that.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use mobync::{Grant, InvalidOwner, Owner, http::AuthError};
use mobync_actix::{BearerToken, Credentials, SyncError};

use crate::projects::{Project, Projects, Role};

/// A person, by name. It has letters and digits only, so it is never the owner of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person(String);

impl Person {
    /// The person with that name; `None` if there can be none.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_name = (1..=40).contains(&name.len()) && name.bytes().all(is_letter);
        is_name.then(|| Self(name.to_owned()))
    }

    fn signed_in(token: &str) -> Result<Self, AuthError> {
        let unknown = "Sign in with a name of 1 to 40 small letters and digits.";
        Self::named(token).ok_or(AuthError::unauthenticated(unknown))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// The owner of what is theirs alone.
    pub(crate) fn owner(&self) -> Result<Owner, InvalidOwner> {
        Owner::new(&self.0)
    }
}

/// For the handlers.
impl FromRequest for Person {
    type Error = SyncError;
    type Future = Ready<Result<Self, SyncError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let token = BearerToken::from_request(request, payload).into_inner();
        ready(token.and_then(|BearerToken(name)| Ok(Self::signed_in(&name)?)))
    }
}

/// For sync and live updates: it is asked once without a space, and then about each space.
///
/// With sessions that end, add [`Grant::holds_for`], so that live streams do not outlast them.
pub(crate) async fn grant(
    projects: Projects,
    credentials: Credentials,
) -> Result<Grant, AuthError> {
    let person = Person::signed_in(credentials.token()?)?;
    let Some(space) = credentials.space() else {
        return Ok(person.owner()?.into());
    };
    let project = Project::with_id(space).ok_or_else(no_member)?;
    let membership = projects.membership(&project, &person).await?.ok_or_else(no_member)?;
    let grant = Grant::new(project.owner()?).member(person.name());
    Ok(if membership.role == Role::Reader { grant.read_only() } else { grant })
}

/// Says the same of a project that does not exist, so that nobody learns which ones do.
pub(crate) fn no_member() -> AuthError {
    AuthError::no_member("You are not a member of this project.")
}

//! Who is asking, and for which project. In this demo the token itself is the user.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::AUTHORIZATION, web::Data};
use mobync::{Owner, http::AuthError};
use mobync_actix::{Credentials, SyncError};

use crate::projects::{self, Projects};

/// For a sync: the project in the path, which owns the data, if the user is one of its members.
pub(crate) async fn project_of_member(credentials: Credentials) -> Result<Owner, AuthError> {
    let user = credentials.token()?;
    let project = credentials.request.match_info().query("project");
    let project = Owner::new(project)?;
    let projects = credentials.request.app_data::<Data<Projects>>();
    let projects = projects.ok_or_else(|| AuthError::failed("there are no projects"))?;
    match projects::is_member(projects, &project, user).await {
        Ok(true) => Ok(project),
        // The same for a project that does not exist, so that nobody learns which projects exist.
        Ok(false) => Err(AuthError::forbidden("You are not a member of this project.")),
        Err(error) => Err(AuthError::failed(error)),
    }
}

/// The user of any other request.
pub(crate) struct User(pub(crate) String);

impl FromRequest for User {
    type Error = SyncError;
    type Future = Ready<Result<Self, SyncError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let user = header.and_then(|header| header.strip_prefix("Bearer "));
        ready(match user {
            Some(user) if !user.is_empty() => Ok(Self(user.to_owned())),
            _ => {
                Err(AuthError::unauthenticated("Say who you are with Authorization: Bearer.")
                    .into())
            }
        })
    }
}

//! Who may sync a project. In this demo the token itself is the user.

use actix_web::web::Data;
use mobync::{Owner, http::AuthError};
use mobync_actix::Credentials;

use crate::projects::{self, Projects};

/// The project in the path, which owns the data, if the user is one of its members.
pub(crate) async fn project_of_member(credentials: Credentials) -> Result<Owner, AuthError> {
    let user = credentials.token()?;
    let project = Owner::new(credentials.request.match_info().query("project"))?;
    let projects = credentials.request.app_data::<Data<Projects>>();
    let projects = projects.ok_or_else(|| AuthError::failed("there are no projects"))?;
    if projects::is_member(projects, &project, user).await? {
        return Ok(project);
    }
    // The same for a project that is not there: nobody learns which ones are.
    Err(AuthError::forbidden("You are not a member of this project."))
}

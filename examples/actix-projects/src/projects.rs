//! The projects: an owner each, with the models `members` and `tasks`.

use actix_web::web::{Data, Json};
use mobync::{
    Access, Change, Database as _, DatabaseError, Mobync, Owner, ReadFilter, Record, Synchronizer,
    http::AuthError, memory::MemoryDatabase,
};
use mobync_actix::SyncError;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{auth::User, rules::MembersOnly};

/// The database. To keep what is in it, put another one here, and open it below.
pub(crate) type Database = MemoryDatabase;

pub(crate) type Projects = Mobync<Database, MembersOnly>;

pub(crate) fn open() -> Projects {
    let database =
        Database::new().model("members", ["since"]).model("tasks", ["name", "done", "assignee"]);
    Mobync::new(database).rules(MembersOnly)
}

/// `POST /projects`: a new project, with whoever asks for it as its first member.
pub(crate) async fn found(user: User, projects: Data<Projects>) -> Result<Json<Value>, SyncError> {
    let project = Uuid::now_v7().to_string();
    let owner = Owner::new(&project).map_err(AuthError::from)?;
    // Members are synced like tasks, so a device of a member can add the others.
    projects.write(&owner, [Change::create("members", Record::new(user.0))]).await?;
    Ok(Json(json!({"project": project})))
}

/// Whether the user is a member of the project.
pub(crate) async fn is_member(
    projects: &Projects,
    project: &Owner,
    user: &str,
) -> Result<bool, DatabaseError> {
    let mut unit = projects.database().open(project, Access::Read).await?;
    let members = unit.read(project, "members", &[ReadFilter::equal("id", user)]).await?;
    Ok(!members.is_empty())
}

//! The projects: an owner each, with the models `members` and `tasks`.

use std::error::Error;

use actix_web::web::{Data, Json};
use mobync::{Change, Mobync, Owner, ReadFilter, Record, postgres::PostgresDatabase, sql::Table};
use mobync_actix::{BearerToken, SyncError};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::rules::MembersOnly;

pub(crate) type Projects = Mobync<PostgresDatabase, MembersOnly>;

/// The application's own tables; who is given a task is one of its project's members.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS members (project text, id text, since date, PRIMARY KEY (project, id));
    CREATE TABLE IF NOT EXISTS tasks (
        project text, id text, name text NOT NULL DEFAULT '', done boolean NOT NULL DEFAULT false,
        assignee text, PRIMARY KEY (project, id),
        FOREIGN KEY (project, assignee) REFERENCES members (project, id)
    );
";

pub(crate) async fn open(url: &str) -> Result<Projects, Box<dyn Error>> {
    let pool = PgPool::connect(url).await?;
    sqlx::raw_sql(TABLES).execute(&pool).await?;
    let of_project = |name| Table::new(name).owner_column("project");
    let tables =
        PostgresDatabase::builder().table(of_project("members")).table(of_project("tasks"));
    let database = tables.pool(pool).await?;
    database.set_up().await?;
    Ok(Mobync::new(database).rules(MembersOnly))
}

/// `POST /projects`: a new project, with whoever asks for it as its first member.
pub(crate) async fn found(
    BearerToken(user): BearerToken,
    projects: Data<Projects>,
) -> Result<Json<Value>, SyncError> {
    let project = Uuid::now_v7().to_string();
    let owner = Owner::new(&project)?;
    // Members are synced like tasks, so a device of a member can add the others.
    projects.write(&owner, [Change::create("members", Record::new(user))]).await?;
    Ok(Json(json!({"project": project})))
}

/// Whether the user is a member of the project.
pub(crate) async fn is_member(
    projects: &Projects,
    project: &Owner,
    user: &str,
) -> Result<bool, mobync::Error> {
    let members = projects.read(project, "members", &[ReadFilter::equal("id", user)]).await?;
    Ok(!members.is_empty())
}

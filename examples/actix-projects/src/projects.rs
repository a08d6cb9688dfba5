//! The projects, and who is a member: twice, in the project's data and in the person's own.

use mobync::{
    AnyDatabase, AnyRules, Change, DatabaseError, Error, InvalidOwner, Mobync, Owner, ReadFilter,
    http::AuthError,
    postgres::PostgresDatabase,
    sql::{Builder, Table},
    sqlite::SqliteDatabase,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{auth::Person, rules::TasksOfMembers};

/// What belongs to a person, and then what belongs to a project. An id in the one is the owner of the other: of a
/// membership it is the project, of a member the person.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS memberships (
        person text NOT NULL, id text NOT NULL, name text NOT NULL, role text NOT NULL,
        PRIMARY KEY (person, id)
    );
    CREATE TABLE IF NOT EXISTS invitations (
        person text NOT NULL, id text NOT NULL, name text NOT NULL, role text NOT NULL,
        host text NOT NULL, PRIMARY KEY (person, id)
    );

    CREATE TABLE IF NOT EXISTS members (
        project text NOT NULL, id text NOT NULL, role text NOT NULL, PRIMARY KEY (project, id)
    );
    CREATE TABLE IF NOT EXISTS invited (
        project text NOT NULL, id text NOT NULL, role text NOT NULL, PRIMARY KEY (project, id)
    );
    CREATE TABLE IF NOT EXISTS tasks (
        project text NOT NULL, id text NOT NULL, title text NOT NULL DEFAULT '',
        done boolean NOT NULL DEFAULT false, assignee text, author text NOT NULL DEFAULT '',
        created_time bigint NOT NULL DEFAULT 0, PRIMARY KEY (project, id)
    );
";

fn tables() -> impl Iterator<Item = Table> {
    let of = |owner: &'static str| move |name| Table::new(name).owner_column(owner);
    let persons = ["memberships", "invitations"].map(of("person"));
    persons.into_iter().chain(["members", "invited", "tasks"].map(of("project")))
}

/// A project, by the id that devices know as the name of a space.
#[derive(Clone, Debug)]
pub(crate) struct Project(String);

impl Project {
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The project with that id; `None` if there can be none.
    pub(crate) fn with_id(id: &str) -> Option<Self> {
        Uuid::try_parse(id).is_ok().then(|| Self(id.to_owned()))
    }

    pub(crate) fn id(&self) -> &str {
        &self.0
    }

    /// The owner of its data. No person has a blank in their name.
    pub(crate) fn owner(&self) -> Result<Owner, InvalidOwner> {
        Owner::new(format!("project {}", self.0))
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Invites and removes members; has created the project.
    Owner,
    /// Writes tasks.
    Editor,
    /// Reads.
    Reader,
}

/// What a person has of a project.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Membership {
    /// The project's name.
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// All projects.
#[derive(Clone)]
pub(crate) struct Projects {
    /// Syncs them, and reads.
    pub(crate) mobync: Mobync<AnyDatabase, AnyRules>,
    /// The same, for transactions.
    stored: Stored,
}

#[derive(Clone)]
enum Stored {
    Sqlite(Mobync<SqliteDatabase, TasksOfMembers>),
    Postgres(Mobync<PostgresDatabase, TasksOfMembers>),
}

/// Writes for a project and for a person in this transaction, and then tells their devices. If something is to be
/// changed or deleted that is not there any more, nothing is written: another request was faster.
macro_rules! write_both {
    ($mobync:expr, $begun:expr, $project:expr, $person:expr) => {{
        let (mobync, [(project, shared), (person, own)]) = ($mobync, [$project, $person]);
        let transaction = $begun.await.map_err(DatabaseError::busy)?;
        let (transaction, of_project) = mobync.write_in(transaction, &project, shared).await?;
        let (transaction, of_person) = mobync.write_in(transaction, &person, own).await?;
        if !(of_project.message.is_empty() && of_person.message.is_empty()) {
            return Err(AuthError::forbidden("This has changed meanwhile: look again.").into());
        }
        transaction.commit().await.map_err(DatabaseError::failed)?;
        mobync.live().announce(&project, of_project.logical_clock);
        mobync.live().announce(&person, of_person.logical_clock);
        Ok(())
    }};
}

impl Projects {
    /// SQLite, or PostgreSQL, which several of these servers can share.
    pub(crate) async fn open(url: &str) -> Result<Self, Box<dyn std::error::Error>> {
        if url.starts_with("postgres") {
            let builder = PostgresDatabase::builder().announce_clocks().run_first(TABLES);
            let builder = tables().fold(builder, Builder::table);
            let database = builder.connect(url).await?;
            database.set_up().await?;
            let mobync = Mobync::new(database.clone()).rules(TasksOfMembers);
            let live = mobync.live().clone();
            actix_web::rt::spawn(async move { database.hear_clocks(&live).await });
            let stored = Stored::Postgres(mobync.clone());
            return Ok(Self { mobync: mobync.erase(), stored });
        }
        let builder = SqliteDatabase::builder().run_first(TABLES);
        let builder = tables().fold(builder, Builder::table);
        let database = builder.connect(url).await?;
        database.set_up().await?;
        let mobync = Mobync::new(database).rules(TasksOfMembers);
        let stored = Stored::Sqlite(mobync.clone());
        Ok(Self { mobync: mobync.erase(), stored })
    }

    /// What the person has of the project, if they are a member.
    pub(crate) async fn membership(
        &self,
        project: &Project,
        person: &Person,
    ) -> Result<Option<Membership>, Error> {
        self.find(&person.owner()?, "memberships", project.id()).await
    }

    /// How the person is invited to the project, if they are.
    pub(crate) async fn invitation(
        &self,
        project: &Project,
        person: &Person,
    ) -> Result<Option<Membership>, Error> {
        self.find(&person.owner()?, "invitations", project.id()).await
    }

    async fn find(
        &self,
        owner: &Owner,
        model: &str,
        id: &str,
    ) -> Result<Option<Membership>, Error> {
        let found = self.mobync.read(owner, model, &[ReadFilter::equal("id", id)]).await?;
        let fields = found.into_iter().next().map(|record| Value::Object(record.into_parts().1));
        let membership = fields.map(serde_json::from_value).transpose();
        membership.map_err(|error| Error::Internal(error.into()))
    }

    /// Changes the project's data and a person's own in one transaction, whose devices hear of it at once.
    pub(crate) async fn write(
        &self,
        project: &Project,
        shared: Vec<Change>,
        person: &Person,
        own: Vec<Change>,
    ) -> Result<(), Error> {
        let (project, person) = ((project.owner()?, shared), (person.owner()?, own));
        match &self.stored {
            Stored::Sqlite(mobync) => {
                let begun = mobync.database().pool().begin_with("BEGIN IMMEDIATE");
                write_both!(mobync, begun, project, person)
            }
            Stored::Postgres(mobync) => {
                write_both!(mobync, mobync.database().pool().begin(), project, person)
            }
        }
    }
}

//! The notes: their database, a rule, and `GET /notes` to view them.

use std::error::Error;

use mobync::{
    Access, Database as _, DatabaseError, Diff, Mobync, Owner, Record, Refusal, Rules,
    Synchronizer, View, sqlite::SqliteDatabase,
};
use mobync_rocket::SyncError;
use rocket::{State, get, serde::json::Json};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

use crate::session::User;

pub(crate) type Notes = Mobync<SqliteDatabase, NotesAreShort>;

/// The application's own table.
const NOTES: &str = "CREATE TABLE IF NOT EXISTS notes (
    owner TEXT NOT NULL, id TEXT NOT NULL, title TEXT, text TEXT, PRIMARY KEY (owner, id)
)";

/// Opens the database in the file, and creates it if it does not exist.
pub(crate) async fn open(file: &str) -> Result<Notes, Box<dyn Error>> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
    sqlx::query(NOTES).execute(&pool).await?;
    let database = SqliteDatabase::builder().table("notes").pool(pool).await?;
    database.set_up().await?;
    Ok(Mobync::new(database).rules(NotesAreShort))
}

/// The user's notes on the server.
#[get("/notes")]
pub(crate) async fn list(user: User, notes: &State<Notes>) -> Result<Json<Vec<Record>>, SyncError> {
    Ok(Json(read(&user.0, notes).await.map_err(|error| mobync::Error::Internal(error.into()))?))
}

async fn read(owner: &Owner, notes: &Notes) -> Result<Vec<Record>, DatabaseError> {
    notes.database().open(owner, Access::Read).await?.read(owner, "notes", &[]).await
}

/// Refuses a note that is longer than a page. Only this diff is refused, and the device undoes it.
pub(crate) struct NotesAreShort;

impl NotesAreShort {
    fn check(diff: &Diff) -> Result<(), Refusal> {
        if diff.json_data.len() > 4000 {
            return Err(Refusal::because("A note has at most 4,000 letters."));
        }
        Ok(())
    }
}

impl<S: Synchronizer> Rules<S> for NotesAreShort {
    async fn create(&self, _: &Owner, diff: &Diff, _: &mut View<'_, S>) -> Result<(), Refusal> {
        Self::check(diff)
    }

    async fn update(&self, _: &Owner, diff: &Diff, _: &mut View<'_, S>) -> Result<(), Refusal> {
        Self::check(diff)
    }
}

//! The notes: their database, a rule, and `GET /notes` to view them.

use std::error::Error;

use mobync::{Diff, Mobync, Owner, Record, Refusal, Rules, View, sqlite::SqliteDatabase};
use mobync_rocket::{AuthenticatedOwner, SyncError};
use rocket::{State, get, serde::json::Json};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

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
pub(crate) async fn list(
    owner: Result<AuthenticatedOwner, SyncError>,
    notes: &State<Notes>,
) -> Result<Json<Vec<Record>>, SyncError> {
    let AuthenticatedOwner(owner) = owner?;
    Ok(Json(notes.read(&owner, "notes", &[]).await?))
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

impl Rules for NotesAreShort {
    async fn create(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        Self::check(diff)
    }

    async fn update(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        Self::check(diff)
    }
}

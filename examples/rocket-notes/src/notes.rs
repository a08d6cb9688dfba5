//! The notes: the database they are in, a rule, and `GET /notes` to look at them.

use mobync::{
    Access, Database as _, DatabaseError, Diff, Mobync, Owner, Record, Refusal, Rules,
    Synchronizer, View, memory::MemoryDatabase,
};
use mobync_rocket::SyncError;
use rocket::{State, get, serde::json::Json};

use crate::session::User;

/// The database. To keep what is in it, put another one here, and open it below.
pub(crate) type Database = MemoryDatabase;

pub(crate) type Notes = Mobync<Database, NotesAreShort>;

pub(crate) fn open() -> Notes {
    Mobync::new(Database::new().model("notes", ["title", "text"])).rules(NotesAreShort)
}

/// What the server has of the user's notes.
#[get("/notes")]
pub(crate) async fn list(user: User, notes: &State<Notes>) -> Result<Json<Vec<Record>>, SyncError> {
    Ok(Json(read(&user.0, notes).await.map_err(|error| mobync::Error::Internal(error.into()))?))
}

async fn read(owner: &Owner, notes: &Notes) -> Result<Vec<Record>, DatabaseError> {
    notes.database().open(owner, Access::Read).await?.read(owner, "notes", &[]).await
}

/// Refuses a note that is longer than a page. The diff alone is refused, and undone on its device.
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

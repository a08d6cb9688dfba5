//! Which database the tasks are in.

use mobync::memory::MemoryDatabase;

/// What becomes of the tasks when the server stops, for its banner.
pub(crate) const STAYS: &str = "The server keeps tasks in memory, and forgets them when it stops; \
                                devices do not.";

/// One model, `tasks`. A position is any number; the due date is a text such as `2030-12-31`.
pub(crate) fn open() -> MemoryDatabase {
    MemoryDatabase::new().model("tasks", ["name", "done", "position", "due", "created_time"])
}

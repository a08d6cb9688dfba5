//! A device's store in a `SQLite` file.

mod connection;
mod upgrade;

use std::{path::Path, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Row,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous},
};

use self::connection::{Kept, Lent};
use super::{
    LocalStore, LocalUnit, Located, Object, OverriddenDiff, Pending, RefusedDiff, State, StoreError,
};
use crate::{database::Access, record::Record};

/// Stands for an acknowledged record that equals the current one, and for a record beside that equals the
/// acknowledged one.
const SAME: &str = "";

/// A device's store in a `SQLite` file: one file for each account on the device.
///
/// Committed changes survive a killed process and a power failure. Several processes may open one file; they
/// wait for each other. The application may read and index the table `mobync_objects`: its column `record` is
/// the JSON of a record, with its `id`, and its column `space` is empty for the person's own data. (Fields that were added to the [schema](crate::schema) are not in it
/// until somebody has written them.) Write only through the [`Device`](super::Device).
///
/// ```
/// use mobync::{Record, client::{Device, SqliteStore}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("mobync-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let file = directory.join("ada.sqlite");
/// let laptop = Device::new(SqliteStore::open(&file).await?);
/// laptop.create("tasks", Record::new("t1").with("name", "Milk")).await?;
///
/// let again = Device::new(SqliteStore::open(&file).await?);
/// assert_eq!((again.all("tasks").await?.len(), again.pending().await?.len()), (1, 1));
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok(())
/// # }
/// ```
///
/// An operation that fails, for example on a full disk, stores nothing and closes its connection. The next
/// one opens a new connection, so work continues as soon as there is space again.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    kept: Kept,
}

/// One unit of work of a [`SqliteStore`]: a transaction.
#[derive(Debug)]
pub struct SqliteUnit {
    lent: Lent,
    /// Empty for the person's own data.
    space: String,
}

impl SqliteUnit {
    fn own(lent: Lent) -> Self {
        Self { lent, space: String::new() }
    }
}

impl SqliteStore {
    /// Opens the file, or creates it. A file of an older version is upgraded in place.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be opened, or is not such a store.
    pub async fn open(file: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(SqliteConnectOptions::new().filename(file).create_if_missing(true)).await
    }

    /// Opens the file with these options, for your own pragmas, functions or encryption. This method
    /// sets journal mode, durability and the time to wait for other processes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(30));
        let kept = Kept::new(options);
        let mut unit = SqliteUnit::own(kept.begin("BEGIN IMMEDIATE").await?);
        upgrade::upgrade(&mut unit.lent).await?;
        unit.commit().await?;
        Ok(Self { kept })
    }

    /// Writes a copy of the whole store to a new file.
    ///
    /// # Errors
    /// [`StoreError`] if the file exists, or cannot be written.
    pub async fn copy_to(&self, file: impl AsRef<Path>) -> Result<(), StoreError> {
        let file = file.as_ref().to_string_lossy().into_owned();
        let mut lent = self.kept.lend().await?;
        lent.run(sqlx::query("VACUUM INTO ?").bind(file)).await.map(drop)
    }
}

impl LocalStore for SqliteStore {
    type Unit = SqliteUnit;

    async fn begin(&self, access: Access) -> Result<SqliteUnit, StoreError> {
        let begin = match access {
            Access::Read => "BEGIN",
            // Locked from the beginning, so that what was read is still true when something is written.
            Access::Write => "BEGIN IMMEDIATE",
        };
        Ok(SqliteUnit::own(self.kept.begin(begin).await?))
    }

    async fn begin_space(&self, space: &str, access: Access) -> Result<SqliteUnit, StoreError> {
        Ok(SqliteUnit { space: space.to_owned(), ..self.begin(access).await? })
    }

    async fn spaces(&self) -> Result<Vec<String>, StoreError> {
        let mut lent = self.kept.lend().await?;
        let read = "SELECT space FROM mobync_state WHERE space <> '' ORDER BY space";
        lent.run(sqlx::query(read)).await?.iter().map(|row| text(row, 0)).collect()
    }

    async fn destroy(&self, state: &State) -> Result<(), StoreError> {
        let mut unit = self.begin(Access::Write).await?;
        let all = "DELETE FROM mobync_objects; DELETE FROM mobync_pending; DELETE FROM mobync_refused; \
                   DELETE FROM mobync_overridden; DELETE FROM mobync_state";
        unit.lent.run(sqlx::query(all)).await?;
        unit.set_state(state).await?;
        unit.commit().await
    }
}

impl LocalUnit for SqliteUnit {
    async fn state(&mut self) -> Result<State, StoreError> {
        let read = sqlx::query("SELECT state FROM mobync_state WHERE space = ?").bind(&self.space);
        let rows = self.lent.run(read).await?;
        rows.first().map_or_else(|| Ok(State::default()), |row| from_json(&text(row, 0)?))
    }

    async fn set_state(&mut self, state: &State) -> Result<(), StoreError> {
        if *state == State::default() {
            let delete = sqlx::query("DELETE FROM mobync_state WHERE space = ?").bind(&self.space);
            return self.lent.run(delete).await.map(drop);
        }
        let set = sqlx::query("INSERT OR REPLACE INTO mobync_state (space, state) VALUES (?, ?)")
            .bind(&self.space)
            .bind(to_json(state)?);
        self.lent.run(set).await.map(drop)
    }

    async fn object(&mut self, model: &str, id: &str) -> Result<Object, StoreError> {
        let read = sqlx::query(
            "SELECT model, id, record, acknowledged, changed_at, beside FROM mobync_objects \
             WHERE space = ? AND model = ? AND id = ?",
        );
        let rows = self.lent.run(read.bind(&self.space).bind(model).bind(id)).await?;
        rows.first().map_or_else(|| Ok(Object::default()), |row| Ok(located(row)?.object))
    }

    async fn objects(&mut self, model: Option<&str>) -> Result<Vec<Located>, StoreError> {
        let read = sqlx::query(
            "SELECT model, id, record, acknowledged, changed_at, beside FROM mobync_objects \
             WHERE space = ?1 AND (?2 IS NULL OR model = ?2) ORDER BY model, id",
        );
        let rows = self.lent.run(read.bind(&self.space).bind(model)).await?;
        rows.iter().map(located).collect()
    }

    async fn objects_behind(
        &mut self,
        last: Option<(&str, &str)>,
        most: usize,
    ) -> Result<Vec<Located>, StoreError> {
        // No name is empty.
        let (model, id) = last.unwrap_or_default();
        let read = sqlx::query(
            "SELECT model, id, record, acknowledged, changed_at, beside FROM mobync_objects \
             WHERE space = ? AND (model, id) > (?, ?) ORDER BY model, id LIMIT ?",
        );
        let read = read
            .bind(&self.space)
            .bind(model)
            .bind(id)
            .bind(i64::try_from(most).unwrap_or(i64::MAX));
        self.lent.run(read).await?.iter().map(located).collect()
    }

    async fn set_object(
        &mut self,
        model: &str,
        id: &str,
        object: &Object,
    ) -> Result<(), StoreError> {
        if object.is_gone() {
            let delete =
                sqlx::query("DELETE FROM mobync_objects WHERE space = ? AND model = ? AND id = ?");
            let delete = delete.bind(&self.space).bind(model).bind(id);
            return self.lent.run(delete).await.map(drop);
        }
        let Object { current, acknowledged, beside, .. } = object;
        let set = sqlx::query(
            "INSERT OR REPLACE INTO mobync_objects \
             (space, model, id, record, acknowledged, changed_at, beside) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&self.space)
        .bind(model)
        .bind(id)
        .bind(current.as_ref().map(to_json).transpose()?)
        .bind(unless_same(acknowledged.as_ref(), current.as_ref())?)
        .bind(object.changed_at)
        .bind(unless_same(beside.as_ref(), acknowledged.as_ref())?);
        self.lent.run(set).await.map(drop)
    }

    async fn pending(&mut self, most: usize) -> Result<Vec<Pending>, StoreError> {
        let read =
            "SELECT seq, sent, diff FROM mobync_pending WHERE space = ? ORDER BY seq LIMIT ?";
        let read =
            sqlx::query(read).bind(&self.space).bind(i64::try_from(most).unwrap_or(i64::MAX));
        self.lent.run(read).await?.iter().map(pending).collect()
    }

    async fn last_pending(&mut self, most: usize) -> Result<Vec<Pending>, StoreError> {
        let read =
            "SELECT seq, sent, diff FROM mobync_pending WHERE space = ? ORDER BY seq DESC LIMIT ?";
        let read =
            sqlx::query(read).bind(&self.space).bind(i64::try_from(most).unwrap_or(i64::MAX));
        self.lent.run(read).await?.iter().map(pending).collect()
    }

    async fn set_pending(&mut self, pending: &Pending) -> Result<(), StoreError> {
        let set =
            "INSERT OR REPLACE INTO mobync_pending (space, seq, sent, diff) VALUES (?, ?, ?, ?)";
        let set = sqlx::query(set)
            .bind(&self.space)
            .bind(pending.seq)
            .bind(pending.sent)
            .bind(to_json(&pending.diff)?);
        self.lent.run(set).await.map(drop)
    }

    async fn forget(&mut self, seq: i64) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM mobync_pending WHERE space = ? AND seq = ?");
        self.lent.run(delete.bind(&self.space).bind(seq)).await.map(drop)
    }

    async fn refused(&mut self) -> Result<Vec<RefusedDiff>, StoreError> {
        let read = sqlx::query("SELECT refused FROM mobync_refused WHERE space = ? ORDER BY place");
        let rows = self.lent.run(read.bind(&self.space)).await?;
        rows.iter().map(|row| from_json(&text(row, 0)?)).collect()
    }

    async fn set_refused(&mut self, refused: &RefusedDiff) -> Result<(), StoreError> {
        let set = sqlx::query(
            "INSERT OR REPLACE INTO mobync_refused (space, diff_id, refused) VALUES (?, ?, ?)",
        );
        let set = set.bind(&self.space).bind(&refused.diff.id).bind(to_json(refused)?);
        self.lent.run(set).await.map(drop)
    }

    async fn dismiss(&mut self, diff_id: &str) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM mobync_refused WHERE space = ? AND diff_id = ?");
        self.lent.run(delete.bind(&self.space).bind(diff_id)).await.map(drop)
    }

    async fn overridden(&mut self) -> Result<Vec<OverriddenDiff>, StoreError> {
        let read =
            sqlx::query("SELECT overridden FROM mobync_overridden WHERE space = ? ORDER BY place");
        let rows = self.lent.run(read.bind(&self.space)).await?;
        rows.iter().map(|row| from_json(&text(row, 0)?)).collect()
    }

    async fn set_overridden(&mut self, overridden: &OverriddenDiff) -> Result<(), StoreError> {
        let set = sqlx::query(
            "INSERT OR REPLACE INTO mobync_overridden (space, diff_id, overridden) VALUES (?, ?, ?)",
        );
        let set = set.bind(&self.space).bind(&overridden.diff.id).bind(to_json(overridden)?);
        self.lent.run(set).await.map(drop)
    }

    async fn dismiss_overridden(&mut self, diff_id: &str) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM mobync_overridden WHERE space = ? AND diff_id = ?");
        self.lent.run(delete.bind(&self.space).bind(diff_id)).await.map(drop)
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.lent.commit().await
    }
}

fn pending(row: &SqliteRow) -> Result<Pending, StoreError> {
    Ok(Pending {
        seq: row.try_get(0).map_err(StoreError::new)?,
        sent: row.try_get(1).map_err(StoreError::new)?,
        diff: from_json(&text(row, 2)?)?,
    })
}

fn located(row: &SqliteRow) -> Result<Located, StoreError> {
    let record = |place| -> Result<Option<String>, StoreError> {
        row.try_get(place).map_err(StoreError::new)
    };
    let current: Option<Record> = record(2)?.as_deref().map(from_json).transpose()?;
    let or_same = |json: Option<String>, same: &Option<Record>| match json.as_deref() {
        None => Ok(None),
        Some(SAME) => Ok(same.clone()),
        Some(json) => from_json(json).map(Some),
    };
    let acknowledged = or_same(record(3)?, &current)?;
    let changed_at = row.try_get(4).map_err(StoreError::new)?;
    let beside = or_same(record(5)?, &acknowledged)?;
    let object = Object { current, acknowledged, beside, changed_at };
    Ok(Located { model: text(row, 0)?, id: text(row, 1)?, object })
}

/// The JSON of a record, or what stands for it if the other one is the same.
fn unless_same(
    record: Option<&Record>,
    other: Option<&Record>,
) -> Result<Option<String>, StoreError> {
    match record {
        Some(_) if record == other => Ok(Some(SAME.to_owned())),
        record => record.map(to_json).transpose(),
    }
}

fn text(row: &SqliteRow, place: usize) -> Result<String, StoreError> {
    row.try_get(place).map_err(StoreError::new)
}

fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::new)
}

fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(StoreError::new)
}

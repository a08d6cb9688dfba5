//! What a sync's own writes have set off, on SQLite.
//!
//! A trigger cannot distinguish a sync's own writes from their effects, so both are marked. In a table
//! that only syncs' own writes can reach, a sync's marks need no look.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{Sqlite, marks};
use crate::{
    Owner,
    sql::{Effects, MarkRow, Schema},
};

/// The tables that only syncs' own writes reach, for one version of the catalogue.
#[derive(Clone, Debug, Default)]
pub(super) struct Quiet(Arc<Mutex<Known>>);

#[derive(Clone, Debug, Default)]
struct Known {
    /// SQLite counts the changes of its catalogue.
    version: i64,
    tables: Vec<String>,
}

impl Quiet {
    fn known(&self) -> Known {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn learn(
        &self,
        connection: &mut SqliteConnection,
        schema: &Schema,
    ) -> Result<(), sqlx::Error> {
        let version = sqlx::query_scalar("SELECT schema_version FROM pragma_schema_version");
        let version = version.fetch_one(&mut *connection).await?;
        let effects = Effects::find::<Sqlite>(connection, schema).await?;
        let tables = schema.models().filter(|model| model.captured && !effects.reach(model));
        let tables = tables.flat_map(|model| model.names.iter().cloned()).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Known { version, tables };
        Ok(())
    }

    /// Removes the owner's raw marks that the transaction has made since it removed the earlier ones.
    /// Those of quiet tables are dropped.
    pub(super) async fn take(
        &self,
        connection: &mut SqliteConnection,
        schema: &Schema,
        owner: &Owner,
    ) -> Result<Vec<MarkRow>, sqlx::Error> {
        let mut known = self.known();
        if known.version == 0 {
            self.learn(&mut *connection, schema).await?;
            known = self.known();
        }
        let of_owner = marks::of_owner(&schema.log);
        let sql = format!(
            "DELETE {of_owner} AND model IN (SELECT value FROM json_each($2)) \
             AND (SELECT schema_version FROM pragma_schema_version) = $3; \
             DELETE {of_owner} RETURNING model, CAST(id AS TEXT), at"
        );
        let mut taken: Vec<MarkRow> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(owner.as_str().to_owned())
            .bind(serde_json::to_string(&known.tables).unwrap_or_default())
            .bind(known.version)
            .fetch_all(&mut *connection)
            .await?;
        if taken.iter().any(|(model, ..)| known.tables.contains(model)) {
            // The catalogue has changed, so all of them are looked at this time.
            self.learn(connection, schema).await?;
        }
        // One per object, the newest.
        taken.sort_by(|left, right| (&left.0, &left.1, right.2).cmp(&(&right.0, &right.1, left.2)));
        taken.dedup_by(|other, newest| (&other.0, &other.1) == (&newest.0, &newest.1));
        Ok(taken)
    }
}

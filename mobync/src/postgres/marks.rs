//! Reads and removes marks, on PostgreSQL.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection};

use super::{capture::marks, quoting::make_index};
use crate::{
    Mark, Owner,
    sql::{ENTRY, MarkRow, Model, quote},
};

/// The id of the object of a log entry. PostgreSQL cannot read JSON with a NUL in any field, so it is
/// removed first. An id has none.
pub(super) const OBJECT: &str = concat!(
    r"(CAST(CASE WHEN strpos(json_data, E'\\u0000') = 0 THEN json_data ELSE ",
    r"regexp_replace(json_data, E'(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000', E'\\1', 'g') END AS json) ->> 'id')"
);

pub(super) fn index_objects(log: &Model, wanted: bool) -> String {
    let index = format!("{}_objects", log.name);
    if !wanted {
        let index = quote(&index);
        let schema = log.schema.as_ref().map(|schema| quote(schema) + ".").unwrap_or_default();
        return format!("DROP INDEX IF EXISTS {schema}{index}");
    }
    let on = format!("{} (owner, model, {OBJECT})", log.table);
    make_index(log.schema.as_deref(), &index, &on)
}

/// One mark of the owner, found by the index even with wrong statistics: no other plan has this order.
pub(super) fn is_marked(log: &Model, owner: &str) -> String {
    format!(
        "EXISTS (SELECT FROM (SELECT FROM {} AS m WHERE m.owner >= {owner} AND m.owner <= {owner} \
         ORDER BY m.owner LIMIT 1) AS m)",
        marks(log)
    )
}

/// A frequently changed object has many marks, so marks are removed until there are enough objects.
pub(super) async fn take(
    connection: &mut PgConnection,
    log: &Model,
    owner: &Owner,
    most: usize,
) -> Result<Vec<MarkRow>, sqlx::Error> {
    let sql = format!(
        "WITH taken AS (DELETE FROM {marks} AS m WHERE m.owner = $1 AND m.ctid = ANY (ARRAY (\
         SELECT few.ctid FROM {marks} AS few WHERE few.owner >= $1 AND few.owner <= $1 \
         ORDER BY few.owner LIMIT $2)) RETURNING m.model, m.id, m.at) \
         SELECT model, id, max(at), count(*) FROM taken GROUP BY model, id",
        marks = marks(log)
    );
    let mut objects: BTreeMap<(String, String), i64> = BTreeMap::new();
    while objects.len() < most {
        let missing = i64::try_from(most - objects.len()).unwrap_or(i64::MAX);
        let query = sqlx::query_as(AssertSqlSafe(&*sql)).bind(owner.as_str()).bind(missing);
        let taken: Vec<(String, String, i64, i64)> = query.fetch_all(&mut *connection).await?;
        let count: i64 = taken.iter().map(|(.., count)| count).sum();
        for (model, id, at, _) in taken {
            let newest = objects.entry((model, id)).or_insert(at);
            *newest = at.max(*newest);
        }
        if count < missing {
            break;
        }
    }
    Ok(objects.into_iter().map(|((model, id), at)| (model, id, at)).collect())
}

/// Without the id of the transaction that made them: it is not this one, nor one to give way to.
pub(super) async fn put_back(
    connection: &mut PgConnection,
    log: &Model,
    owner: &Owner,
    again: &[Mark],
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "INSERT INTO {} (owner, model, id, at) SELECT $1, u.* FROM unnest($2, $3, $4) AS u",
        marks(log)
    );
    let models: Vec<&str> = again.iter().map(|mark| &*mark.model).collect();
    let ids: Vec<&str> = again.iter().map(|mark| &*mark.id).collect();
    let times: Vec<i64> = again.iter().map(|mark| mark.at.unwrap_or_default()).collect();
    let query = sqlx::query(AssertSqlSafe(sql)).bind(owner.as_str()).bind(models).bind(ids);
    query.bind(times).execute(connection).await.map(drop)
}

/// One object after another by the index, even with wrong statistics: no other plan has this order.
pub(super) fn entries_of(log: &Model) -> String {
    format!(
        "SELECT CAST({ENTRY} AS BIGINT), t.id, t.logical_clock, t.utc_timestamp, t.type, t.model, \
         t.json_data FROM unnest($2, $3) AS o (model, object) CROSS JOIN LATERAL (\
         SELECT * FROM {table} AS t WHERE {owned}t.model = o.model AND {OBJECT} >= o.object \
         AND {OBJECT} <= o.object ORDER BY {OBJECT} LIMIT $4) AS t",
        table = log.table,
        owned = log.owned()
    )
}

/// In addition to the marks of others on the named objects, all marks that this transaction has made
/// itself.
pub(super) const OR_OWN: &str = "m.tx = pg_current_xact_id() OR";
/// No marks that this transaction has made itself.
const BUT_OWN: &str = "m.tx <> pg_current_xact_id() AND";

/// The condition that one of the owner's objects is marked. The parameter with that number has their
/// models, and the next one their ids, at the same places. Marks that were put back do not count.
pub(super) fn are_marked(log: &Model, parameter: usize, own: &str) -> String {
    format!(
        "EXISTS (SELECT FROM {} AS m WHERE m.owner = $1 AND m.tx IS NOT NULL AND ({own} \
         (m.model, m.id) IN (SELECT n.model, n.id \
         FROM unnest(CAST(${parameter} AS text[]), CAST(${} AS text[])) AS n (model, id))))",
        marks(log),
        parameter + 1
    )
}

pub(super) async fn set_off(
    connection: &mut PgConnection,
    log: &Model,
    owner: &Owner,
    named: &[(&str, &str)],
) -> Result<(Vec<MarkRow>, bool), sqlx::Error> {
    let (models, ids): (Vec<&str>, Vec<&str>) = named.iter().copied().unzip();
    let sql = format!(
        "WITH own AS (DELETE FROM {marks} AS m WHERE m.owner = $1 AND m.tx = pg_current_xact_id() \
         RETURNING m.model, m.id, m.at) \
         SELECT model, id, max(at) FROM own GROUP BY model, id UNION ALL \
         SELECT NULL, NULL, NULL WHERE {met}",
        marks = marks(log),
        met = are_marked(log, 2, BUT_OWN)
    );
    let query = sqlx::query_as(AssertSqlSafe(sql)).bind(owner.as_str()).bind(models).bind(ids);
    let rows: Vec<(Option<String>, Option<String>, Option<i64>)> =
        query.fetch_all(connection).await?;
    let met = rows.iter().any(|(model, ..)| model.is_none());
    Ok((rows.into_iter().filter_map(|(model, id, at)| Some((model?, id?, at?))).collect(), met))
}

/// One owner after another by the index, however many marks each has.
pub(super) async fn owners(
    connection: &mut PgConnection,
    log: &Model,
    most: usize,
) -> Result<Vec<String>, sqlx::Error> {
    let sql = format!(
        "WITH RECURSIVE marked (owner) AS ((SELECT owner FROM {marks} ORDER BY owner LIMIT 1) \
         UNION ALL SELECT (SELECT m.owner FROM {marks} AS m WHERE m.owner > marked.owner \
         ORDER BY m.owner LIMIT 1) FROM marked WHERE marked.owner IS NOT NULL) \
         SELECT owner FROM marked WHERE owner IS NOT NULL LIMIT $1",
        marks = marks(log)
    );
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(most).fetch_all(connection).await
}

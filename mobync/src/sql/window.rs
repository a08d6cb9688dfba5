//! What a sync needs of the log and the tables, in one statement and so from one snapshot.

use std::collections::{BTreeMap, HashSet};

use super::{Arg, Dialect, LogRow, schema::Schema};
use crate::{DatabaseError, Diff, Operation, Owner, Window, WindowQuery};

const ENTRY: i64 = 0;
const CLOCK: i64 = 1;
const OBJECT: i64 = 2;

/// The objects that are asked for, by model; those that no row can be are left out.
type Objects<'q> = BTreeMap<&'q str, Vec<&'q str>>;

/// The statement that answers a query.
#[derive(Debug)]
pub(super) struct Statement<'q> {
    query: WindowQuery<'q>,
    objects: Objects<'q>,
    unknown_models: Vec<String>,
    pub(super) sql: String,
    pub(super) args: Vec<Arg<'q>>,
}

impl<'q> Statement<'q> {
    pub(super) fn new<D: Dialect>(
        schema: &Schema,
        owner: &'q Owner,
        query: WindowQuery<'q>,
    ) -> Self {
        let (mut objects, mut unknown_models) = (Objects::new(), Vec::new());
        for (model, id) in query.objects {
            match schema.models.get(*model) {
                Some(known) if known.can_have(id) => objects.entry(model).or_default().push(*id),
                Some(_) => {}
                None if unknown_models.iter().any(|name| name == model) => {}
                None => unknown_models.push((*model).to_owned()),
            }
        }

        let log = &schema.log;
        let (table, owned) = (&log.table, log.owned());
        let mut args = vec![Arg::Text(owner.as_str()), Arg::Integer(query.since)];
        let start = if query.ids.is_empty() {
            "SELECT $2 AS tick".to_owned()
        } else {
            args.push(Arg::Texts(query.ids.to_vec()));
            let known = D::is_one_of(&log.id, 3);
            format!(
                "SELECT CASE WHEN k.tick < $2 THEN k.tick ELSE $2 END AS tick FROM \
                 (SELECT min(t.logical_clock) AS tick FROM {table} AS t WHERE {owned}{known}) AS k"
            )
        };
        let mut sql = format!(
            "WITH start AS ({start}) \
             SELECT CAST({ENTRY} AS BIGINT) AS kind, t.id AS id, t.logical_clock AS tick, \
             t.utc_timestamp AS at, t.type AS type, t.model AS model, t.json_data AS data \
             FROM {table} AS t WHERE {owned}t.logical_clock >= (SELECT tick FROM start) \
             UNION ALL SELECT {CLOCK}, NULL, coalesce((SELECT max(t.logical_clock) FROM {table} AS t \
             WHERE {owned}1 = 1) + 1, 0), (SELECT tick FROM start), NULL, NULL, NULL"
        );
        for (place, (model, ids)) in objects.iter().enumerate() {
            let Some(model) = schema.models.get(*model) else { continue };
            args.push(Arg::Texts(ids.clone()));
            sql += &format!(
                " UNION ALL SELECT {OBJECT}, CAST(t.{} AS TEXT), {place}, 0, NULL, NULL, NULL \
                 FROM {} AS t WHERE {}{}",
                model.id.quoted(),
                model.table,
                model.owned(),
                D::is_one_of(&model.id, args.len())
            );
        }
        Self { query, objects, unknown_models, sql, args }
    }

    pub(super) fn read(self, owner: &Owner, rows: Vec<LogRow>) -> Result<Window, DatabaseError> {
        let Self { query, objects, unknown_models, .. } = self;
        let mut window = Window { unknown_models, ..Window::default() };
        let models: Vec<&str> = objects.keys().copied().collect();
        let mut found = HashSet::new();
        for (kind, id, tick, at, operation, model, json_data) in rows {
            match (kind, id, operation, model, json_data) {
                (CLOCK, ..) => (window.clock, window.start) = (tick, at),
                (ENTRY, Some(id), Some(operation), Some(model), Some(json_data)) => {
                    let operation = operation_of(&id, &operation)?;
                    window.entries.push(Diff {
                        id,
                        owner: owner.as_str().to_owned(),
                        logical_clock: tick,
                        utc_timestamp: at,
                        operation,
                        model,
                        json_data,
                    });
                }
                (OBJECT, Some(id), ..) => {
                    let place = usize::try_from(tick).unwrap_or(usize::MAX);
                    found.extend(models.get(place).map(|model| (*model, id)));
                }
                _ => return Err(DatabaseError::failed("the log has an entry with a null in it")),
            }
        }
        let exists = |(model, id): &(&'q str, &'q str)| found.contains(&(*model, (*id).to_owned()));
        window.existing = query.objects.iter().map(exists).collect();
        Ok(window)
    }
}

/// The operation of a log entry.
pub(crate) fn operation_of(entry: &str, name: &str) -> Result<Operation, DatabaseError> {
    let operation = Operation::parse(name);
    operation.ok_or_else(|| DatabaseError::failed(format!("log entry {entry}: no type \"{name}\"")))
}

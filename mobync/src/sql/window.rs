//! What a sync needs from the log and the tables, in one statement, and so from one snapshot.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    Arg, Dialect, LogRow, Model, cursors::entry, retention::own, rows::sound_rows, schema::Schema,
};
use crate::{error::DatabaseError, merge::Window, owner::Owner, unit::WindowQuery};

/// The kind of window rows that have entries of the log.
pub(crate) const ENTRY: i64 = 0;
const LAST: i64 = 1;
const OBJECT: i64 = 2;
const MARKED: i64 = 3;
const PAGE: i64 = 4;
const OWN: i64 = 5;

/// The requested objects, by model, without those that cannot exist as rows.
type Objects<'q> = BTreeMap<&'q str, Vec<&'q str>>;

/// The statement that answers a query.
#[derive(Debug)]
pub(super) struct Statement<'q> {
    query: WindowQuery<'q>,
    objects: Objects<'q>,
    unknown_models: BTreeSet<&'q str>,
    pub(super) sql: String,
    pub(super) args: Vec<Arg<'q>>,
}

impl<'q> Statement<'q> {
    /// # Errors
    /// If the owner or the id of a diff does not fit into the log or a table of the query.
    pub(super) fn new<D: Dialect>(
        schema: &Schema,
        owner: &'q Owner,
        query: WindowQuery<'q>,
    ) -> Result<Self, DatabaseError> {
        schema.log.check_owner(owner)?;
        for id in query.ids {
            schema.log.id.check_name("id of a diff", id, &schema.log)?;
        }
        let (mut objects, mut unknown_models) = (Objects::new(), BTreeSet::new());
        for (model, id) in query.objects {
            match schema.models.get(*model) {
                Some(known) if known.can_have(id) => {
                    known.check_owner(owner)?;
                    objects.entry(model).or_default().push(*id);
                }
                Some(_) => {}
                None => drop(unknown_models.insert(*model)),
            }
        }

        let log = &schema.log;
        let (table, owned) = (&log.table, log.owned());
        let all = Arg::Integer(i64::MAX);
        let mut args = vec![Arg::Text(owner.as_str()), Arg::Integer(query.since), all];
        // Hidden from the planner, so that the plan is good for any start.
        let mut start = "(SELECT $2)".to_owned();
        // At 0 every entry is in the window, also those that the request names.
        if query.since > 0 && !query.ids.is_empty() {
            args.push(Arg::Texts(query.ids.to_vec()));
            let known = D::rows_with_ids(log, args.len());
            start = format!(
                "coalesce((SELECT min(CASE WHEN t.logical_clock < $2 THEN t.logical_clock END) \
                 FROM {known}), $2)"
            );
        }
        let (mut with, mut ticks) = (String::new(), format!("t.logical_clock >= {start}"));
        if let Some(limit) = query.limit {
            args.push(Arg::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
            with = page(log, args.len());
            ticks += " AND t.logical_clock <= coalesce((SELECT next - 1 FROM page), $3)";
        }
        // The last entry is read in any case. It is the head of a device that has missed nothing, if its tick
        // has no other entry.
        let mut has_head = "0".to_owned();
        if let Some(head) = query.head.filter(|head| log.can_have(head)) {
            args.push(Arg::Text(head));
            has_head = self::has_head(log, ("$1", "$2", &format!("${}", args.len())));
        }
        let mut sql = format!(
            "{with}SELECT * FROM ({entries}) AS entries \
             UNION ALL SELECT * FROM (SELECT CAST({LAST} AS BIGINT), CAST(NULL AS TEXT), \
             t.logical_clock, CAST({has_head} AS BIGINT), CAST(NULL AS TEXT), CAST(NULL AS TEXT), \
             CAST(NULL AS TEXT) {last}) AS last",
            entries = D::entries(log, &ticks),
            last = last_entry(log, "$1")
        );
        if query.limit.is_some() {
            sql += &format!(" UNION ALL SELECT {PAGE}, NULL, next, 0, NULL, NULL, NULL FROM page");
            // A second statement would see another state, and the page would wait for it in memory.
            sql += &format!(
                " UNION ALL SELECT {OWN}, t.id, t.logical_clock, t.utc_timestamp, t.type, t.model, \
                 t.json_data FROM {table} AS t WHERE {owned}{own} AND EXISTS (SELECT 1 FROM page)",
                own = own::<D>(log)
            );
        }
        if schema.captured().next().is_some() {
            sql += &format!(" UNION ALL {}", marked::<D>(log));
        }
        for (place, (model, ids)) in objects.iter().enumerate() {
            let Some(model) = schema.models.get(*model) else { continue };
            args.push(Arg::Texts(ids.clone()));
            sql += &format!(
                " UNION ALL SELECT {OBJECT}, CAST(t.{} AS TEXT), {place}, 0, NULL, NULL, NULL FROM {}",
                model.id.quoted(),
                sound_rows::<D>(model, args.len())
            );
        }
        Ok(Self { query, objects, unknown_models, sql, args })
    }

    pub(super) fn read<D: Dialect>(
        self,
        owner: &Owner,
        rows: Vec<LogRow>,
    ) -> Result<Window, DatabaseError> {
        let Self { query, objects, unknown_models, .. } = self;
        let unknown_models = unknown_models.into_iter().map(str::to_owned).collect();
        let mut window = Window { start: query.since, unknown_models, ..Window::default() };
        let models: Vec<&str> = objects.keys().copied().collect();
        let (mut found, mut next, mut own) = (HashSet::new(), None, Vec::new());
        for row in rows {
            match row {
                (LAST, _, tick, has_head, ..) => {
                    window.clock = tick.saturating_add(1);
                    window.has_head = has_head != 0;
                }
                (ENTRY, _, tick, ..) => {
                    // Only an entry that the request names can be older.
                    window.start = window.start.min(tick);
                    D::read_entries(owner, row, &mut window.entries)?;
                }
                (OBJECT, Some(id), place, ..) => {
                    let place = usize::try_from(place).unwrap_or(usize::MAX);
                    found.extend(models.get(place).map(|model| (*model, id)));
                }
                (MARKED, ..) => window.marked = true,
                (PAGE, _, tick, ..) => next = Some(tick),
                (OWN, ..) => own.push(entry(owner, row)?),
                _ => return Err(null_in_log()),
            }
        }
        if let Some(next) = next {
            (window.more, window.own) = (Some(window.clock), Some(own));
            window.clock = next;
        }
        let exists = |(model, id): &(&'q str, &'q str)| found.contains(&(*model, (*id).to_owned()));
        window.existing = query.objects.iter().map(exists).collect();
        Ok(window)
    }
}

/// The tick of the first entry behind a page, as `next`, which only the index tells: that of the first entry
/// behind as many as the parameter says, unless these have one tick, whose end it is then.
fn page(log: &Model, limit: usize) -> String {
    let select = format!("SELECT t.logical_clock FROM {} AS t WHERE {}", log.table, log.owned());
    let from = format!("{select}t.logical_clock >= (SELECT $2) ORDER BY t.logical_clock LIMIT 1");
    format!(
        "WITH page (next) AS ({select}t.logical_clock >= ({from} OFFSET ${limit}) \
         AND t.logical_clock > ({from}) ORDER BY t.logical_clock LIMIT 1) "
    )
}

/// The part of a select after its columns: the last entry of the owner's log, as the table `t`.
pub(super) fn last_entry(log: &Model, owner: &str) -> String {
    let (table, owned) = (&log.table, log.owned_by(owner));
    format!("FROM {table} AS t WHERE {owned}1 = 1 ORDER BY t.logical_clock DESC LIMIT 1")
}

/// For that last entry, 1 if the owner's log has the head of a device at the tick before its clock, or else 0.
pub(super) fn has_head(log: &Model, (owner, since, head): (&str, &str, &str)) -> String {
    let is_head = format!("{} = {head}", log.id.exact());
    // By the key: a tick may have many entries.
    format!(
        "CASE WHEN {is_head} AND t.logical_clock = {since} - 1 THEN 1 WHEN EXISTS (SELECT 1 \
         FROM {table} AS t WHERE {owned}{is_head} AND +t.logical_clock = {since} - 1) THEN 1 ELSE 0 END",
        table = log.table,
        owned = log.owned_by(owner)
    )
}

/// A select of one row if the owner `$1` has marks.
pub(super) fn marked<D: Dialect>(log: &Model) -> String {
    format!(
        "SELECT CAST({MARKED} AS BIGINT), CAST(NULL AS TEXT), CAST(0 AS BIGINT), CAST(0 AS BIGINT), \
         CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS TEXT) WHERE {}",
        D::is_marked(log, "$1")
    )
}

/// The error that a column of the log is null.
pub(crate) fn null_in_log() -> DatabaseError {
    DatabaseError::failed("the log has an entry with a null in it")
}

//! Cascades, triggers and rules, from PostgreSQL's catalogue.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use crate::sql::{Change, Columns, Effect, Script, TableName, Tongue::Postgres, prefix_of};

/// All effects in the database, except for the triggers that mark changes for the log.
pub(super) async fn find(
    connection: &mut PgConnection,
    log: &str,
) -> Result<Vec<Effect>, sqlx::Error> {
    let mut effects = cascades(connection).await?;
    effects.extend(parts(connection).await?);
    let tables = Tables::find(connection).await?;
    let mut found = triggers(connection, log).await?;
    found.extend(rules(connection).await?);
    let mut functions = Functions::default();
    for trigger in found {
        let Trigger { on, when, by, function } = trigger;
        let effect = |then| Effect { on: on.clone(), when: when.clone(), by: by.clone(), then };
        let script = functions.script(connection, function).await?;
        let writes = script.writes.iter().flat_map(|(name, change)| {
            tables.find_all(name).map(move |table| (table.to_owned(), change.clone()))
        });
        effects.extend(writes.map(|then| effect(Some(then))));
        if script.is_dynamic {
            effects.push(effect(None));
        }
    }
    Ok(effects)
}

/// The parent tables of partitions.
macro_rules! root {
    ($oid:literal) => {
        concat!("coalesce(CAST(pg_partition_root(", $oid, ") AS oid), ", $oid, ")::bigint::text")
    };
}

async fn cascades(connection: &mut PgConnection) -> Result<Vec<Effect>, sqlx::Error> {
    type Key =
        (String, String, String, String, String, String, Vec<String>, Vec<String>, Vec<String>);
    let keys: Vec<Key> = sqlx::query_as(concat!(
        "SELECT c.conname::text, ", root!("c.conrelid"), ", ", root!("c.confrelid"), ", \
         c.conrelid::regclass::text, c.confdeltype::text, c.confupdtype::text, \
         array_agg(a.attname::text), array_agg(b.attname::text), \
         coalesce(array_agg(a.attname::text) FILTER (WHERE to_jsonb(c) -> 'confdelsetcols' \
         @> to_jsonb(a.attnum)), '{}') \
         FROM pg_constraint c CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k (child, parent) \
         JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.child \
         JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.parent \
         WHERE c.contype = 'f' AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd')) \
         GROUP BY c.oid, c.conname, c.conrelid, c.confrelid, c.confdeltype, c.confupdtype ORDER BY c.conname"
    ))
    .fetch_all(connection)
    .await?;
    let mut effects = Vec::new();
    for (name, child, parent, table, on_delete, on_update, of, to, set) in keys {
        let set = if set.is_empty() { of.clone() } else { set };
        let mut add = |event: &str, action: &str, when: Change, change: Change| {
            let action = match action {
                "c" => "CASCADE",
                "n" => "SET NULL",
                "d" => "SET DEFAULT",
                _ => return,
            };
            effects.push(Effect {
                on: parent.clone(),
                when: vec![when],
                by: format!("the foreign key {name} of {table} (ON {event} {action})"),
                then: Some((child.clone(), change)),
            });
        };
        let deleted = match &*on_delete {
            "c" => Change::Delete,
            _ => Change::Update(Columns::these(set)),
        };
        add("DELETE", &on_delete, Change::Delete, deleted);
        let updated = Change::Update(Columns::these(to));
        add("UPDATE", &on_update, updated, Change::Update(Columns::these(of)));
    }
    Ok(effects)
}

/// Changes of parent tables and of views are changes of other tables.
async fn parts(connection: &mut PgConnection) -> Result<Vec<Effect>, sqlx::Error> {
    let parts: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT i.inhparent::bigint::text, i.inhrelid::bigint::text, i.inhparent::regclass::text \
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE NOT c.relispartition \
         AND c.relkind = 'r' \
         UNION SELECT w.ev_class::bigint::text, d.refobjid::bigint::text, w.ev_class::regclass::text \
         FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid \
         AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class \
         WHERE w.rulename = '_RETURN' AND pg_relation_is_updatable(w.ev_class, false) <> 0",
    )
    .fetch_all(connection)
    .await?;
    let effects = parts.into_iter().flat_map(|(on, part, name)| {
        let changes = [Change::Insert, Change::Update(Columns::All), Change::Delete];
        changes.map(|change| Effect {
            on: on.clone(),
            when: vec![change.clone()],
            by: format!("what is written to {name}"),
            then: Some((part.clone(), change)),
        })
    });
    Ok(effects.collect())
}

/// The tables and views of applications.
struct Tables(BTreeMap<String, Vec<(String, bool, String)>>);

impl Tables {
    async fn find(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let found: Vec<(String, String, bool, String)> = sqlx::query_as(concat!(
            "SELECT c.relname::text, n.nspname::text, pg_table_is_visible(c.oid), ",
            root!("c.oid"),
            " \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname <> 'information_schema' \
             AND n.nspname NOT LIKE 'pg\\_%'"
        ))
        .fetch_all(connection)
        .await?;
        let mut tables = BTreeMap::<String, Vec<_>>::new();
        for (name, schema, is_visible, identity) in found {
            tables.entry(name).or_default().push((schema, is_visible, identity));
        }
        Ok(Self(tables))
    }

    /// The tables that a text may mean by the name: in the given schema, or else in the search path, or
    /// else in any schema.
    fn find_all(&self, name: &TableName) -> impl Iterator<Item = &str> {
        let all = self.0.get(&name.table).map(Vec::as_slice).unwrap_or_default();
        let some_visible = all.iter().any(|(_, is_visible, _)| *is_visible);
        let is_meant = move |(schema, is_visible, _): &&(String, bool, String)| match &name.schema {
            Some(named) => named == schema,
            None => *is_visible || !some_visible,
        };
        all.iter().filter(is_meant).map(|(.., identity)| &**identity)
    }
}

/// An effect, and what it runs.
struct Trigger {
    on: String,
    when: Vec<Change>,
    by: String,
    function: Source,
}

/// The text of a function or rule, if it can be read.
type Source = Option<String>;

/// The text of a function in a language that can be read. PostgreSQL's own functions write no rows.
const SOURCE: &str = "CASE WHEN n.nspname = 'pg_catalog' THEN '' WHEN l.lanname NOT IN ('sql', 'plpgsql') \
                      THEN NULL WHEN p.prosrc = '' THEN pg_get_functiondef(p.oid) ELSE p.prosrc END";

async fn triggers(connection: &mut PgConnection, log: &str) -> Result<Vec<Trigger>, sqlx::Error> {
    type Row = (String, String, String, i16, Option<Vec<String>>, Source);
    let sql = format!(
        "SELECT t.tgname::text, {}, t.tgrelid::regclass::text, t.tgtype, \
         (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = t.tgrelid \
         AND a.attnum = ANY (t.tgattr) HAVING bool_and(a.attgenerated = '')), {SOURCE} \
         FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang \
         JOIN pg_namespace n ON n.oid = p.pronamespace \
         WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgparentid = 0 \
         AND NOT starts_with(t.tgname::text, $1) ORDER BY t.tgname",
        root!("t.tgrelid")
    );
    let rows: Vec<Row> =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(prefix_of(log)).fetch_all(connection).await?;
    let triggers = rows.into_iter().map(|(name, on, table, bits, columns, function)| {
        let updated = columns.map_or(Columns::All, Columns::these);
        let all = [(4, Change::Insert), (8, Change::Delete), (16, Change::Update(updated))];
        let when = all.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, change)| change);
        Trigger { on, when: when.collect(), by: format!("the trigger {name} of {table}"), function }
    });
    Ok(triggers.collect())
}

async fn rules(connection: &mut PgConnection) -> Result<Vec<Trigger>, sqlx::Error> {
    let rows: Vec<(String, String, String, String, String)> = sqlx::query_as(concat!(
        "SELECT w.rulename::text, ",
        root!("w.ev_class"),
        ", w.ev_class::regclass::text, w.ev_type::text, \
         pg_get_ruledef(w.oid) FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE w.ev_type IN ('2', '3', '4') \
         AND w.ev_enabled IN ('O', 'A') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
         ORDER BY w.rulename"
    ))
    .fetch_all(connection)
    .await?;
    let rules = rows.into_iter().map(|(name, on, table, event, text)| {
        let when = match &*event {
            "2" => Change::Update(Columns::All),
            "3" => Change::Insert,
            _ => Change::Delete,
        };
        Trigger {
            on,
            when: vec![when],
            by: format!("the rule {name} of {table}"),
            function: Some(text),
        }
    });
    Ok(rules.collect())
}

/// Functions by name, as far as they have been searched.
#[derive(Default)]
struct Functions(BTreeMap<String, Vec<Source>>);

impl Functions {
    /// What a function writes, including all functions that it calls.
    async fn script(
        &mut self,
        connection: &mut PgConnection,
        function: Source,
    ) -> Result<Script, sqlx::Error> {
        let mut whole = Script::default();
        let (mut sources, mut called) = (vec![function], BTreeSet::new());
        while let Some(source) = sources.pop() {
            let Some(text) = source else {
                whole.is_dynamic = true;
                continue;
            };
            let script = Script::read(&text, Postgres);
            whole.writes.extend(script.writes);
            whole.is_dynamic |= script.is_dynamic;
            let new: Vec<String> =
                script.calls.into_iter().filter(|name| called.insert(name.clone())).collect();
            self.look_for(connection, &new).await?;
            sources.extend(new.iter().filter_map(|name| self.0.get(name)).flatten().cloned());
        }
        Ok(whole)
    }

    async fn look_for(
        &mut self,
        connection: &mut PgConnection,
        names: &[String],
    ) -> Result<(), sqlx::Error> {
        let new: Vec<String> =
            names.iter().filter(|name| !self.0.contains_key(*name)).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        // The effects of functions in other languages are unknown, but those of extensions usually only
        // compute.
        let sql = format!(
            "SELECT p.proname::text, {SOURCE} FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang \
             JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.proname = ANY ($1) \
             AND n.nspname <> 'pg_catalog' AND p.prokind IN ('f', 'p') \
             AND (l.lanname IN ('sql', 'plpgsql') OR NOT EXISTS (SELECT FROM pg_depend d \
             WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'))"
        );
        let found: Vec<(String, Source)> =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(&new).fetch_all(connection).await?;
        self.0.extend(new.into_iter().map(|name| (name, Vec::new())));
        for (name, source) in found {
            self.0.entry(name).or_default().push(source);
        }
        Ok(())
    }
}

//! Random steps and random tables: what does not fit is told at start, with what to write. Once that is done,
//! the table syncs, also while its names change.

use std::collections::BTreeSet;

use mobync::{Access, DatabaseError, UnitOfWork, sql::SchemaError};

use super::*;

const TABLES: [&str; 6] = ["tasks", "todos", "To\"dos; '", "größe $1", "Order", "%s \\' ? {}"];
const NAMES: [&str; 12] = [
    "name", "title", "due", "Title2", "sel\"ect", "'$1' x", "größe", "a b", "%I \\", "NULL", "🎉",
    "note",
];
const WORDS: [&str; 3] = ["x", "it's", "a\"b\\"];

/// One field by all its names, oldest first.
#[derive(Clone, Debug)]
struct Field {
    names: Vec<&'static str>,
    sql_type: &'static str,
    added: Option<Value>,
    removed: Option<Value>,
    /// The names that are columns.
    columns: Vec<&'static str>,
    /// The default in the database.
    default: Value,
    /// One of the columns, which devices do not see.
    hidden: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct Drawn {
    names: Vec<&'static str>,
    tables: Vec<&'static str>,
    fields: Vec<Field>,
    /// One of the columns, which no device may write.
    read_only: Option<&'static str>,
}

fn value(random: &mut fastrand::Rng, sql_type: &str) -> Value {
    match sql_type {
        _ if random.u8(..3) == 0 => Value::Null,
        "boolean" => random.bool().into(),
        "bigint" => random.i64(-3..3).into(),
        _ => WORDS[random.usize(..3)].into(),
    }
}

/// One of the names, or now and then none or two.
fn some(random: &mut fastrand::Rng, names: &[&'static str]) -> Vec<&'static str> {
    let mut names = names.to_vec();
    random.shuffle(&mut names);
    names.truncate([1, 1, 1, 1, 1, 1, 0, 2][random.usize(..8)]);
    names
}

impl Drawn {
    fn new(random: &mut fastrand::Rng) -> Self {
        let (mut tables, mut free) = (TABLES.to_vec(), NAMES.to_vec());
        random.shuffle(&mut tables);
        random.shuffle(&mut free);
        tables.truncate(random.usize(1..4));
        let mut fields = Vec::new();
        for _ in 0..random.usize(1..4) {
            let names: Vec<&str> = free.drain(..random.usize(1..4)).collect();
            let sql_type = ["text", "bigint", "boolean"][random.usize(..3)];
            let added = (names.len() == 1 || random.bool()).then(|| value(random, sql_type));
            let removed = (random.u8(..4) == 0).then(|| value(random, sql_type));
            let columns = some(random, &names);
            let default = match &added {
                Some(added) if random.u8(..4) > 0 => added.clone(),
                _ => value(random, sql_type),
            };
            let hidden = columns.first().copied().filter(|_| random.u8(..5) == 0);
            fields.push(Field { names, sql_type, added, removed, columns, default, hidden });
        }
        Self { tables: some(random, &tables), names: tables, fields, read_only: None }
    }

    fn schema(&self) -> Schema {
        let (mut steps, mut since) = (Vec::new(), 1);
        let mut next = || {
            since += 1;
            since
        };
        let oldest = self.names[0];
        for field in &self.fields {
            let mut now = field.names[0];
            if let Some(default) = &field.added {
                steps.push(Step::added(next(), oldest, now, default.clone()));
            }
            for name in &field.names[1..] {
                steps.push(Step::renamed(next(), oldest, now, *name));
                now = name;
            }
            if let Some(default) = &field.removed {
                steps.push(Step::removed(next(), oldest, now, default.clone()));
            }
        }
        for pair in self.names.windows(2) {
            steps.push(Step::renamed_model(next(), pair[0], pair[1]));
        }
        Schema::new(steps).unwrap()
    }

    /// The newest name of the model.
    fn name(&self) -> &'static str {
        self.names.last().unwrap()
    }

    fn table(&self, random: &mut fastrand::Rng) -> Table {
        let hidden = self.fields.iter().filter_map(|field| {
            // By the column's name, or by the field's.
            let now = *field.names.last().unwrap();
            let is_only = field.columns.len() == 1 && field.removed.is_none() && random.bool();
            field.hidden.map(|hidden| if is_only { now } else { hidden })
        });
        Table::new(self.name()).hidden(hidden.collect::<Vec<_>>()).read_only(self.read_only)
    }

    /// What does not fit, as the errors' variants with names in them.
    fn faults(&self, columns: &[String]) -> BTreeSet<String> {
        let mut faults = BTreeSet::new();
        if self.tables.len() != 1 {
            faults.insert(format!("tables {}", self.tables.len()));
            return faults;
        }
        for field in &self.fields {
            let is_there = |name: &&&str| columns.iter().any(|column| column == **name);
            let names = field.names.iter().rev();
            let seen: Vec<&str> = names
                .clone()
                .filter(is_there)
                .copied()
                .filter(|name| field.hidden != Some(*name))
                .collect();
            match (&*seen, &field.removed) {
                ([column, ..], Some(_)) => {
                    faults.insert(format!("removed {column}"));
                }
                ([newer, older, ..], _) => {
                    faults.insert(format!("two {newer} {older}"));
                }
                ([], None) if field.hidden.is_none() => {
                    faults.insert(format!("none {}", field.names.last().unwrap()));
                }
                ([_], None)
                    if field.added.as_ref().is_some_and(|added| *added != field.default) =>
                {
                    faults.insert(format!("default {}", field.names.last().unwrap()));
                }
                _ => {}
            }
        }
        faults
    }

    fn field(&mut self, name: &str) -> &mut Field {
        self.fields.iter_mut().find(|field| field.names.contains(&name)).unwrap()
    }

    /// The fields that devices of the newest version see, each with its column.
    fn seen(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let seen = self.fields.iter().filter(|field| field.removed.is_none());
        let seen = seen.filter_map(|field| {
            let column = field.columns.iter().find(|column| field.hidden != Some(**column))?;
            Some((*field.names.last().unwrap(), *column, field.sql_type))
        });
        seen.collect()
    }
}

async fn create_tables<D: Kind>(place: &Place<D>, drawn: &Drawn) {
    for table in &drawn.tables {
        let mut columns = String::new();
        for field in &drawn.fields {
            for column in &field.columns {
                let default = match &field.default {
                    Value::Null => String::new(),
                    Value::String(text) => format!(" DEFAULT '{}'", text.replace('\'', "''")),
                    other => format!(" DEFAULT {other}"),
                };
                columns += &format!("{} {}{default}, ", quote(column), field.sql_type);
            }
        }
        place
            .run(&format!(
                "CREATE TABLE {} (owner text NOT NULL, id text NOT NULL, n bigint, {columns}PRIMARY KEY (owner, id))",
                quote(table)
            ))
            .await;
    }
}

/// Does what an error says, and returns what it was about.
async fn mend<D: Kind>(
    place: &Place<D>,
    drawn: &mut Drawn,
    random: &mut fastrand::Rng,
    error: SchemaError,
) -> String {
    let message = error.to_string();
    match error {
        SchemaError::NoTable { create, .. } => {
            assert!(drawn.tables.is_empty() && message.contains(&create), "{message}");
            place.run(&create).await;
            let more = format!("ALTER TABLE {} ADD COLUMN n bigint", quote(drawn.name()));
            place.run(&more).await;
            drawn.tables.push(drawn.name());
            drawn.fields.iter_mut().for_each(|field| field.columns.clear());
            for field in &mut drawn.fields {
                field.hidden = None;
            }
            "tables 0".to_owned()
        }
        SchemaError::TwoTables { older, drop, .. } => {
            assert!(message.contains(&drop), "{message}");
            place.run(&drop).await;
            drawn.tables.retain(|table| *table != older);
            "tables 2".to_owned()
        }
        SchemaError::TwoColumns { newer, older, drop, .. } => {
            let field = drawn.field(&older);
            assert!(message.contains(&drop), "{message}");
            if random.bool() && field.hidden.is_none() {
                assert!(message.contains(&format!(".hidden([{older:?}])")), "{message}");
                field.hidden = field.names.iter().copied().find(|name| *name == older);
            } else {
                place.run(&drop).await;
                field.columns.retain(|column| *column != older);
            }
            format!("two {newer} {older}")
        }
        SchemaError::RemovedField { column, drop, .. } => {
            let field = drawn.field(&column);
            assert!(message.contains(&drop), "{message}");
            if random.bool() && field.hidden.is_none() {
                assert!(message.contains(&format!(".hidden([{column:?}])")), "{message}");
                field.hidden = field.names.iter().copied().find(|name| *name == column);
            } else {
                place.run(&drop).await;
                field.columns.retain(|name| *name != column);
            }
            format!("removed {column}")
        }
        SchemaError::NoField { field: name, add, .. } => {
            assert!(message.contains(&add), "{message}");
            place.run(&add).await;
            let field = drawn.field(&name);
            field.columns.push(field.names.last().unwrap());
            field.default = field.added.clone().unwrap_or_default();
            if field.default.is_null() {
                field.sql_type = "text";
            }
            format!("none {name}")
        }
        SchemaError::OtherDefault { column, step, held, mend, .. } => {
            assert!(message.contains(&mend), "{message}");
            let field = drawn.field(&column);
            assert_eq!(step, field.added.clone().unwrap().to_string());
            assert_eq!(held, field.default.to_string());
            if D::IS_POSTGRES && random.bool() {
                place.run(mend.strip_prefix("run ").unwrap()).await;
                field.default = field.added.clone().unwrap();
            } else {
                field.added = Some(serde_json::from_str(&held).unwrap());
            }
            format!("default {column}")
        }
        other => panic!("{other:?}"),
    }
}

/// Starts a server on the table, after all that the errors say was done. Returns their number, too.
async fn start<D: Kind>(
    place: &Place<D>,
    drawn: &mut Drawn,
    random: &mut fastrand::Rng,
    seed: u64,
) -> (Mobync<SqlDatabase<D>>, usize) {
    let mut mended = 0;
    loop {
        let columns = match drawn.tables.first() {
            Some(table) => place.columns(table).await,
            None => Vec::new(),
        };
        let faults = drawn.faults(&columns);
        let builder = Builder::<D>::default().schema(drawn.schema()).table(drawn.table(random));
        match builder.connect(&place.url).await {
            Ok(database) => {
                assert!(faults.is_empty(), "seed {seed}: {faults:?} {drawn:#?}");
                database.set_up().await.unwrap();
                return (Mobync::new(database), mended);
            }
            Err(error) => {
                let told = mend(place, drawn, random, error).await;
                assert!(faults.contains(&told), "seed {seed}: {told} {faults:?} {drawn:#?}");
                mended += 1;
            }
        }
    }
}

async fn play<D: Kind>(seed: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut drawn = Drawn::new(&mut random);
    let place = Place::<D>::new().await;
    create_tables(&place, &drawn).await;
    let (mut server, mended) = start(&place, &mut drawn, &mut random, seed).await;
    let version = drawn.schema().version();
    let (model, mut seen) = (drawn.name(), drawn.seen());
    let mut read_only = None;
    if seen.len() > 1 {
        // By the name that the column has, even if that is older.
        let (name, column, _) = seen.remove(0);
        (read_only, drawn.read_only) = (Some(name), Some(column));
        let builder =
            Builder::<D>::default().schema(drawn.schema()).table(drawn.table(&mut random));
        server = place.server(builder).await;
    }
    let mut first = Map::from_iter([("n".to_owned(), json!(7))]);
    for (name, _, sql_type) in &seen {
        first.insert((*name).to_owned(), value(&mut random, sql_type));
    }
    let sent = diff(Operation::Create, model, "t1", Value::Object(first.clone()));
    let answer = sync(&server, version, 0, vec![sent]).await;
    let answer = answer.unwrap_or_else(|error| panic!("seed {seed}: {error:?} {drawn:#?}"));
    assert!(answer.refused.is_empty(), "seed {seed}: {answer:?} {drawn:#?}");
    let entry = &place.texts("SELECT model FROM diffs").await[0];
    assert_eq!(entry, drawn.tables[0], "seed {seed}: the log has the names of the database");
    let logged = fields(&place.texts("SELECT json_data FROM diffs").await[0]);
    let logged: BTreeSet<&str> = logged.keys().map(|name| &**name).collect();
    if let Some(name) = read_only {
        forbids(&server, version, model, name, seed).await;
    }
    let columns = seen.iter().map(|(_, column, _)| *column).chain(["n"]);
    assert_eq!(logged, columns.collect(), "seed {seed}: {drawn:#?}");
    reads(&server, model, &first, seed).await;
    let first_version = all(&server, 1).await;
    let ((name, _), old) = first_version.iter().next().unwrap();
    assert_eq!(name, drawn.names[0], "seed {seed}");
    for field in drawn.fields.iter().filter(|field| field.added.is_none()) {
        if drawn.read_only.is_some_and(|column| field.columns.contains(&column)) {
            continue;
        }
        let got = old.get(field.names[0]);
        let now = field.names.last().unwrap();
        let expected = field.removed.as_ref().or_else(|| first.get(*now));
        assert_eq!(got, expected, "seed {seed}: {drawn:#?}");
    }

    // The second step of the rename, while the server runs.
    for (name, column, _) in &drawn.seen() {
        let is_free = !place.columns(drawn.tables[0]).await.iter().any(|column| column == name);
        if name != column && is_free {
            let (table, column, name) = (quote(drawn.tables[0]), quote(column), quote(name));
            place.run(&format!("ALTER TABLE {table} RENAME COLUMN {column} TO {name}")).await;
        }
    }
    if drawn.tables[0] != model {
        place
            .run(&format!("ALTER TABLE {} RENAME TO {}", quote(drawn.tables[0]), quote(model)))
            .await;
    }
    let mut second = first.clone();
    for (name, _, sql_type) in &seen {
        second.insert((*name).to_owned(), value(&mut random, sql_type));
    }
    let sent = diff(Operation::Update, model, "t1", Value::Object(second.clone()));
    let answer = sync(&server, version, 1, vec![sent]).await;
    let answer = answer.unwrap_or_else(|error| panic!("seed {seed}: {error:?} {drawn:#?}"));
    assert!(answer.refused.is_empty(), "seed {seed}: {answer:?} {drawn:#?}");
    reads(&server, model, &second, seed).await;
    if let Some(name) = read_only {
        forbids(&server, version, model, name, seed).await;
        let again = Builder::<D>::default().schema(drawn.schema()).table(drawn.table(&mut random));
        let again = again.connect(&place.url).await.map(drop);
        let has_it =
            place.columns(model).await.iter().any(|column| Some(&**column) == drawn.read_only);
        assert_eq!(again.is_ok(), has_it, "seed {seed}: {again:?}");
        assert!(has_it || again.unwrap_err().to_string().contains("use its newest name"));
        drawn.read_only = Some(name).filter(|_| !has_it).or(drawn.read_only);
    }
    let again = Builder::<D>::default().schema(drawn.schema()).table(drawn.table(&mut random));
    let again = place.server(again).await;
    reads(&again, model, &second, seed).await;
    assert_eq!(all(&again, version).await, all(&server, version).await, "seed {seed}");
    mended
}

/// Checks the row, by the newest names.
async fn reads<D: Kind>(
    server: &Mobync<SqlDatabase<D>>,
    model: &str,
    expected: &Map<String, Value>,
    seed: u64,
) {
    let read = async || {
        let mut unit = server.database().open(&ada(), Access::Read).await.unwrap();
        unit.rows(&ada(), model, &["t1"]).await
    };
    let rows = match read().await {
        // Nothing has met the new names before.
        Err(DatabaseError::Conflict(_)) => read().await.unwrap(),
        rows => rows.unwrap(),
    };
    for (name, value) in expected {
        assert_eq!(fields(&rows[0]).get(name), Some(value), "seed {seed}");
    }
}

/// Checks that no device can write a field.
async fn forbids<D: Kind>(
    server: &Mobync<SqlDatabase<D>>,
    version: u64,
    model: &str,
    field: &str,
    seed: u64,
) {
    let sent = diff(Operation::Update, model, "t1", json!({field: null}));
    let clock = server.clock(&ada()).await.unwrap();
    let answer = sync(server, version, clock, vec![sent]).await.unwrap();
    assert_eq!(
        answer.refused.first().map(|refused| &*refused.code),
        Some("forbidden"),
        "seed {seed}"
    );
}

/// `SCHEMA_SEED` is one seed, `SCHEMA_SEEDS` their number.
async fn play_all<D: Kind>(few: u64) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let first = number("SCHEMA_SEED").unwrap_or(0);
    let many = number("SCHEMA_SEED").map_or(number("SCHEMA_SEEDS").unwrap_or(few), |_| 1);
    let mut mended = 0;
    for seed in first..first + many {
        mended += play::<D>(seed).await;
    }
    assert!(many < 10 || mended > 10, "{mended}");
}

#[tokio::test]
async fn what_does_not_fit_is_told_and_can_be_mended_on_sqlite() {
    play_all::<Sqlite>(60).await;
}

#[tokio::test]
async fn what_does_not_fit_is_told_and_can_be_mended_on_postgres() {
    play_all::<Postgres>(25).await;
}

async fn steps_that_no_table_can_meet_are_told<D: Kind>() {
    let place = Place::<D>::new().await;
    place.run("CREATE TABLE tasks (owner text, note_id text, name text, PRIMARY KEY (owner, note_id))").await;
    let long = "x".repeat(64);
    let table = || Table::new("tasks").id_column("note_id");
    let cases = [
        (Step::removed(2, "tasks", "owner", 0), "names owner of tasks", false),
        (Step::renamed(2, "tasks", "owner", "user"), "names owner of tasks", false),
        (Step::renamed(2, "tasks", "user", "owner"), "names owner of tasks", false),
        (Step::added(2, "tasks", "note_id", "x"), "names note_id of tasks", false),
        (Step::removed_model(2, "tasks"), "removed the model tasks", false),
        (Step::renamed(2, "tasks", "name", &*long), "too long for the database", !D::IS_POSTGRES),
    ];
    for (step, told, is_taken) in cases {
        let schema = Schema::new([step.clone()]).unwrap();
        let built = Builder::<D>::default().schema(schema).table(table()).connect(&place.url).await;
        match built {
            Ok(_) => assert!(is_taken, "{step:?}"),
            Err(error) => assert!(!is_taken && error.to_string().contains(told), "{error:?}"),
        }
    }
    // A setting may name the column of a removed field before and after it is dropped, but not a name that
    // was renamed: what was hidden would be seen.
    let schema = Schema::new([
        Step::removed(2, "tasks", "gone", 0),
        Step::renamed(2, "tasks", "label", "name"),
    ]);
    let schema = schema.unwrap();
    let build = async |hidden: &str| {
        let builder = Builder::<D>::default().schema(schema.clone());
        builder.table(table().hidden([hidden])).connect(&place.url).await.map(drop)
    };
    build("gone").await.unwrap();
    build("name").await.unwrap();
    let error = build("label").await.unwrap_err();
    assert!(error.to_string().contains("use its newest name"), "{error:?}");
}

#[tokio::test]
async fn steps_that_no_table_can_meet_are_told_on_sqlite() {
    steps_that_no_table_can_meet_are_told::<Sqlite>().await;
}

#[tokio::test]
async fn steps_that_no_table_can_meet_are_told_on_postgres() {
    steps_that_no_table_can_meet_are_told::<Postgres>().await;
}

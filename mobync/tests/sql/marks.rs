//! Every change of captured rows by plain SQL is marked, and nothing else, on PostgreSQL.

mod set_up;
mod shapes;

use std::collections::BTreeSet;

use mobync::{postgres::PostgresDatabase, sql::Table};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, postgres::PgPoolCopyExt};

use self::shapes::Shape;
use super::{postgres_with, support::postgres::Cluster};

/// Returns the existing marks and removes them.
async fn marks(pool: &PgPool, model: &str) -> BTreeSet<(String, String)> {
    let sql = "WITH m AS (DELETE FROM diffs_marks RETURNING *) SELECT owner, id FROM m WHERE model = $1 \
               AND at BETWEEN 1700000000000 AND 9000000000000";
    sqlx::query_as(sql).bind(model).fetch_all(pool).await.unwrap().into_iter().collect()
}

/// Runs statements one by one, unless several belong together.
async fn run(connection: &mut PgConnection, sql: String) {
    let statements = if sql.contains("$$") { vec![&*sql] } else { sql.split("; ").collect() };
    for sql in statements {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await;
        assert!(done.is_ok(), "{sql}: {done:?}");
    }
}

/// Statements that change rows, each in the state that the earlier ones have left.
const CHANGES: &[&str] = &[
    "INSERT INTO T (O, I, a) VALUES (o1, t1, 'x')",
    "INSERT INTO T (O, I, a) VALUES (o1, t2, 'x'), (o2, t3, 'x'), (o3, t4, 'y'), (o4, t5, 'y')",
    "UPDATE T SET a = 'z' WHERE I = t1",
    "UPDATE T SET a = a || '!'",
    // To another owner, also in another partition; and back.
    "UPDATE T SET O = o4 WHERE I = t1",
    "UPDATE T SET O = o2 WHERE I IN (t1, t5)",
    "UPDATE T SET O = o1 WHERE I = t1",
    // Another id, and other ids for all.
    "UPDATE T SET I = t9 WHERE I = t1",
    "UPDATE T SET O = CASE O WHEN o1 THEN o2 WHEN o2 THEN o1 ELSE O END",
    "UPDATE T SET I = t1, O = o3, a = NULL WHERE I = t9",
    "DELETE FROM T WHERE I = t2",
    "WITH gone AS (DELETE FROM T WHERE I = t3 RETURNING a) INSERT INTO T (O, I, a) SELECT o1, t6, a FROM gone",
    "INSERT INTO T (O, I, a) SELECT o1, I, a FROM (VALUES (t7, 'm'), (t8, 'n')) AS v (I, a)",
    "MERGE INTO T AS m USING (VALUES (o1, t7), (o1, t8), (o2, t20)) AS v (o, i) ON m.O = v.o AND m.I = v.i \
     WHEN MATCHED AND m.a = 'm' THEN DELETE WHEN MATCHED THEN UPDATE SET a = 'merged' \
     WHEN NOT MATCHED THEN INSERT (O, I, a) VALUES (v.o, v.i, 'new')",
    "DO $$ BEGIN FOR turn IN 1..3 LOOP UPDATE T SET a = concat(a, turn) WHERE O = o1; END LOOP; END $$",
    "BEGIN; SAVEPOINT s; UPDATE T SET a = 'kept' WHERE I = t8; RELEASE s; SAVEPOINT s; \
     UPDATE T SET a = 'undone' WHERE I = t20; ROLLBACK TO s; COMMIT",
    "BEGIN; UPDATE T SET a = 'undone'; ROLLBACK",
    "SET mobync.sync = 'off'; UPDATE T SET a = 'off' WHERE I = t20; RESET mobync.sync",
    "BEGIN; SET LOCAL mobync.sync = 'on'; COMMIT; UPDATE T SET a = 'behind' WHERE I = t20",
    // The same by a trigger.
    "CREATE FUNCTION pass_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.O := o3; RETURN NEW; END $$; \
     CREATE TRIGGER pass_on BEFORE INSERT OR UPDATE ON T FOR EACH ROW WHEN (NEW.a = 'pass on') EXECUTE FUNCTION pass_on()",
    "INSERT INTO T (O, I, a) VALUES (o3, t30, 'pass on')",
    "DROP TRIGGER pass_on ON T",
    "TRUNCATE T",
    "INSERT INTO T (O, I, a) VALUES (o1, t1, 'again')",
    "TRUNCATE T CASCADE",
];

/// The same for tables of which a part can be written directly.
const CHANGES_OF_PARTS: &[&str] = &[
    "INSERT INTO P (O, I, a) VALUES (o1, t1, 'x'), (o1, t2, 'y')",
    "UPDATE P SET a = 'z' WHERE I = t1",
    "UPDATE P SET O = o0 WHERE I = t1",
    "UPDATE P SET I = t9 WHERE I = t2",
    "UPDATE T SET a = 'all'",
    "UPDATE T SET O = o1",
    "DELETE FROM P WHERE I = t1",
    "INSERT INTO P (O, I, a) VALUES (o1, t1, 'x')",
    "TRUNCATE P",
    "INSERT INTO P (O, I, a) VALUES (o1, t1, 'x')",
    "DELETE FROM T",
    "INSERT INTO P (O, I, a) VALUES (o1, t1, 'x')",
    "TRUNCATE T",
];

#[tokio::test]
async fn every_change_is_marked_and_nothing_else() {
    for shape in Shape::all() {
        let (pool, _database) = shape.database().await;
        let mut connection = pool.acquire().await.unwrap();
        let parts = if shape.part.is_some() { CHANGES_OF_PARTS } else { &[] };
        // There each id is unique by itself, so rows are identified by it.
        let upsert = if shape.table.len() == 63 || !shape.texts { "(I)" } else { "(O, I)" };
        let upsert = format!(
            "INSERT INTO T (O, I, a) VALUES (o1, t1, 'b') ON CONFLICT {upsert} DO UPDATE SET a = excluded.a; \
             INSERT INTO T (O, I, a) VALUES (o1, t1, 'c') ON CONFLICT {upsert} DO UPDATE SET a = excluded.a; \
             INSERT INTO T (O, I, a) VALUES (o1, t1, 'd') ON CONFLICT DO NOTHING"
        );
        let mut changed_some = 0;
        for sql in CHANGES.iter().chain(parts).copied().chain([&*upsert]) {
            let before = shape.rows(&pool).await;
            run(&mut connection, shape.say(sql)).await;
            let after = shape.rows(&pool).await;
            let (changed, marked) =
                (Shape::changed(&before, &after), marks(&pool, &shape.table).await);
            let what = format!("{}: {sql}: {changed:?} {marked:?}", shape.name);
            assert!(changed.is_subset(&marked), "{what}");
            let there: BTreeSet<_> = before.into_keys().chain(after.into_keys()).collect();
            assert!(marked.is_subset(&there), "{what}");
            assert!(!changed.is_empty() || marked.is_empty() || sql.contains("UPDATE"), "{what}");
            changed_some += usize::from(!changed.is_empty());
        }
        assert!(changed_some > 20, "{}: {changed_some}", shape.name);

        let copy = shape.say("COPY T (O, I, a) FROM STDIN");
        let mut copying = pool.copy_in_raw(&copy).await.unwrap();
        let (owner, id) = if shape.texts {
            ("o1".to_owned(), "t50".to_owned())
        } else {
            ("1".to_owned(), "00000000-0000-0000-0000-000000000050".to_owned())
        };
        copying.send(format!("{owner}\t{id}\tx\n").into_bytes()).await.unwrap();
        copying.finish().await.unwrap();
        assert_eq!(
            marks(&pool, &shape.table).await,
            BTreeSet::from([(owner, id)]),
            "{}",
            shape.name
        );
    }
}

/// Related tables, all captured except `log_of_boxes`.
const FAMILY: &[&str] = &[
    "CREATE TABLE boxes (owner text, id text, a text, PRIMARY KEY (owner, id))",
    "CREATE TABLE things (owner text, id text, a text, box text, PRIMARY KEY (owner, id), \
     FOREIGN KEY (owner, box) REFERENCES boxes ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE labels (owner text, id text, box text, PRIMARY KEY (owner, id), \
     FOREIGN KEY (owner, box) REFERENCES boxes ON DELETE SET NULL (box) ON UPDATE CASCADE \
     DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE parts (owner text, id text, thing text, PRIMARY KEY (owner, id), \
     FOREIGN KEY (owner, thing) REFERENCES things ON DELETE CASCADE ON UPDATE CASCADE) PARTITION BY HASH (id)",
    "CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
    "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "CREATE TABLE counts (owner text, id text, n int, PRIMARY KEY (owner, id))",
    "CREATE FUNCTION count_things() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     INSERT INTO counts VALUES (coalesce(NEW.owner, OLD.owner), coalesce(NEW.box, OLD.box), 1) \
     ON CONFLICT (owner, id) DO UPDATE SET n = counts.n + 1; RETURN NULL; END $$",
    "CREATE TRIGGER count_things AFTER INSERT OR UPDATE OR DELETE ON things \
     FOR EACH ROW WHEN (pg_trigger_depth() < 9) EXECUTE FUNCTION count_things()",
    "INSERT INTO boxes VALUES ('ada', 'b1', ''), ('ada', 'b2', ''), ('ada', 'b3', ''), ('bob', 'b1', '')",
    "INSERT INTO things VALUES ('ada', 't1', '', 'b1'), ('ada', 't2', '', 'b2'), ('bob', 't1', '', 'b1')",
    "INSERT INTO labels VALUES ('ada', 'l1', 'b1'), ('ada', 'l2', 'b2'), ('bob', 'l1', 'b1')",
    "INSERT INTO parts VALUES ('ada', 'p1', 't1'), ('ada', 'p2', 't1'), ('ada', 'p3', 't1'), ('bob', 'p1', 't1')",
    "DELETE FROM counts",
];
const MODELS: [&str; 5] = ["boxes", "things", "labels", "parts", "counts"];

async fn family(announces: bool) -> (PgPool, PostgresDatabase) {
    let pool = postgres_with(FAMILY).await;
    let mut builder = PostgresDatabase::builder().capture();
    for model in MODELS {
        builder = builder.table(model);
    }
    let builder = if announces { builder.announce_clocks() } else { builder };
    let database = builder.pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    (pool, database)
}

/// Returns the existing marks as `model/owner/id`, and removes them.
async fn all_marks(pool: &PgPool) -> Vec<String> {
    let sql = "WITH m AS (DELETE FROM diffs_marks RETURNING *) \
               SELECT DISTINCT concat_ws('/', model, owner, id) FROM m ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn what_a_change_sets_off_is_marked_also_within_a_sync() {
    let (pool, _database) = family(false).await;
    let mut connection = pool.acquire().await.unwrap();
    let cases = [
        (
            "UPDATE boxes SET id = 'c1' WHERE owner = 'ada' AND id = 'b1'",
            "boxes/ada/b1 boxes/ada/c1",
            "counts/ada/c1 labels/ada/l1 things/ada/t1",
        ),
        (
            "UPDATE things SET id = 's1' WHERE owner = 'ada' AND id = 't1'",
            "things/ada/s1 things/ada/t1",
            "counts/ada/c1 parts/ada/p1 parts/ada/p2 parts/ada/p3",
        ),
        (
            "DELETE FROM boxes WHERE owner = 'ada'",
            "boxes/ada/b2 boxes/ada/b3 boxes/ada/c1",
            "counts/ada/b2 counts/ada/c1 labels/ada/l1 labels/ada/l2 parts/ada/p1 parts/ada/p2 \
             parts/ada/p3 things/ada/s1 things/ada/t2",
        ),
        (
            "UPDATE boxes SET owner = 'eve' WHERE owner = 'bob'",
            "boxes/bob/b1 boxes/eve/b1",
            "counts/eve/b1 labels/bob/l1 labels/eve/l1 parts/bob/p1 parts/eve/p1 things/bob/t1 things/eve/t1",
        ),
    ];
    for in_sync in [true, false] {
        for (sql, direct, set_off) in cases {
            let end = if in_sync { "ROLLBACK" } else { "COMMIT" };
            run(&mut connection, "BEGIN".to_owned()).await;
            if in_sync {
                run(&mut connection, "SET LOCAL mobync.sync = 'on'".to_owned()).await;
            }
            run(&mut connection, sql.to_owned()).await;
            run(&mut connection, "SET CONSTRAINTS ALL IMMEDIATE".to_owned()).await;
            let marked = "SELECT DISTINCT concat_ws('/', model, owner, id) FROM diffs_marks \
                          WHERE tx = pg_current_xact_id() ORDER BY 1";
            let marked: Vec<String> =
                sqlx::query_scalar(marked).fetch_all(&mut *connection).await.unwrap();
            let mut expected: Vec<&str> = set_off.split_whitespace().collect();
            if !in_sync {
                expected.extend(direct.split_whitespace());
                expected.sort_unstable();
            }
            assert_eq!(marked, expected, "{sql}, in a sync: {in_sync}");
            run(&mut connection, end.to_owned()).await;
            all_marks(&pool).await;
            if in_sync && !sql.starts_with("DELETE") && sql.contains("ada") {
                // It is not undone, because the next case builds on it.
                run(&mut connection, sql.to_owned()).await;
                all_marks(&pool).await;
            }
        }
        for sql in ["TRUNCATE boxes CASCADE", "TRUNCATE counts"] {
            run(&mut connection, sql.to_owned()).await;
        }
        all_marks(&pool).await;
        for sql in &FAMILY[9..] {
            run(&mut connection, (*sql).to_owned()).await;
        }
        all_marks(&pool).await;
    }
    run(&mut connection, "TRUNCATE boxes CASCADE".to_owned()).await;
    assert_eq!(all_marks(&pool).await.len(), 4 + 3 + 3 + 4);
}

const TASKS: &str =
    "CREATE TABLE tasks (owner text, id text, a text, n serial, UNIQUE (owner, id))";

async fn captured(statements: &[&str]) -> (PgPool, PostgresDatabase) {
    let pool = postgres_with(statements).await;
    let builder = PostgresDatabase::builder().table("tasks").capture();
    let database = builder.pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    (pool, database)
}

#[tokio::test]
async fn an_application_sees_nothing_of_the_marks() {
    let (pool, _database) = captured(&[TASKS]).await;
    let mut connection = pool.acquire().await.unwrap();
    let insert = "INSERT INTO tasks (owner, id) VALUES ('ada', 't1'), ('ada', 't2') RETURNING n";
    let numbers: Vec<i32> = sqlx::query_scalar(insert).fetch_all(&mut *connection).await.unwrap();
    let last: i64 =
        sqlx::query_scalar("SELECT lastval()").fetch_one(&mut *connection).await.unwrap();
    assert_eq!((numbers, last), (vec![1, 2], 2));
    let done = sqlx::query("UPDATE tasks SET owner = 'bob'").execute(&mut *connection).await;
    assert_eq!(done.unwrap().rows_affected(), 2);
    assert_eq!(all_marks(&pool).await.len(), 4);

    // An invalid name is no object.
    let long = "x".repeat(1_025);
    for (owner, id) in [
        (None, Some("t1")),
        (Some("ada"), None),
        (Some(""), Some("t1")),
        (Some("ada"), Some("")),
        (Some(&*long), Some("t1")),
        (Some("ada"), Some(&*long)),
        // Characters, not bytes.
        (Some(&*"é".repeat(513)), Some("t1")),
    ] {
        let insert = sqlx::query("INSERT INTO tasks (owner, id) VALUES ($1, $2)");
        insert.bind(owner).bind(id).execute(&pool).await.unwrap();
    }
    for sql in ["UPDATE tasks SET a = 'x' WHERE owner IS DISTINCT FROM 'bob'", "TRUNCATE tasks"] {
        run(&mut connection, sql.to_owned()).await;
    }
    assert_eq!(all_marks(&pool).await, ["tasks/bob/t1", "tasks/bob/t2"]);
    let longest = "x".repeat(1_024);
    let insert = sqlx::query("INSERT INTO tasks (owner, id) VALUES ($1, $1)");
    insert.bind(&longest).execute(&pool).await.unwrap();
    assert_eq!(all_marks(&pool).await.len(), 1);
}

#[tokio::test]
async fn who_may_write_the_table_needs_no_right_to_the_marks_and_gets_none() {
    let role = format!("app_{}", std::process::id());
    let (pool, _database) = captured(&[
        TASKS,
        "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE tasks FORCE ROW LEVEL SECURITY",
        "CREATE POLICY own ON tasks USING (owner = current_setting('app.me', true))",
        &format!("DROP ROLE IF EXISTS {role}"),
        &format!("CREATE ROLE {role}"),
        &format!("GRANT ALL ON tasks TO {role}"),
        &format!("GRANT ALL ON SEQUENCE tasks_n_seq TO {role}"),
    ])
    .await;
    let mut connection = pool.acquire().await.unwrap();
    let database: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&pool).await.unwrap();
    let grant = format!("GRANT CREATE, TEMPORARY ON DATABASE {database} TO {role}");
    run(&mut connection, grant).await;
    run(&mut connection, "GRANT USAGE, CREATE ON SCHEMA public TO ".to_owned() + &role).await;

    // Everything that the function could mistake for something else.
    run(&mut connection, format!("SET ROLE {role}")).await;
    for schema in ["evil", "pg_temp"] {
        if schema == "evil" {
            run(&mut connection, "CREATE SCHEMA evil".to_owned()).await;
        }
        let traps = format!(
            "CREATE FUNCTION {schema}.trap(text) RETURNS int LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'as %', current_user; END $$; \
             CREATE FUNCTION {schema}.octet_length(text) RETURNS int LANGUAGE sql AS $$ SELECT {schema}.trap($1) $$; \
             CREATE FUNCTION {schema}.pg_current_xact_id() RETURNS xid8 LANGUAGE sql AS \
             $$ SELECT CAST(CAST({schema}.trap('') AS text) AS xid8) $$; \
             CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS \
             $$ SELECT to_timestamp({schema}.trap('')) $$; \
             CREATE FUNCTION {schema}.equals(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT {schema}.trap($1) = 1 $$; \
             CREATE OPERATOR {schema}.= (LEFTARG = text, RIGHTARG = text, FUNCTION = {schema}.equals); \
             CREATE DOMAIN {schema}.text AS int; CREATE DOMAIN {schema}.bigint AS int; \
             CREATE TABLE {schema}.diffs_marks (owner int); CREATE TABLE {schema}.new_rows (owner int); \
             CREATE TABLE {schema}.old_rows (owner int)"
        );
        run(&mut connection, traps).await;
    }
    run(&mut connection, "SET search_path = evil, pg_temp, public, pg_catalog".to_owned()).await;
    for sql in [
        "SET app.me = 'ada'",
        "INSERT INTO public.tasks (owner, id) VALUES ('ada', 't1'), ('ada', 't2')",
        "UPDATE public.tasks SET a = 'x' WHERE id OPERATOR(pg_catalog.=) 't1'",
        "UPDATE public.tasks SET id = 't3' WHERE id OPERATOR(pg_catalog.=) 't2'",
        "DELETE FROM public.tasks WHERE id OPERATOR(pg_catalog.=) 't1'",
        "TRUNCATE public.tasks",
    ] {
        run(&mut connection, sql.to_owned()).await;
    }
    let marked = ["tasks/ada/t1", "tasks/ada/t2", "tasks/ada/t3"];
    assert_eq!(all_marks(&pool).await, marked);

    // Its own rights are not sufficient.
    let fake = "CREATE TABLE fake (owner text, id text); CREATE TRIGGER t AFTER INSERT ON fake REFERENCING NEW TABLE \
                AS new_rows EXECUTE FUNCTION public.diffs_capture_tasks()";
    for sql in [
        fake,
        "SELECT * FROM public.diffs_marks",
        "INSERT INTO public.diffs_marks VALUES ('bob', 'tasks', 't1', 0, '1')",
        "SELECT public.diffs_capture_tasks()",
    ] {
        let error = sqlx::raw_sql(sql).execute(&mut *connection).await.unwrap_err();
        assert!(error.to_string().contains("permission denied"), "{sql}: {error}");
    }
    run(&mut connection, "RESET ROLE".to_owned()).await;
    run(
        &mut connection,
        format!("REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"),
    )
    .await;
}

#[tokio::test]
async fn no_application_waits_for_a_mark_or_for_who_takes_it() {
    let (pool, database) = captured(&[TASKS]).await;
    let impatient = "SET lock_timeout = '1ms'";
    let mut app = pool.acquire().await.unwrap();
    run(
        &mut app,
        "INSERT INTO tasks (owner, id) SELECT 'ada', n FROM generate_series(1, 9) AS n".to_owned(),
    )
    .await;

    // A sync of the owner that is removing the marks.
    let mut sync = pool.begin().await.unwrap();
    sqlx::query("INSERT INTO diffs_owners VALUES ('ada')").execute(&mut *sync).await.unwrap();
    let taken = sqlx::query("DELETE FROM diffs_marks WHERE owner = 'ada'");
    assert_eq!(taken.execute(&mut *sync).await.unwrap().rows_affected(), 9);
    for sql in [impatient, "BEGIN", "UPDATE tasks SET a = 'x'", "DELETE FROM tasks WHERE id = '1'"]
    {
        run(&mut app, sql.to_owned()).await;
    }
    // And another application, on other rows of the same owner.
    let mut other = pool.acquire().await.unwrap();
    for sql in [impatient, "INSERT INTO tasks (owner, id) VALUES ('ada', '10')"] {
        run(&mut other, sql.to_owned()).await;
    }
    sync.commit().await.unwrap();
    assert_eq!(all_marks(&pool).await, ["tasks/ada/10"]);
    run(&mut app, "COMMIT".to_owned()).await;
    assert_eq!(all_marks(&pool).await.len(), 9);

    // It does not wait for a set-up that has nothing to do, and the set-up does not wait for the
    // application.
    run(&mut app, "BEGIN".to_owned()).await;
    run(&mut app, "UPDATE tasks SET a = 'y'".to_owned()).await;
    let set_up = tokio::time::timeout(std::time::Duration::from_secs(5), database.set_up());
    set_up.await.unwrap().unwrap();
    run(&mut app, "ROLLBACK".to_owned()).await;
}

#[tokio::test]
async fn a_commit_in_two_phases_goes_as_ever_also_where_clocks_are_announced() {
    let cluster = Cluster::start_with("-c max_prepared_transactions=5");
    let pool = PgPool::connect(&cluster.new_database().await).await.unwrap();
    sqlx::query(TASKS).execute(&pool).await.unwrap();
    let builder = PostgresDatabase::builder().table("tasks").capture().announce_clocks();
    builder.pool(pool.clone()).await.unwrap().set_up().await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    for (id, end, marked) in [("1", "COMMIT", 1), ("2", "ROLLBACK", 0)] {
        let sql = format!(
            "BEGIN; INSERT INTO tasks (owner, id) VALUES ('ada', '{id}'); PREPARE TRANSACTION 'p'"
        );
        run(&mut connection, sql).await;
        assert_eq!(all_marks(&pool).await.len(), 0);
        run(&mut connection, format!("{end} PREPARED 'p'")).await;
        assert_eq!(all_marks(&pool).await.len(), marked);
    }
}

#[tokio::test]
async fn a_renamed_column_fails_no_application() {
    let (pool, _database) = captured(&[TASKS]).await;
    let mut connection = pool.acquire().await.unwrap();
    let all = [
        "INSERT INTO tasks VALUES ('ada', 't1'), ('ada', 't2')",
        "UPDATE tasks SET a = 'x'",
        "UPDATE tasks SET {} = 't3' WHERE {} = 't2'",
        "DELETE FROM tasks WHERE {} = 't1'",
        "TRUNCATE tasks",
    ];
    run(&mut connection, "ALTER TABLE tasks RENAME COLUMN id TO number".to_owned()).await;
    for sql in all {
        run(&mut connection, sql.replace("{}", "number")).await;
    }
    assert_eq!(all_marks(&pool).await, Vec::<String>::new());
    let table = Table::new("tasks").id_column("number").capture();
    let database = PostgresDatabase::builder().table(table).pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    for (sql, marked) in all.into_iter().zip([2, 2, 2, 1, 1]) {
        run(&mut connection, sql.replace("{}", "number")).await;
        assert_eq!(all_marks(&pool).await.len(), marked, "{sql}");
    }
}

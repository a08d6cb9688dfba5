//! The two steps of a rename under load: servers that know the new name run beside ones that do not, then the
//! database is renamed while they run. No device ever gets another error than one that goes away by itself,
//! nothing is lost, and all devices end equal.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::sleep;

use super::*;

/// What is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Column,
    Table,
    Both,
}

impl What {
    fn steps(self) -> Schema {
        let mut steps = Vec::new();
        if self != Self::Table {
            steps.push(Step::renamed(2, "tasks", "name", "title"));
        }
        if self != Self::Column {
            steps.push(Step::renamed_model(2, "tasks", "todos"));
        }
        Schema::new(steps).unwrap()
    }

    fn model(self, version: u64) -> &'static str {
        if version == 1 || self == Self::Column { "tasks" } else { "todos" }
    }

    fn field(self, version: u64) -> &'static str {
        if version == 1 || self == Self::Table { "name" } else { "title" }
    }

    fn rename(self) -> Vec<&'static str> {
        let all =
            ["ALTER TABLE tasks RENAME COLUMN name TO title", "ALTER TABLE tasks RENAME TO todos"];
        match self {
            Self::Column => vec![all[0]],
            Self::Table => vec![all[1]],
            Self::Both => all.to_vec(),
        }
    }
}

/// What all tasks of a test share.
struct World<D: Dialect> {
    what: What,
    old: Mobync<SqlDatabase<D>>,
    new: Mobync<SqlDatabase<D>>,
    /// The old server answers.
    is_mixed: AtomicBool,
    /// How many requests it is answering.
    at_old: AtomicUsize,
    ends: AtomicBool,
    /// How many requests were answered since the last change.
    answered: AtomicUsize,
}

impl<D: Kind> World<D> {
    async fn until_answered(&self, many: usize) {
        self.answered.store(0, Ordering::SeqCst);
        for _ in 0..6_000 {
            if self.answered.load(Ordering::SeqCst) >= many {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("no answers");
    }

    /// Sends a request until it is answered.
    async fn sync(&self, version: u64, clock: i64, diffs: Vec<Diff>) -> SyncResponse {
        for _ in 0..1_000 {
            self.at_old.fetch_add(1, Ordering::SeqCst);
            let goes_to_old = self.is_mixed.load(Ordering::SeqCst) && fastrand::bool();
            if !goes_to_old {
                self.at_old.fetch_sub(1, Ordering::SeqCst);
            }
            let server = if goes_to_old { &self.old } else { &self.new };
            let answer = sync(server, version, clock, diffs.clone()).await;
            if goes_to_old {
                self.at_old.fetch_sub(1, Ordering::SeqCst);
            }
            match answer {
                Ok(answer) => {
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    assert!(answer.refused.is_empty(), "{answer:?}");
                    return answer;
                }
                Err(error) if error.status().as_u16() == 503 => {}
                Err(Error::UnknownField { .. } | Error::UnknownModel { .. })
                    if goes_to_old && version > 1 => {}
                Err(error) => panic!("version {version}: {error:?}"),
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("no answer");
    }
}

fn now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_millis()).unwrap()
}

#[derive(Debug)]
struct Device {
    name: String,
    version: u64,
    clock: i64,
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// What it has written itself, which nobody else writes.
    own: BTreeMap<String, Value>,
}

impl Device {
    fn new(number: u64) -> Self {
        let (objects, own) = (BTreeMap::new(), BTreeMap::new());
        Self { name: format!("d{number}"), version: 1 + number % 2, clock: 0, objects, own }
    }

    async fn live<D: Kind>(mut self, world: Arc<World<D>>) -> Self {
        let mut count = 0;
        while !world.ends.load(Ordering::SeqCst) {
            count += 1;
            self.change(&world, count).await;
        }
        self
    }

    /// Changes one of its objects, and syncs.
    async fn change<D: Kind>(&mut self, world: &World<D>, count: u64) {
        let id = format!("{}-{}", self.name, fastrand::u8(..4));
        let value = Value::from(format!("{} {count}", self.name));
        let model = world.what.model(self.version);
        let data = json!({world.what.field(self.version): value});
        let mut sent = match self.own.contains_key(&id) {
            true if fastrand::u8(..8) == 0 => diff(Operation::Delete, model, &id, json!({})),
            true => diff(Operation::Update, model, &id, data),
            false => diff(Operation::Create, model, &id, data),
        };
        sent.utc_timestamp = now();
        match sent.operation {
            Operation::Delete => drop(self.own.remove(&id)),
            _ => drop(self.own.insert(id, value)),
        }
        let answer = world.sync(self.version, self.clock, vec![sent.clone()]).await;
        self.clock = answer.logical_clock;
        self.apply(world.what, &sent);
        answer.diffs.iter().for_each(|diff| self.apply(world.what, diff));
    }

    /// An older server sends older names.
    fn apply(&mut self, what: What, diff: &Diff) {
        assert!([what.model(1), what.model(self.version)].contains(&&*diff.model), "{diff:?}");
        let id: Value = serde_json::from_str(&diff.json_data).unwrap();
        let id = id["id"].as_str().unwrap().to_owned();
        let named = fields(&diff.json_data).into_iter().map(|(name, value)| {
            let is_old = name == what.field(1);
            (if is_old { what.field(self.version).to_owned() } else { name }, value)
        });
        match diff.operation {
            Operation::Create => drop(self.objects.insert(id, named.collect())),
            Operation::Update => {
                if let Some(object) = self.objects.get_mut(&id) {
                    object.extend(named);
                }
            }
            Operation::Delete => drop(self.objects.remove(&id)),
        }
    }
}

/// The application changes rows by its own SQL, by the names that the table has.
async fn application<D: Kind>(place: Arc<Place<D>>, world: Arc<World<D>>) {
    let mut tables = ["tasks", "todos"];
    while !world.ends.load(Ordering::SeqCst) {
        let id = format!("d{}-{}", fastrand::u8(..4), fastrand::u8(..4));
        let sql = format!("UPDATE {} SET n = coalesce(n, 0) + 1 WHERE id = '{id}'", tables[0]);
        let mut connection = place.pool.acquire().await.unwrap();
        if D::script(&mut connection, &sql).await.is_err() {
            tables.swap(0, 1);
        }
        drop(connection);
        sleep(Duration::from_millis(3)).await;
    }
}

async fn renames<D: Kind>(what: What, captured: bool) {
    let place = Arc::new(Place::<D>::new().await);
    place
        .run(
            "CREATE TABLE tasks (owner text NOT NULL, id text NOT NULL, name text, n bigint, \
             PRIMARY KEY (owner, id))",
        )
        .await;
    let table = |name: &str| if captured { Table::new(name).capture() } else { Table::new(name) };
    let world = Arc::new(World {
        what,
        old: place.server(Builder::default().table(table("tasks"))).await,
        new: place
            .server(Builder::default().schema(what.steps()).table(table(what.model(2))))
            .await,
        is_mixed: AtomicBool::new(true),
        at_old: AtomicUsize::new(0),
        ends: AtomicBool::new(false),
        answered: AtomicUsize::new(0),
    });
    let devices = (0..4).map(|number| tokio::spawn(Device::new(number).live(Arc::clone(&world))));
    let devices: Vec<_> = devices.collect();
    let writes =
        captured.then(|| tokio::spawn(application(Arc::clone(&place), Arc::clone(&world))));
    world.until_answered(60).await;
    world.is_mixed.store(false, Ordering::SeqCst);
    while world.at_old.load(Ordering::SeqCst) > 0 {
        sleep(Duration::from_millis(1)).await;
    }

    let newer = "SELECT model || json_data FROM diffs WHERE model = 'todos' OR json_data LIKE '%\"title\"%'";
    assert_eq!(place.texts(newer).await, Vec::<String>::new(), "until now the log has older names");
    for sql in what.rename() {
        place.run(sql).await;
        world.until_answered(20).await;
    }
    world.until_answered(60).await;
    assert!(!place.texts(newer).await.is_empty(), "from now on the log has the newest names");
    world.ends.store(true, Ordering::SeqCst);
    if let Some(writes) = writes {
        writes.await.unwrap();
    }
    let mut ended = Vec::new();
    for device in devices {
        ended.push(device.await.unwrap());
    }

    let rows = format!(
        "SELECT id || ' ' || {} || ' ' || coalesce(n, 0) FROM {} ORDER BY 1",
        what.field(2),
        what.model(2)
    );
    // The rows with all marks.
    world.sync(2, 0, Vec::new()).await;
    let rows = place.texts(&rows).await;
    assert!(!rows.is_empty());
    for device in &mut ended {
        let answer = world.sync(device.version, device.clock, Vec::new()).await;
        answer.diffs.iter().for_each(|diff| device.apply(what, diff));
        let field = what.field(device.version);
        let held = device.objects.iter().map(|(id, fields)| {
            let n = fields.get("n").and_then(Value::as_i64).unwrap_or_default();
            format!("{id} {} {n}", fields[field].as_str().unwrap())
        });
        assert_eq!(held.collect::<Vec<_>>(), rows, "{} of {what:?}", device.name);
        for (id, value) in &device.own {
            assert_eq!(device.objects[id].get(field), Some(value), "nothing is lost");
        }
        let new = all(&world.new, device.version).await;
        let new: BTreeMap<_, _> = new.into_iter().map(|((_, id), fields)| (id, fields)).collect();
        assert_eq!(new.keys().collect::<Vec<_>>(), device.objects.keys().collect::<Vec<_>>());
    }
}

macro_rules! live {
    ($($name:ident: $what:ident $captured:literal;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                renames::<Sqlite>(What::$what, $captured).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                renames::<Postgres>(What::$what, $captured).await;
            }
        }
    )*};
}

live! {
    a_column: Column false;
    a_table: Table false;
    both: Both false;
    a_captured_column: Column true;
    a_captured_table: Table true;
}

/// What is missing under all names fails as it does without a schema, and so do other columns.
async fn what_is_gone_fails<D: Kind>() {
    let place = Place::<D>::new().await;
    place
        .run(
            "CREATE TABLE tasks (owner text NOT NULL, id text NOT NULL, name text, n bigint, \
             PRIMARY KEY (owner, id))",
        )
        .await;
    let builder = Builder::<D>::default().schema(What::Both.steps()).table("todos");
    let server = place.server(builder).await;
    for (ill, well) in [
        ("ALTER TABLE tasks RENAME TO gone", "ALTER TABLE gone RENAME TO tasks"),
        (
            "ALTER TABLE tasks RENAME COLUMN name TO gone",
            "ALTER TABLE tasks RENAME COLUMN gone TO name",
        ),
        ("ALTER TABLE tasks RENAME COLUMN n TO gone", "ALTER TABLE tasks RENAME COLUMN gone TO n"),
    ] {
        let clock = server.clock(&ada()).await.unwrap();
        let id = format!("t{clock}");
        let sent = diff(Operation::Create, "todos", &id, json!({"title": "x", "n": 1}));
        place.run(ill).await;
        for _ in 0..3 {
            let error = sync(&server, 2, clock, vec![sent.clone()]).await.unwrap_err();
            assert_eq!(error.status().as_u16(), 500, "{ill}: {error:?}");
        }
        place.run(well).await;
        let answer = sync(&server, 2, clock, vec![sent]).await.unwrap();
        assert!(answer.refused.is_empty(), "{well}: {answer:?}");
    }
}

#[tokio::test]
async fn what_is_gone_fails_on_sqlite() {
    what_is_gone_fails::<Sqlite>().await;
}

#[tokio::test]
async fn what_is_gone_fails_on_postgres() {
    what_is_gone_fails::<Postgres>().await;
}

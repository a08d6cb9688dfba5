//! Three server processes on one PostgreSQL, killed at random, while PostgreSQL itself is restarted and
//! crashes: every acknowledged sync is there, nothing is there twice, and all devices converge.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "shared with tests that use more of it")]
#[path = "../../../mobync/tests/support/postgres.rs"]
mod postgres;

use std::{
    collections::{BTreeMap, HashSet},
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use conformance::http::{Connection, Request};
use serde_json::{Map, Value, json};

const FRAMEWORKS: [&str; 3] = ["axum", "actix", "rocket"];
const OWNERS: [&str; 2] = ["ada", "bob"];
const DEVICES_OF_EACH: usize = 4;
const UNDER_LOAD: Duration = Duration::from_secs(20);

/// A random number below `end`: the hasher of every new map has keys of its own.
fn random(end: usize) -> usize {
    use std::hash::{BuildHasher, RandomState};
    usize::try_from(RandomState::new().hash_one(0) % end as u64).unwrap()
}

/// A server process; `None` while it is dead.
struct Process {
    framework: &'static str,
    url: String,
    running: Mutex<Option<(Child, String)>>,
}

impl Process {
    /// Starts it, if the database can be reached; tells whether it runs.
    fn start(&self) -> bool {
        let mut child = Command::new(env!("CARGO_BIN_EXE_conformance"))
            .args(["--serve", self.framework, "--database", "postgres", "--at", &self.url])
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut banner = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut banner).unwrap();
        let address = banner.split_once("http://").and_then(|(_, rest)| rest.split_once("/sync"));
        let Some((address, _)) = address else {
            let _ = child.kill();
            child.wait().unwrap();
            return false;
        };
        *self.running.lock().unwrap() = Some((child, address.to_owned()));
        true
    }

    fn kill(&self) {
        if let Some((mut child, _)) = self.running.lock().unwrap().take() {
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
        }
    }

    fn address(&self) -> Option<String> {
        self.running.lock().unwrap().as_ref().map(|(_, address)| address.clone())
    }
}

/// A client: its tasks, what is pending, and what was acknowledged.
#[derive(Default)]
struct Device {
    name: String,
    owner: &'static str,
    clock: i64,
    made: usize,
    pending: Vec<Value>,
    acknowledged: Vec<String>,
    tasks: BTreeMap<String, Map<String, Value>>,
}

impl Device {
    /// Makes, changes or removes one of a few tasks.
    fn change(&mut self) {
        let id = format!("t{}", random(8));
        self.made += 1;
        let name = json!(format!("{} {}", self.name, self.made));
        let (operation, data) = match self.tasks.contains_key(&id) {
            false => ("create", json!({"id": id, "name": name, "done": false})),
            true if random(5) == 0 => ("delete", json!({"id": id})),
            true if random(2) == 0 => ("update", json!({"id": id, "name": name})),
            true => ("update", json!({"id": id, "done": random(2) == 0})),
        };
        let millis = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        self.pending.push(json!({
            "id": format!("{}-{}", self.name, self.made), "owner": "", "logical_clock": self.clock,
            "utc_timestamp": u64::try_from(millis).unwrap() + random(2_000) as u64,
            "type": operation, "model": "tasks", "json_data": data.to_string(),
        }));
        self.apply(operation, data);
    }

    fn apply(&mut self, operation: &str, data: Value) {
        let Value::Object(mut fields) = data else { panic!("{data}") };
        let id = fields.remove("id").unwrap().as_str().unwrap().to_owned();
        match (operation, self.tasks.get_mut(&id)) {
            ("create", _) => drop(self.tasks.insert(id, fields)),
            ("update", Some(task)) => task.extend(fields),
            ("delete", _) => drop(self.tasks.remove(&id)),
            _ => {}
        }
    }

    /// Sends what is pending to that server; whether it was answered.
    fn sync(&mut self, address: &str) -> bool {
        let body =
            json!({"auth_token": self.owner, "logical_clock": self.clock, "diffs": self.pending});
        let request = Request::post(body.to_string());
        let Ok(answer) = Connection::open(address).and_then(|mut it| it.send(&request)) else {
            return false;
        };
        let json = answer.json();
        match answer.status {
            200 => {}
            500 | 503 => return false,
            status => panic!("{status}: {json}"),
        }
        for diff in json["diffs"].as_array().unwrap() {
            let data = serde_json::from_str(diff["json_data"].as_str().unwrap()).unwrap();
            self.apply(diff["type"].as_str().unwrap(), data);
        }
        self.clock = json["logical_clock"].as_i64().unwrap();
        let sent = self.pending.drain(..);
        self.acknowledged.extend(sent.map(|diff| diff["id"].as_str().unwrap().to_owned()));
        true
    }

    /// Syncs with any server until it is answered.
    fn sync_somewhere(&mut self, processes: &[Process]) {
        let patience = Instant::now() + Duration::from_mins(1);
        loop {
            let address = processes[random(processes.len())].address();
            if address.is_some_and(|address| self.sync(&address)) {
                return;
            }
            assert!(Instant::now() < patience, "no server answers");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn what_was_acknowledged_survives_kills_of_servers_and_crashes_of_postgresql() {
    let mut cluster = postgres::Cluster::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = runtime.block_on(cluster.new_database());
    let processes = FRAMEWORKS.map(|framework| Process {
        framework,
        url: url.clone(),
        running: Mutex::new(None),
    });
    assert!(processes.iter().all(Process::start));

    let over = AtomicBool::new(false);
    let syncs = AtomicUsize::new(0);
    let (mut kills, mut crashes) = (0, 0);
    let mut devices: Vec<Device> = thread::scope(|scope| {
        let (processes, over, syncs) = (&processes, &over, &syncs);
        let threads: Vec<_> = OWNERS
            .iter()
            .flat_map(|owner| (0..DEVICES_OF_EACH).map(move |number| (owner, number)))
            .map(|(owner, number)| {
                scope.spawn(move || {
                    let name = format!("{owner}-{number}");
                    let mut device = Device { name, owner, ..Device::default() };
                    while !over.load(Ordering::SeqCst) {
                        (0..random(4)).for_each(|_| device.change());
                        let address = processes[random(processes.len())].address();
                        if address.is_some_and(|address| device.sync(&address)) {
                            syncs.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    device
                })
            })
            .collect();

        let end = Instant::now() + UNDER_LOAD;
        for round in 1.. {
            if Instant::now() > end {
                break;
            }
            thread::sleep(Duration::from_millis(300 + random(500) as u64));
            let victim = &processes[random(processes.len())];
            victim.kill();
            kills += 1;
            if round % 5 == 0 {
                cluster.stop(if round % 2 == 0 { "fast" } else { "immediate" });
                crashes += 1;
                thread::sleep(Duration::from_millis(200));
                cluster.resume();
            }
            for dead in processes.iter().filter(|process| process.address().is_none()) {
                while !dead.start() {
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
        over.store(true, Ordering::SeqCst);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    println!("{} syncs, {kills} kills, {crashes} restarts of PostgreSQL", syncs.into_inner());
    assert!(kills >= 10 && crashes >= 2);

    // Twice: in the second round everybody hears of the last ones of the first.
    for _ in 0..2 {
        for device in &mut devices {
            device.sync_somewhere(&processes);
        }
    }
    for owner in OWNERS {
        let mut fresh = Device { owner, ..Device::default() };
        fresh.sync_somewhere(&processes);
        let of_owner: Vec<&Device> = devices.iter().filter(|it| it.owner == owner).collect();
        for device in &of_owner {
            assert_eq!(device.tasks, fresh.tasks, "{}", device.name);
        }

        let log: Vec<(String, i64)> = runtime.block_on(async {
            let pool = sqlx::PgPool::connect(&url).await.unwrap();
            let log = sqlx::query_as("SELECT id, logical_clock FROM diffs WHERE owner = $1");
            log.bind(owner).fetch_all(&pool).await.unwrap()
        });
        let ids: HashSet<&str> = log.iter().map(|(id, _)| &**id).collect();
        assert_eq!(ids.len(), log.len(), "nothing is there twice");
        for device in &of_owner {
            assert!(device.acknowledged.iter().all(|id| ids.contains(&**id)), "{}", device.name);
            assert_eq!(device.acknowledged.len(), device.made);
        }
        assert_eq!(ids.len(), of_owner.iter().map(|device| device.made).sum::<usize>());
        let ticks: HashSet<i64> = log.iter().map(|(_, tick)| *tick).collect();
        assert_eq!(i64::try_from(ticks.len()).unwrap(), fresh.clock, "no tick is left out");
    }
    for process in &processes {
        process.kill();
    }
}

//! *Nothing lost* and *Exactly once* where a device's process is killed at any moment: what it was told is
//! kept is kept, and nothing is twice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, Write},
    path::Path,
};

use mobync::{
    Operation, Record, SyncRequest, SyncResponse,
    client::{Device, SqliteStore, Taken},
    memory::MemoryDatabase,
};
use serde_json::Value;
use support::{Directory, Server, ada, child::start};

/// Tells the child's process which file to work on.
const FILE: &str = "MOBYNC_KILLED_FILE";
const KILLS: u64 = 40;
const TEST: &str = "what_a_killed_process_has_recorded_arrives_exactly_once";

type Laptop = Device<SqliteStore>;

async fn open(file: &Path) -> Laptop {
    Device::new(SqliteStore::open(file).await.unwrap())
}

/// Makes one object after the other, counts them in a field, and syncs over stdin and stdout.
async fn work_until_killed(device: Laptop) {
    let mut input = std::io::stdin().lock().lines();
    loop {
        let made = device.all("numbers").await.unwrap().len();
        device.create("numbers", Record::new(format!("{made:06}"))).await.unwrap();
        println!("made {made}");
        let count = Record::new("count").with("made", made);
        match device.get("counts", "count").await.unwrap() {
            None => device.create("counts", count).await.unwrap(),
            Some(_) => device.update("counts", count).await.unwrap(),
        }
        println!("counted {made}");
        if made % 3 == 2 {
            let request = device.request(5).await.unwrap();
            println!("request {}", serde_json::to_string(request.body()).unwrap());
            let answer: SyncResponse =
                serde_json::from_str(&input.next().unwrap().unwrap()).unwrap();
            assert!(matches!(device.take(&request, &answer).await.unwrap(), Taken::Applied(_)));
        }
    }
}

async fn apply(server: &Server<MemoryDatabase>, request: SyncRequest) -> SyncResponse {
    server.mobync.apply(&ada(), request.logical_clock, request.diffs).await.unwrap()
}

/// What a child has said that it has done.
#[derive(Default)]
struct Told {
    made: Option<usize>,
    counted: Option<usize>,
}

/// Listens to a child for so many lines, and kills it in the middle of what it does then.
async fn listen(file: &Path, lines: u64, server: &Server<MemoryDatabase>, told: &mut Told) {
    let (mut child, mut output) = start(TEST, FILE, file);
    let mut heard = 0;
    let mut line = String::new();
    while heard < lines {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the child goes on until it is killed");
        // The first line of a test has no end of its own.
        let Some(at) = ["made ", "counted ", "request "].iter().find_map(|word| line.find(word))
        else {
            continue;
        };
        heard += 1;
        let (word, rest) = line[at..].trim_end().split_once(' ').unwrap();
        match word {
            "made" => told.made = Some(rest.parse().unwrap()),
            "counted" => told.counted = Some(rest.parse().unwrap()),
            _ => {
                let request = SyncRequest::from_slice(rest.as_bytes()).unwrap();
                let answer = apply(server, request).await;
                let answer = serde_json::to_string(&answer).unwrap();
                // The last answer is lost with the process, at times half-way through its pipe.
                let _ = writeln!(child.stdin.as_mut().unwrap(), "{answer}");
            }
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn what_a_killed_process_has_recorded_arrives_exactly_once() {
    if let Some(file) = env::var_os(FILE) {
        return work_until_killed(open(Path::new(&file)).await).await;
    }
    let directory = Directory::new();
    let file = directory.file();
    let server = Server::new(MemoryDatabase::new());
    let mut told = Told::default();
    for kill in 0..KILLS {
        // Now behind one step, now behind another.
        listen(&file, 1 + kill * 7 % 11, &server, &mut told).await;
        let device = open(&file).await;
        let made = device.all("numbers").await.unwrap().len();
        assert!(made > told.made.unwrap(), "kill {kill}: {made} of more than {:?}", told.made);
    }

    let device = open(&file).await;
    while !device.pending().await.unwrap().is_empty() {
        let request = device.request(100).await.unwrap();
        let answer = apply(&server, request.body().clone()).await;
        device.take(&request, &answer).await.unwrap();
    }
    let rows = |model| server.mobync.database().records(&ada(), model);
    assert_eq!(rows("numbers"), device.all("numbers").await.unwrap());
    assert_eq!(rows("counts"), device.all("counts").await.unwrap());
    let ids: BTreeSet<String> = rows("numbers").iter().map(|row| row.id().to_owned()).collect();
    let all: BTreeSet<String> = (0..ids.len()).map(|number| format!("{number:06}")).collect();
    assert_eq!(ids, all);
    let counted = rows("counts")[0].get("made").and_then(Value::as_u64).unwrap();
    assert!(usize::try_from(counted).unwrap() >= told.counted.unwrap());

    // Every object was made once, and no diff is in the log twice.
    let log = server.log().await;
    let diffs: BTreeSet<&str> = log.iter().map(|entry| &*entry.id).collect();
    let creates = log.iter().filter(|entry| entry.operation == Operation::Create);
    assert_eq!((diffs.len(), creates.count()), (log.len(), all.len() + 1));
}

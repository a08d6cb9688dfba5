//! A process that is killed between the answers of several spaces.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, Write},
    path::Path,
};

use mobync::{
    Owner, Record, SyncResponse,
    client::{Device, SqliteStore, Syncs},
};
use serde_json::{Value, json};

use super::{
    support::{Directory, child::start},
    town::Town,
};

/// Tells the child's process which file to work on.
const FILE: &str = "MOBYNC_KILLED_SPACES";
const TEST: &str = "killed::what_was_made_in_each_space_arrives_there_exactly_once";
const SPACES: [&str; 4] = ["", "a", "b", "c"];
const KILLS: u64 = 30;

async fn open(file: &Path) -> Device<SqliteStore> {
    let device = Device::new(SqliteStore::open(file).await.unwrap());
    for space in &SPACES[1..] {
        device.join(space).await.unwrap();
    }
    device
}

/// Makes an object in each space, and syncs all of them over stdin and stdout, one answer after the other.
async fn work_until_killed(own: Device<SqliteStore>) {
    let mut input = std::io::stdin().lock().lines();
    loop {
        for space in SPACES {
            let device = own.space(space);
            let made = device.all("tasks").await.unwrap().len();
            device.create("tasks", Record::new(format!("{made:06}"))).await.unwrap();
            println!("made {space}");
        }
        let mut requests = Vec::new();
        for space in SPACES {
            requests.push(own.space(space).request(5).await.unwrap());
        }
        println!("syncs {}", serde_json::to_string(&Syncs::of(&requests)).unwrap());
        let answers: Vec<Value> = serde_json::from_str(&input.next().unwrap().unwrap()).unwrap();
        for (request, answer) in requests.iter().zip(answers) {
            let answer: SyncResponse = serde_json::from_value(answer).unwrap();
            own.space(request.space().unwrap_or("")).take(request, &answer).await.unwrap();
            println!("took {:?}", request.space());
        }
    }
}

fn owner(space: &str) -> Owner {
    Owner::new(if space.is_empty() { "ada".to_owned() } else { format!("space {space}") }).unwrap()
}

async fn answers(town: &Town, syncs: &Value) -> Vec<Value> {
    let mut answers = Vec::new();
    for member in syncs["syncs"].as_array().unwrap() {
        let request = mobync::SyncRequest::from_slice(member.to_string().as_bytes()).unwrap();
        let owner = owner(member["space"].as_str().unwrap_or(""));
        answers.push(json!(town.mobync.answer(&owner, &request).await.unwrap()));
    }
    answers
}

/// Listens to a child for so many lines, and kills it in the middle of what it does then.
async fn listen(file: &Path, lines: u64, town: &Town) -> u64 {
    let (mut child, mut output) = start(TEST, FILE, file);
    let (mut heard, mut taken) = (0, 0);
    let mut line = String::new();
    while heard < lines {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the child goes on until it is killed");
        let Some(at) = ["made", "syncs ", "took "].iter().find_map(|word| line.find(word)) else {
            continue;
        };
        heard += 1;
        let said = line[at..].trim_end();
        taken = if said.starts_with("took") { taken + 1 } else { 0 };
        if let Some(body) = said.strip_prefix("syncs ") {
            let answers = answers(town, &serde_json::from_str(body).unwrap()).await;
            // The last answer is lost with the process.
            let _ = writeln!(child.stdin.as_mut().unwrap(), "{}", json!(answers));
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    taken
}

#[tokio::test]
async fn what_was_made_in_each_space_arrives_there_exactly_once() {
    if let Some(file) = env::var_os(FILE) {
        return work_until_killed(open(Path::new(&file)).await).await;
    }
    let directory = Directory::new();
    let file = directory.file();
    let town = Town::new();
    let mut between = 0;
    for kill in 0..KILLS {
        let taken = listen(&file, 1 + kill * 7 % 23, &town).await;
        between += u64::from((1..4).contains(&taken));
    }
    assert!(between >= 3, "killed between two answers {between} times");

    let own = open(&file).await;
    for space in SPACES {
        let device = own.space(space);
        while device.has_pending().await.unwrap() {
            let request = device.request(100).await.unwrap();
            let answer = town.mobync.answer(&owner(space), request.body()).await.unwrap();
            device.take(&request, &answer).await.unwrap();
        }
        let rows = town.tasks(owner(space).as_str());
        assert_eq!(rows, device.all("tasks").await.unwrap(), "{space}");
        let log = town.mobync.apply(&owner(space), 0, Vec::new()).await.unwrap().diffs;
        let ids: BTreeSet<&str> = log.iter().map(|diff| &*diff.id).collect();
        assert_eq!((ids.len(), rows.len()), (log.len(), log.len()), "{space}");
    }
}

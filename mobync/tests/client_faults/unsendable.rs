//! Changes that cannot be sent, among others that can.

use fastrand::Rng;
use mobync::{
    Access, Change, Diff, Operation, Record,
    client::{
        Device, DeviceError, LocalStore, LocalUnit, MemoryStore, Object, Pending, SqliteStore,
        SyncFailure,
    },
};
use serde_json::{Value, json};

use super::{
    support::Directory,
    way::{Way, add, device, reply},
};

fn nested(levels: usize) -> Value {
    (0..levels).fold(
        json!(1),
        |inner, level| {
            if level % 2 == 0 { json!([inner]) } else { json!({"a": inner}) }
        },
    )
}

/// What no server takes is an error where it is made, and nothing is changed.
#[tokio::test]
async fn what_no_server_takes_is_never_recorded() {
    let device = device(&["there"]).await;
    let before = device.pending().await.unwrap();
    let long = "é".repeat(513);
    let names = ["", "\0", "a\0b", &*long];
    let mut changes = Vec::new();
    for name in names {
        changes.push(Change::create("tasks", Record::new(name)));
        changes.push(Change::create(name, Record::new("new")));
    }
    let values = [
        json!(u64::MAX),
        json!(1_u64 << 63),
        json!({"deep": [1, {"er": u64::MAX}]}),
        nested(127),
        nested(500),
        nested(1000),
    ];
    for value in values {
        changes.push(Change::create("tasks", Record::new("new").with("name", value.clone())));
        changes.push(Change::update("tasks", Record::new("there").with("name", value)));
    }
    for change in changes {
        let what = format!("{} {:.20}", change.model(), change.id());
        // Good ones that are made with it are not made either.
        let good = Change::create("tasks", Record::new("good"));
        let failure = device.record([good, change]).await.unwrap_err();
        assert!(matches!(failure, DeviceError::InvalidChange(_)), "{what}: {failure}");
    }
    let device = device.most_change_bytes(500);
    for bytes in [500, 501, 5000, 500_000] {
        let essay = Record::new("there").with("name", "x".repeat(bytes));
        let failure = device.update("tasks", essay).await.unwrap_err();
        assert!(matches!(failure, DeviceError::ChangeTooLarge { most: 500, .. }), "{failure}");
    }
    assert_eq!(device.pending().await.unwrap(), before);
    assert_eq!(device.all("tasks").await.unwrap().len(), 1);
    // What is just small enough is taken.
    let longest = "é".repeat(512);
    device.create(&*longest, Record::new(&*longest).with("name", nested(20))).await.unwrap_err();
    let device = device.most_change_bytes(10_000);
    device.create(&*longest, Record::new(&*longest).with("name", i64::MAX)).await.unwrap();
    device.update("tasks", Record::new("there").with("name", nested(100))).await.unwrap();
}

/// What a store may have in it from before somebody looked.
fn bad(rng: &mut Rng, object: &str) -> Diff {
    let json_data = [
        format!(r#"{{"id":"{object}","name":99999999999999999999}}"#),
        format!(r#"{{"id":"{object}","name":"\ud83d"}}"#),
        format!(r#"{{"id":"{object}","name":"a\udc00b"}}"#),
        format!(r#"{{"id":"{object}","name":NaN}}"#),
        format!(r#"{{"id":"{object}","name":1e999}}"#),
        format!(r#"{{"id":"{object}","name":1,"name":2}}"#),
        format!(r#"{{"id":"{object}","name":{}}}"#, nested(200)),
        format!(r#"{{"id":"{object}\u0000"}}"#),
        format!(r#"{{"id":"{object}{}"}}"#, "x".repeat(1024)),
        r#"{"name":"nobody's"}"#.to_owned(),
        "[]".to_owned(),
        String::new(),
    ];
    let mut diff = Diff {
        id: uuid::Uuid::now_v7().to_string(),
        owner: String::new(),
        logical_clock: 0,
        utc_timestamp: 1,
        operation: [Operation::Create, Operation::Update][rng.usize(..2)],
        model: "tasks".to_owned(),
        json_data: json_data[rng.usize(..json_data.len())].clone(),
    };
    match rng.u8(..8) {
        0 => diff.model.clear(),
        1 => diff.utc_timestamp = -1,
        2 => diff.id.push_str(&"x".repeat(1025)),
        3 => diff.id.push('\0'),
        _ => {}
    }
    diff
}

async fn go_on_without_the_bad_ones(store: impl LocalStore + Clone, rng: &mut Rng) {
    let way = Way::new();
    let device = Device::new(store.clone());
    let mut bad_ones = Vec::new();
    let mut good = Vec::new();
    for number in 0..rng.usize(1..8) {
        if rng.bool() {
            let object = format!("bad {number}");
            let diff = bad(rng, &object);
            let mut unit = store.begin(Access::Write).await.unwrap();
            let mut state = unit.state().await.unwrap();
            let seq = state.next_seq;
            state.next_seq += 1;
            unit.set_state(&state).await.unwrap();
            let current = Some(Record::new(&*object));
            let shown = Object { current, ..Object::default() };
            unit.set_object("tasks", &object, &shown).await.unwrap();
            bad_ones.push(diff.id.clone());
            unit.set_pending(&Pending { seq, sent: rng.bool(), diff }).await.unwrap();
            unit.commit().await.unwrap();
        } else {
            let id = format!("good {number}");
            add(&device, &id).await;
            good.push(id);
        }
    }
    // Others have made something meanwhile.
    let other = super::way::device(&["theirs"]).await;
    way.client(&other).sync().await.unwrap();
    let changes = way.client(&device).most_diffs(rng.usize(1..4)).sync().await.unwrap();
    let refused = device.refused().await.unwrap();
    assert_eq!(changes.refused, refused);
    let ids: Vec<String> = refused.iter().map(|refused| refused.diff.id.clone()).collect();
    assert_eq!(ids, bad_ones, "in the order made");
    assert!(refused.iter().all(|refused| refused.code == "invalid_diff"), "{refused:?}");
    assert!(refused.iter().all(|refused| refused.message.ends_with('.')), "{refused:?}");
    assert!(device.pending().await.unwrap().is_empty());
    assert!(device.get("tasks", "theirs").await.unwrap().is_some());
    good.push("theirs".to_owned());
    assert_eq!(way.rows("ada"), good);
    for id in ids {
        device.dismiss(&id).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_a_store_and_cannot_be_sent_is_set_aside_and_the_rest_goes_on() {
    let directory = Directory::new();
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        if seed % 10 == 0 {
            let store = SqliteStore::open(directory.file()).await.unwrap();
            go_on_without_the_bad_ones(store, &mut rng).await;
        } else {
            go_on_without_the_bad_ones(MemoryStore::new(), &mut rng).await;
        }
    }
}

/// A server that takes little, and a device with more than that among what it has.
#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_the_server_is_set_aside_and_the_rest_goes_on() {
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let way = Way { max_body_bytes: rng.usize(1000..3000), ..Way::new() };
        let device = device(&[]).await;
        let (mut small, mut large) = (Vec::new(), Vec::<String>::new());
        for number in 0..rng.usize(1..20) {
            let is_large = rng.u8(..4) == 0;
            let name = "x".repeat(if is_large { 4000 } else { rng.usize(..200) });
            let id = format!("{number:02}");
            device.create("tasks", Record::new(&*id).with("name", name)).await.unwrap();
            if is_large { &mut large } else { &mut small }.push(id.clone());
            // What is built on it falls with it.
            if rng.bool() {
                device.update("tasks", Record::new(&*id).with("name", "y")).await.unwrap();
            }
        }
        let other = super::way::device(&["theirs"]).await;
        way.client(&other).sync().await.unwrap();
        let client = way.client(&device).most_diffs(rng.usize(1..10));
        client.sync().await.unwrap();
        small.push("theirs".to_owned());
        assert_eq!(way.rows("ada"), small, "seed {seed}");
        let shown: Vec<String> =
            device.all("tasks").await.unwrap().iter().map(|task| task.id().to_owned()).collect();
        assert_eq!(shown, small, "seed {seed}");
        let refused = device.refused().await.unwrap();
        let creates = refused.iter().filter(|refused| refused.diff.operation == Operation::Create);
        assert_eq!(creates.count(), large.len(), "seed {seed}");
        assert!(refused.iter().all(|refused| refused.code == "payload_too_large"));
        let order: Vec<_> = refused.iter().map(|refused| refused.diff.id.clone()).collect();
        assert!(order.is_sorted(), "in the order made");
    }
}

/// A gateway that takes nothing at all is not the changes' fault.
#[tokio::test(start_paused = true)]
async fn whoever_finds_even_nothing_too_large_takes_no_change_away() {
    let ours = r#"{"success":false,"message":"Too large.","code":"payload_too_large"}"#;
    for body in [ours, "<html>413 Request Entity Too Large</html>", ""] {
        let way = Way::new();
        let device = device(&["a", "b", "c"]).await;
        for _ in 0..8 {
            way.fate(Ok(reply(413, body)));
        }
        let failure = way.client(&device).sync().await.unwrap_err();
        assert!(matches!(failure, SyncFailure::TooLarge { .. }), "{failure}");
        assert_eq!(device.pending().await.unwrap().len(), 3);
        way.fates.lock().unwrap().clear();
        way.client(&device).sync().await.unwrap();
        assert_eq!(way.rows("ada"), ["a", "b", "c"]);
    }
}

/// A server that is stricter than the protocol says which diff it does not take for one.
#[tokio::test(start_paused = true)]
async fn a_diff_that_the_server_takes_for_none_is_set_aside() {
    for bad in 0..4 {
        let way = Way::new();
        let device = device(&[]).await;
        let client = way.client(&device);
        client.sync().await.unwrap();
        for task in ["a", "b", "c", "d"] {
            super::way::add(&device, task).await;
        }
        let id = device.pending().await.unwrap()[bad].diff.id.clone();
        let body =
            json!({"success": false, "message": "Not so.", "code": "invalid_diff", "diff_id": id});
        way.fate(Ok(reply(400, body.to_string())));
        client.sync().await.unwrap();
        let refused = device.refused().await.unwrap();
        assert_eq!((&refused[0].diff.id, &*refused[0].message), (&id, "Not so."));
        assert_eq!((way.rows("ada").len(), device.all("tasks").await.unwrap().len()), (3, 3));
    }
}

/// Whatever is set aside of whatever was made, device and server are equal then.
#[tokio::test(start_paused = true)]
async fn behind_what_was_set_aside_device_and_server_are_equal() {
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let way = Way::new();
        let device = device(&[]).await;
        let client = way.client(&device).most_diffs(rng.usize(1..5));
        for _ in 0..rng.usize(1..4) {
            for _ in 0..rng.usize(1..9) {
                let id = ["a", "b"][rng.usize(..2)];
                let field = ["name", "note"][rng.usize(..2)];
                let record = Record::new(id).with(field, rng.u8(..));
                let is_there = device.get("tasks", id).await.unwrap().is_some();
                let change = match (is_there, rng.u8(..3)) {
                    (false, _) => Change::create("tasks", record),
                    (true, 0) => Change::delete("tasks", id),
                    (true, _) => Change::update("tasks", record),
                };
                device.record([change]).await.unwrap();
            }
            let pending = device.pending().await.unwrap();
            let mut asides = Vec::new();
            for pending in &pending {
                let is_pending = device.pending().await.unwrap().contains(pending);
                if is_pending && rng.u8(..3) == 0 {
                    let id = &pending.diff.id;
                    let aside = device.set_aside(id, "invalid_diff", "Not so.").await.unwrap();
                    asides.extend(aside.refused);
                }
            }
            client.sync().await.unwrap();
            let rows = way.mobync.database().records(&mobync::Owner::new("ada").unwrap(), "tasks");
            assert_eq!(device.all("tasks").await.unwrap(), rows, "seed {seed}: {asides:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_cut_by_bytes_too() {
    for (most, size) in [(1, 100), (2000, 300), (10_000, 300), (1_000_000, 300)] {
        let way = Way::new();
        let device = Device::new(MemoryStore::new());
        for number in 0..20 {
            let task = Record::new(number.to_string()).with("name", "x".repeat(size));
            device.create("tasks", task).await.unwrap();
        }
        way.client(&device).most_bytes(most).sync().await.unwrap();
        for (_, request) in way.sent.lock().unwrap().iter() {
            let bytes: usize =
                request.diffs.iter().map(|diff| serde_json::to_vec(diff).unwrap().len()).sum();
            assert!(bytes <= most || request.diffs.len() == 1, "{bytes} of {most}");
        }
        let fewest = if most == 1 { 20 } else { (20 * size).div_ceil(most) };
        // A new device fetches first.
        let sizes = &way.sizes()[1..];
        assert!((fewest..=20).contains(&sizes.len()), "{most}: {sizes:?}");
    }
}

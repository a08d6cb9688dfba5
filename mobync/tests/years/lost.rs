//! Values of this device that others have overridden.

use mobync::{
    Record, SyncResponse,
    client::{Device, DeviceError, LocalStore, MemoryStore, Request, SqliteStore},
};
use serde_json::{Value, json};

use super::support::Directory;

/// An answer that reports on the first diff of a request.
fn reports(request: &Request, fields: Value) -> SyncResponse {
    let sent = &request.body().diffs[0];
    let clock = request.body().logical_clock;
    let mut theirs = json!({"id": "t1"});
    for (field, values) in fields.as_object().unwrap() {
        theirs[field] = values["stands"].clone();
    }
    serde_json::from_value(json!({
        "success": true, "message": "", "logical_clock": clock + 1,
        "diffs": [{"id": format!("d{clock}"), "owner": "ada", "logical_clock": clock, "utc_timestamp": 1,
            "type": "update", "model": "tasks", "json_data": theirs.to_string()}],
        "overridden": [{"diff_id": sent.id, "fields": fields}],
    }))
    .unwrap()
}

async fn lose<S: LocalStore>(device: &Device<S>, name: &str) -> String {
    let record = Record::new("t1").with("name", name).with("done", true);
    match device.get("tasks", "t1").await.unwrap() {
        None => device.create("tasks", record).await.unwrap(),
        Some(_) => device.update("tasks", record).await.unwrap(),
    }
    let request = device.request(10).await.unwrap();
    assert!(request.body().report);
    let fields = json!({"name": {"sent": name, "stands": "theirs", "by": "d9"}});
    let taken = device.take(&request, &reports(&request, fields)).await.unwrap();
    let mobync::client::Taken::Applied(changes) = taken else { panic!("{taken:?}") };
    assert_eq!(changes.overridden.len(), 1);
    request.body().diffs[0].id.clone()
}

async fn is_kept_until_it_is_looked_at<S: LocalStore>(device: Device<S>, again: Device<S>) {
    let ids = [lose(&device, "a").await, lose(&device, "b").await, lose(&device, "c").await];
    let lost = again.overridden().await.unwrap();
    let kept: Vec<&str> = lost.iter().map(|lost| &*lost.diff.id).collect();
    assert_eq!(kept, ids);
    let values = &lost[0].fields["name"];
    assert_eq!((&values.sent, values.stands.as_ref()), (&json!("a"), Some(&json!("theirs"))));

    again.dismiss_overridden(&ids[0]).await.unwrap();
    again.put_mine_back(&ids[1]).await.unwrap();
    assert_eq!(device.overridden().await.unwrap().len(), 1);
    let pending = device.pending().await.unwrap();
    let data: Value = serde_json::from_str(&pending[0].diff.json_data).unwrap();
    assert_eq!((pending.len(), data), (1, json!({"id": "t1", "name": "b"})));
    let task = device.get("tasks", "t1").await.unwrap().unwrap();
    assert_eq!(task.get("name"), Some(&json!("b")));

    for gone in &ids[..2] {
        let missing = device.dismiss_overridden(gone).await.unwrap_err();
        assert!(matches!(missing, DeviceError::NoSuchDiff(_)), "{missing}");
        let missing = device.put_mine_back(gone).await.unwrap_err();
        assert!(matches!(missing, DeviceError::NoSuchDiff(_)), "{missing}");
    }
    // Somebody has deleted the object: then the entry stays for the person to see.
    device.delete("tasks", "t1").await.unwrap();
    let not_there = device.put_mine_back(&ids[2]).await.unwrap_err();
    assert!(matches!(not_there, DeviceError::NotThere { .. }), "{not_there}");
    assert_eq!(device.overridden().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_lost_is_kept_until_it_is_looked_at_in_memory() {
    let store = MemoryStore::new();
    is_kept_until_it_is_looked_at(Device::new(store.clone()), Device::new(store)).await;
}

#[tokio::test]
async fn what_lost_is_kept_until_it_is_looked_at_in_sqlite() {
    let directory = Directory::new();
    let file = directory.file();
    let open = async || Device::new(SqliteStore::open(&file).await.unwrap());
    is_kept_until_it_is_looked_at(open().await, open().await).await;
}

#[tokio::test]
async fn the_newest_thousand_are_kept_and_no_request_without_changes_asks() {
    let device = Device::new(MemoryStore::new());
    let mut ids = Vec::new();
    for round in 0..1003 {
        ids.push(lose(&device, &format!("name {round}")).await);
    }
    let lost = device.overridden().await.unwrap();
    let kept: Vec<&str> = lost.iter().map(|lost| &*lost.diff.id).collect();
    assert_eq!(kept, ids[3..]);
    assert!(!device.request(10).await.unwrap().body().report);
}

#[tokio::test]
async fn a_report_on_what_was_not_sent_is_no_answer() {
    let device = Device::new(MemoryStore::new());
    device.create("tasks", Record::new("t1").with("name", "a")).await.unwrap();
    let request = device.request(10).await.unwrap();
    let mut answer = reports(&request, json!({}));
    answer.overridden[0].diff_id = "another".to_owned();
    let refused = device.take(&request, &answer).await.unwrap_err();
    assert!(matches!(refused, DeviceError::InvalidAnswer(_)), "{refused}");
    assert!(device.has_pending().await.unwrap() && device.overridden().await.unwrap().is_empty());
}

/// An entry is viewed late: values written since then stay.
#[tokio::test]
async fn only_what_still_stands_is_put_back() {
    for since in [vec![], vec!["name"], vec!["done"], vec!["name", "done"]] {
        let device = Device::new(MemoryStore::new());
        let record = Record::new("t1").with("name", "mine").with("done", true);
        device.create("tasks", record).await.unwrap();
        let request = device.request(10).await.unwrap();
        let fields = json!({"name": {"sent": "mine", "stands": "theirs", "by": "d9"},
            "done": {"sent": true, "stands": null, "by": "d9"}});
        device.take(&request, &reports(&request, fields)).await.unwrap();
        for field in &since {
            let newer = Record::new("t1").with(*field, "newer");
            device.update("tasks", newer).await.unwrap();
        }
        let before = device.pending().await.unwrap().len();
        device.put_mine_back(&request.body().diffs[0].id).await.unwrap();
        let task = device.get("tasks", "t1").await.unwrap().unwrap();
        for (field, mine) in [("name", json!("mine")), ("done", json!(true))] {
            let is = if since.contains(&field) { json!("newer") } else { mine };
            assert_eq!(task.get(field), Some(&is), "{since:?}");
        }
        let writes = usize::from(since.len() < 2);
        assert_eq!(device.pending().await.unwrap().len(), before + writes, "{since:?}");
        assert!(device.overridden().await.unwrap().is_empty());
    }
}

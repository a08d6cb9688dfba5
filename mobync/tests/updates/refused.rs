//! Servers that are too new, or too old, for the app.

use std::{sync::Arc, time::Duration};

use mobync::{
    Change, Mobync, Record, SyncRequest,
    client::{Client, Device, MemoryStore, NoAnswer, Reply, SyncFailure, Transport},
    http::{Credentials, Endpoint},
    memory::MemoryDatabase,
    schema::{Schema, Step},
};
use tokio::sync::Mutex;

use super::support::ada;

fn schema() -> Schema {
    Schema::new([Step::renamed(2, "tasks", "name", "title")]).unwrap()
}

/// The way to a server that can be replaced, and the versions that requests have named.
#[derive(Clone)]
struct Way {
    server: Arc<Mutex<Mobync<MemoryDatabase>>>,
    versions: Arc<Mutex<Vec<Option<u64>>>>,
}

impl Way {
    fn to(server: Mobync<MemoryDatabase>) -> Self {
        Self { server: Arc::new(Mutex::new(server)), versions: Arc::default() }
    }
}

impl Transport for Way {
    async fn send(&self, request: &SyncRequest) -> Result<Reply, NoAnswer> {
        self.versions.lock().await.push(request.schema);
        let endpoint =
            Endpoint::new(self.server.lock().await.clone(), async |_: Credentials| Ok(ada()));
        let request = http::Request::post("/sync")
            .header("content-type", "application/json")
            .body(http_body_util::Full::new(bytes::Bytes::from(
                serde_json::to_vec(request).unwrap(),
            )))
            .unwrap();
        let (parts, body) = endpoint.handle(request).await.into_parts();
        Ok(Reply { status: parts.status.as_u16(), retry_after: None, body })
    }
}

#[tokio::test]
async fn without_a_schema_no_request_names_a_version_and_with_one_each_does() {
    for version in [None, Some(2)] {
        let way = Way::to(Mobync::new(MemoryDatabase::new()).schema(schema()).max_page(1));
        for id in ["t1", "t2", "t3"] {
            let create = Change::create("tasks", Record::new(id).with("title", "Milk"));
            way.server.lock().await.write(&ada(), [create]).await.unwrap();
        }
        let store = MemoryStore::new();
        let mut device = Device::new(store.clone());
        if version.is_some() {
            Client::new(device.clone(), way.clone()).sync_now().await.unwrap();
            way.versions.lock().await.clear();
            device = device.schema(schema()).await.unwrap();
        }
        device.create("tasks", Record::new("mine")).await.unwrap();
        // A new client asks for the owner first.
        for _ in 0..2 {
            let client = Client::new(device.clone(), way.clone());
            client.sync_now().await.unwrap();
            client.check().await.unwrap();
        }
        let versions = way.versions.lock().await;
        assert!(versions.len() > 5 && versions.iter().all(|it| *it == version), "{versions:?}");
    }
}

#[tokio::test]
async fn an_app_that_is_too_old_keeps_everything_until_it_is_updated() {
    let way = Way::to(Mobync::new(MemoryDatabase::new()).schema(schema()));
    let store = MemoryStore::new();
    let old = Client::new(Device::new(store.clone()), way.clone());
    old.device().create("tasks", Record::new("t1").with("name", "Milk")).await.unwrap();
    old.sync_now().await.unwrap();
    old.device().update("tasks", Record::new("t1").with("name", "Oat milk")).await.unwrap();
    let server = way.server.lock().await.clone();
    *way.server.lock().await = server.min_schema(2);
    // A client that knows the owner, and one that asks for it first.
    for client in [old.clone(), Client::new(Device::new(store.clone()), way.clone())] {
        let failure = client.sync().await.unwrap_err();
        assert!(
            matches!(&failure, SyncFailure::UpgradeRequired { min_schema: Some(2), .. }),
            "{failure:?}"
        );
        assert!(failure.to_string().contains("Update the app"), "{failure}");
        assert!(!failure.is_temporary() && !failure.needs_resync());
        let pending = client.device().pending().await.unwrap();
        assert!(pending.len() == 1 && !pending[0].sent, "{pending:?}");
    }
    let new = Device::new(store).schema(schema()).await.unwrap();
    Client::new(new.clone(), way.clone()).sync_now().await.unwrap();
    assert!(!new.has_pending().await.unwrap());
    let rows = way.server.lock().await.database().records(&ada(), "tasks");
    assert_eq!(rows, [Record::new("t1").with("title", "Oat milk")]);
    assert_eq!(new.all("tasks").await.unwrap(), rows);
}

/// What may have arrived is sent again as it was: the server knows it by the names that it had.
#[tokio::test]
async fn what_was_sent_before_the_update_is_repeated_as_it_was() {
    for is_lost in [false, true] {
        let server = Mobync::new(
            MemoryDatabase::new().model("tasks", ["name", "done"]).model("labels", ["text"]),
        );
        let store = MemoryStore::new();
        let old = Device::new(store.clone()).folding(false);
        old.create("tasks", Record::new("t1").with("name", "Milk")).await.unwrap();
        old.create("labels", Record::new("l1").with("text", "Home")).await.unwrap();
        old.update("tasks", Record::new("t1").with("done", true)).await.unwrap();
        let sent = old.request(10).await.unwrap();
        if !is_lost {
            server.answer(&ada(), sent.body()).await.unwrap();
        }
        let schema = Schema::new([
            Step::renamed(2, "tasks", "name", "title"),
            Step::removed(2, "tasks", "done", false),
            Step::removed_model(2, "labels"),
        ])
        .unwrap();
        let new = Device::new(store).schema(schema).await.unwrap();
        let milk = [Record::new("t1").with("title", "Milk")];
        assert_eq!(new.all("tasks").await.unwrap(), milk);
        assert!(new.all("labels").await.unwrap().is_empty());
        let again = new.request(10).await.unwrap();
        assert_eq!(again.body().diffs, sent.body().diffs);
        let answer = server.answer(&ada(), again.body()).await.unwrap();
        assert!(answer.diffs.is_empty(), "{answer:?}");
        new.take(&again, &answer).await.unwrap();
        assert_eq!(new.all("tasks").await.unwrap(), milk);
        assert!(!new.has_pending().await.unwrap());
        let rows = server.database().records(&ada(), "labels");
        assert_eq!(rows, [Record::new("l1").with("text", "Home")]);
    }
}

/// It goes on by itself when the server has been updated.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_older_than_the_app_is_waited_for() {
    let way = Way::to(Mobync::new(MemoryDatabase::new().model("tasks", ["name"])));
    let device = Device::new(MemoryStore::new()).schema(schema()).await.unwrap();
    device.create("tasks", Record::new("t1").with("title", "Milk")).await.unwrap();
    let client = Client::new(device.clone(), way.clone());
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let running = tokio::spawn(async move {
        let tell = move |synced: Result<_, SyncFailure>| {
            let failure = synced.err().map(|failure| failure.to_string());
            tell.try_lock().unwrap().push(failure);
        };
        client.run(Duration::from_mins(1), tell).await
    });
    tokio::time::sleep(Duration::from_hours(3)).await;
    {
        let mut told = told.lock().await;
        assert!((3..20).contains(&told.len()), "{told:?}");
        let says = |it: &Option<String>| it.as_ref().is_some_and(|it| it.contains("title"));
        assert!(told.iter().all(says), "{told:?}");
        told.clear();
    }
    assert!(device.has_pending().await.unwrap());
    let new = Mobync::new(MemoryDatabase::new().model("tasks", ["title"])).schema(schema());
    *way.server.lock().await = new;
    tokio::time::sleep(Duration::from_hours(2)).await;
    running.abort();
    assert!(!device.has_pending().await.unwrap());
    let told = told.lock().await;
    assert!(told.iter().all(Option::is_none) && !told.is_empty(), "{told:?}");
}

//! The way to a server in the same process, on which anything may come back.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use mobync::{
    Mobync, Owner, Record, SyncRequest,
    client::{Client, Device, LocalStore, MemoryStore, NoAnswer, Reply, Transport},
    http::{AuthError, Credentials, Endpoint},
    memory::MemoryDatabase,
};
use tokio::time::Instant;

/// What comes back in place of the server's answer. The request does not arrive.
pub type Fate = Result<Reply, &'static str>;

#[derive(Clone)]
pub struct Way {
    pub mobync: Mobync<MemoryDatabase>,
    pub token: Arc<Mutex<String>>,
    /// What the token is renewed to.
    pub next_token: Arc<Mutex<String>>,
    pub fates: Arc<Mutex<VecDeque<Fate>>>,
    pub sent: Arc<Mutex<Vec<(Instant, SyncRequest)>>>,
    pub max_body_bytes: usize,
    /// Whether the server does not know the member `owner`.
    pub is_older: bool,
}

pub fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Reply { status, retry_after: None, body: body.into() }
}

impl Way {
    pub fn new() -> Self {
        Self {
            mobync: Mobync::new(MemoryDatabase::new().model("tasks", ["name", "note"])),
            token: Arc::new(Mutex::new("ada".to_owned())),
            next_token: Arc::new(Mutex::new("ada".to_owned())),
            fates: Arc::default(),
            sent: Arc::default(),
            max_body_bytes: 1_000_000,
            is_older: false,
        }
    }

    /// A server of an older version, which does not name the owner.
    pub fn older() -> Self {
        Self { is_older: true, ..Self::new() }
    }

    /// The same server for somebody else.
    pub fn of(&self, token: &str) -> Self {
        let token = Arc::new(Mutex::new(token.to_owned()));
        Self { token, fates: Arc::default(), sent: Arc::default(), ..self.clone() }
    }

    pub fn client<S: LocalStore>(&self, device: &Device<S>) -> Client<S, Self> {
        Client::new(device.clone(), self.clone())
    }

    pub fn fate(&self, fate: Fate) {
        self.fates.lock().unwrap().push_back(fate);
    }

    pub fn sizes(&self) -> Vec<usize> {
        self.sent.lock().unwrap().iter().map(|(_, request)| request.diffs.len()).collect()
    }

    /// What the owner has on the server.
    pub fn rows(&self, owner: &str) -> Vec<String> {
        let rows = self.mobync.database().records(&Owner::new(owner).unwrap(), "tasks");
        rows.iter().map(|record| record.id().to_owned()).collect()
    }

    pub async fn post(&self, request: &SyncRequest) -> Reply {
        let token = self.token.lock().unwrap().clone();
        let mut request = request.clone();
        if self.is_older {
            request.owner = None;
        }
        let body = Bytes::from(serde_json::to_vec(&request).unwrap());
        let request = Request::post("/sync")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::new(body))
            .unwrap();
        let endpoint = Endpoint::new(self.mobync.clone(), auth).max_body_bytes(self.max_body_bytes);
        let (parts, body) = endpoint.handle(request).await.into_parts();
        reply(parts.status.as_u16(), body)
    }
}

async fn auth(credentials: Credentials) -> Result<Owner, AuthError> {
    match credentials.token()? {
        "expired" => Err(AuthError::unauthenticated("The token has expired.")),
        "banned" => Err(AuthError::forbidden("The account is closed.")),
        token => Ok(Owner::new(token)?),
    }
}

impl Transport for Way {
    async fn send(&self, request: &SyncRequest) -> Result<Reply, NoAnswer> {
        self.sent.lock().unwrap().push((Instant::now(), request.clone()));
        tokio::time::sleep(Duration::from_millis(10)).await;
        let fate = self.fates.lock().unwrap().pop_front();
        match fate {
            Some(fate) => fate.map_err(NoAnswer::new),
            None => Ok(self.post(request).await),
        }
    }

    async fn renew(&self) -> bool {
        let next = self.next_token.lock().unwrap().clone();
        *self.token.lock().unwrap() = next;
        true
    }
}

/// A new device with so many tasks.
pub async fn device(tasks: &[&str]) -> Device<MemoryStore> {
    let device = Device::new(MemoryStore::new());
    for task in tasks {
        add(&device, task).await;
    }
    device
}

pub async fn add<S: LocalStore>(device: &Device<S>, task: &str) {
    device.create("tasks", Record::new(task).with("name", "Milk")).await.unwrap();
}

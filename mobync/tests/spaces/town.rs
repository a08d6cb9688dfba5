//! A server whose people share spaces, and the way to it, on which things get lost.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use mobync::{
    Grant, Mobync, Owner, Record, SyncRequest,
    client::{Client, Device, LocalStore, MemoryStore, NoAnswer, Reply, Syncs, Transport},
    http::{AuthError, Credentials, Endpoint},
    memory::MemoryDatabase,
};
use serde_json::{Value, json};

pub const REFUSAL: &str = "You are not a member of this list.";

/// Who may do what in a space, by space and person; `true` is a reader.
type Members = Arc<Mutex<BTreeMap<(String, String), bool>>>;

#[derive(Clone)]
pub struct Town {
    pub mobync: Mobync<MemoryDatabase>,
    pub members: Members,
}

/// What happens to a request.
pub enum Fate {
    RequestLost,
    AnswerLost,
    /// This comes back in place of an answer, and the request does not arrive.
    Says(u16, Option<u64>, Value),
    /// This comes back for one space, or the person's own data, of a request that arrives.
    InSpace(&'static str, Value),
}

/// The way to the server for one person.
#[derive(Clone)]
pub struct Wire {
    pub town: Town,
    pub token: Arc<Mutex<String>>,
    /// What the token is renewed to.
    pub next_token: Arc<Mutex<String>>,
    pub fates: Arc<Mutex<VecDeque<Fate>>>,
    /// The bodies that were sent.
    pub bodies: Arc<Mutex<Vec<Value>>>,
    /// Whether the server is of a version that knows neither spaces nor `owner`.
    pub is_older: Arc<Mutex<bool>>,
    /// How many members, and bytes, a request may have.
    pub most: Arc<Mutex<(usize, usize)>>,
}

impl Town {
    pub fn new() -> Self {
        let database = MemoryDatabase::new().model("tasks", ["name", "note"]);
        let database = database.model("memberships", ["list"]);
        Self { mobync: Mobync::new(database), members: Members::default() }
    }

    pub fn join(&self, space: &str, person: &str) {
        self.members.lock().unwrap().insert((space.to_owned(), person.to_owned()), false);
    }

    pub fn read_only(&self, space: &str, person: &str) {
        self.members.lock().unwrap().insert((space.to_owned(), person.to_owned()), true);
    }

    pub fn remove(&self, space: &str, person: &str) {
        self.members.lock().unwrap().remove(&(space.to_owned(), person.to_owned()));
    }

    pub fn wire(&self, person: &str) -> Wire {
        Wire {
            town: self.clone(),
            token: Arc::new(Mutex::new(person.to_owned())),
            next_token: Arc::new(Mutex::new(person.to_owned())),
            fates: Arc::default(),
            bodies: Arc::default(),
            is_older: Arc::default(),
            most: Arc::new(Mutex::new((100, 16 * 1024 * 1024))),
        }
    }

    /// What an owner has on the server.
    pub fn tasks(&self, owner: &str) -> Vec<Record> {
        self.mobync.database().records(&Owner::new(owner).unwrap(), "tasks")
    }

    fn grant(&self, credentials: &Credentials) -> Result<Grant, AuthError> {
        let person = match credentials.token()? {
            "expired" => return Err(AuthError::unauthenticated("The token has expired.")),
            person => person.to_owned(),
        };
        let Some(space) = credentials.space() else {
            if person.starts_with("guest") {
                return Err(AuthError::no_member("Guests have no data of their own."));
            }
            return Ok(Owner::new(person)?.into());
        };
        let members = self.members.lock().unwrap();
        match members.get(&(space.to_owned(), person)) {
            None => Err(AuthError::no_member(REFUSAL)),
            Some(is_reader) => {
                let grant = Grant::new(Owner::new(format!("space {space}"))?);
                Ok(if *is_reader { grant.read_only() } else { grant })
            }
        }
    }
}

impl Wire {
    pub fn client<S: LocalStore>(&self, device: &Device<S>) -> Client<S, Self> {
        Client::new(device.clone(), self.clone())
    }

    pub fn fate(&self, fate: Fate) {
        self.fates.lock().unwrap().push_back(fate);
    }

    /// The members of each request since the last call: their spaces, with how many changes each has sent. A
    /// plain request is the person's own data, which has no name.
    pub fn heard(&self) -> Vec<Vec<(String, usize)>> {
        let bodies = std::mem::take(&mut *self.bodies.lock().unwrap());
        let member = |member: &Value| {
            let space = member["space"].as_str().unwrap_or_default().to_owned();
            (space, member["diffs"].as_array().unwrap().len())
        };
        let members = |body: &Value| match body["syncs"].as_array() {
            None => vec![member(body)],
            Some(members) => members.iter().map(member).collect(),
        };
        bodies.iter().map(members).collect()
    }

    async fn arrive(&self, mut body: Value) -> Reply {
        if *self.is_older.lock().unwrap() {
            if body.get("syncs").is_some() {
                return reply(400, None, &failure("invalid_request", "logical_clock is missing"));
            }
            body.as_object_mut().unwrap().remove("owner");
        }
        let token = self.token.lock().unwrap().clone();
        let bytes = Bytes::from(body.to_string());
        let (most_members, most_bytes) = *self.most.lock().unwrap();
        let members = body["syncs"].as_array().map_or(1, Vec::len);
        if members > most_members {
            return reply(413, None, &failure("payload_too_large", "Too many."));
        }
        let request = Request::post("/sync")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::new(bytes))
            .unwrap();
        let town = self.town.clone();
        let endpoint = Endpoint::new(self.town.mobync.clone(), move |credentials: Credentials| {
            let granted = town.grant(&credentials);
            async move { granted }
        });
        let response = endpoint.max_body_bytes(most_bytes).handle(request).await;
        let (parts, body) = response.into_parts();
        Reply { status: parts.status.as_u16(), retry_after: None, body }
    }

    async fn post(&self, body: Value) -> Result<Reply, NoAnswer> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.bodies.lock().unwrap().push(body.clone());
        let fate = self.fates.lock().unwrap().pop_front();
        match fate {
            None => Ok(self.arrive(body).await),
            Some(Fate::RequestLost) => Err(NoAnswer::new("no network")),
            Some(Fate::AnswerLost) => {
                self.arrive(body).await;
                Err(NoAnswer::new("the connection broke off"))
            }
            Some(Fate::Says(status, seconds, answer)) => Ok(reply(status, seconds, &answer)),
            Some(Fate::InSpace(space, answer)) => {
                let is_it = |member: &Value| member["space"].as_str().unwrap_or_default() == space;
                let syncs = body["syncs"].as_array().unwrap();
                let place = syncs.iter().position(is_it).unwrap();
                // The member does not arrive.
                let mut others = body.clone();
                others["syncs"].as_array_mut().unwrap().remove(place);
                let reply = self.arrive(others).await;
                let mut answers: Value = serde_json::from_slice(&reply.body).unwrap();
                answers["syncs"].as_array_mut().unwrap().insert(place, answer);
                Ok(Reply { body: answers.to_string().into(), ..reply })
            }
        }
    }
}

impl Transport for Wire {
    async fn send(&self, request: &SyncRequest) -> Result<Reply, NoAnswer> {
        self.post(serde_json::to_value(request).unwrap()).await
    }

    async fn send_all(&self, requests: &Syncs<'_>) -> Result<Reply, NoAnswer> {
        assert!(requests.members().len() > 0);
        self.post(serde_json::to_value(requests).unwrap()).await
    }

    async fn renew(&self) -> bool {
        let next = self.next_token.lock().unwrap().clone();
        *self.token.lock().unwrap() = next;
        true
    }
}

pub fn failure(code: &str, message: &str) -> Value {
    json!({"success": false, "message": message, "code": code})
}

/// A failure of one member.
pub fn in_member(status: u16, code: &str) -> Value {
    json!({"status": status, "success": false, "message": "No.", "code": code})
}

fn reply(status: u16, seconds: Option<u64>, body: &Value) -> Reply {
    let retry_after = seconds.map(Duration::from_secs);
    Reply { status, retry_after, body: body.to_string().into() }
}

pub fn device() -> Device<MemoryStore> {
    Device::new(MemoryStore::new())
}

pub async fn add<S: LocalStore>(device: &Device<S>, task: &str) {
    device.create("tasks", Record::new(task).with("name", "Milk")).await.unwrap();
}

/// The device of a person who is a member of these spaces and has joined them.
pub async fn member_of(town: &Town, person: &str, spaces: &[&str]) -> Device<MemoryStore> {
    let device = device();
    for space in spaces {
        town.join(space, person);
        device.join(space).await.unwrap();
    }
    device
}

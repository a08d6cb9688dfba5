//! A server whose people share spaces.
#![allow(unreachable_pub, reason = "a module of one test")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use mobync::{
    Access, Database, DatabaseError, Diff, Grant, IdleQuery, Mobync, Owner, Refusal, Rules, View,
    http::{AnswerBody, AuthError, Claim, Endpoint, Head, Limits},
    memory::MemoryDatabase,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{self, Sent, T0};

/// What a person may do in a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Writer,
    Reader,
}

/// What the rule has seen: owner, member, id of the diff.
type Seen = (String, Option<String>, String);

/// Refuses what is named "forbidden", and panics at what is named "panicking".
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

impl Rules for Names {
    async fn create(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        let member = view.member().map(str::to_owned);
        self.seen.lock().unwrap().push((owner.to_string(), member, diff.id.clone()));
        match diff.record()?.get("name").and_then(Value::as_str) {
            Some("panicking") => panic!("the rule panics"),
            Some("forbidden") => Err(Refusal::because("That name is forbidden.")),
            _ => Ok(()),
        }
    }

    async fn update(&self, owner: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        self.create(owner, diff, view).await
    }
}

/// A database that is busy, fails or is slow, for owners of such names.
#[derive(Clone, Debug)]
pub struct Moods {
    pub inner: MemoryDatabase,
    /// How many units of work have been asked for at the same time: now, and at most.
    pub open: Arc<Mutex<(usize, usize)>>,
    /// Whose units of work have been opened, and when.
    pub opened: Arc<Mutex<Vec<(String, Instant)>>>,
    /// How many devices it has told to have missed nothing.
    pub told: Arc<AtomicUsize>,
}

impl Database for Moods {
    type Unit = <MemoryDatabase as Database>::Unit;

    async fn open(&self, owner: &Owner, access: Access) -> Result<Self::Unit, DatabaseError> {
        let _open = Open::new(&self.open);
        match owner.as_str() {
            "space busy" => return Err(DatabaseError::busy("all connections are in use")),
            "space failing" => return Err(DatabaseError::failed("the disk is on fire")),
            name => {
                if let Some(seconds) = name.strip_prefix("space slow ") {
                    let seconds = seconds.split(' ').next().unwrap().parse().unwrap();
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
            }
        }
        self.opened.lock().unwrap().push((owner.to_string(), Instant::now()));
        self.inner.open(owner, access).await
    }

    async fn idle(&self, log: &str, devices: &[IdleQuery<'_>]) -> Result<Vec<bool>, DatabaseError> {
        let is_of = |name: &str| devices.iter().any(|device| device.owner.as_str() == name);
        if is_of("space together fails") {
            return Err(DatabaseError::failed("the disk is on fire"));
        }
        assert!(!is_of("space together panics"), "the database panics");
        let plain = |device: &&IdleQuery<'_>| {
            let name = device.owner.as_str();
            !["space busy", "space failing"].contains(&name) && !name.starts_with("space slow")
        };
        let (mut told, asked) = (Vec::new(), devices.iter().filter(plain).copied());
        let mut idle = self.inner.idle(log, &asked.collect::<Vec<_>>()).await?.into_iter();
        for device in devices {
            told.push(plain(&device) && idle.next().unwrap());
        }
        self.told.fetch_add(told.iter().filter(|idle| **idle).count(), Ordering::Relaxed);
        Ok(told)
    }
}

struct Open<'o>(&'o Mutex<(usize, usize)>);

impl<'o> Open<'o> {
    fn new(open: &'o Mutex<(usize, usize)>) -> Self {
        let mut now = open.lock().unwrap();
        now.0 += 1;
        now.1 = now.0.max(now.1);
        drop(now);
        Self(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

/// Owners and roles by space and person.
type Table = BTreeMap<(String, String), (String, Role)>;

/// Who is a member of which space, and with what owner.
#[derive(Clone, Debug, Default)]
pub struct Members(Arc<Mutex<Table>>);

impl Members {
    pub fn join(&self, space: &str, person: &str, role: Role) {
        self.join_as(space, person, &format!("space {space}"), role);
    }

    pub fn join_as(&self, space: &str, person: &str, owner: &str, role: Role) {
        let key = (space.to_owned(), person.to_owned());
        self.0.lock().unwrap().insert(key, (owner.to_owned(), role));
    }

    pub fn leave(&self, space: &str, person: &str) {
        self.0.lock().unwrap().remove(&(space.to_owned(), person.to_owned()));
    }

    /// The auth closure. The token is the person, in a test of single requests with `@` and a space.
    pub fn grant(&self, claim: &Claim) -> Result<Grant, AuthError> {
        let token = claim.token.as_str()?;
        let (person, space) = match token.split_once('@') {
            Some((person, space)) => (person, Some(space)),
            None => (token, claim.space.as_deref()),
        };
        match (person, space) {
            ("stranger", _) => Err(AuthError::unauthenticated("The token is not known.")),
            ("guest", None) => Err(AuthError::no_member("Guests have no data of their own.")),
            (_, None) => Ok(Owner::new(person)?.into()),
            (_, Some("lost")) => Err(AuthError::failed("the table of members is gone")),
            (_, Some("later")) => Err(AuthError::busy("the table of members is locked")),
            (_, Some("closed")) => Err(AuthError::forbidden("Your account is closed.")),
            (_, Some("panic")) => panic!("the auth closure panics"),
            (person, Some(space)) => {
                let members = self.0.lock().unwrap();
                let granted = members.get(&(space.to_owned(), person.to_owned()));
                let (owner, role) =
                    granted.ok_or_else(|| AuthError::no_member("You are not a member."))?;
                let grant = Grant::new(Owner::new(owner)?).member(person);
                Ok(if *role == Role::Reader { grant.read_only() } else { grant })
            }
        }
    }
}

/// The server.
#[derive(Clone)]
pub struct Town {
    pub members: Members,
    pub rules: Names,
    pub database: Moods,
    pub mobync: Mobync<Moods, Names>,
    pub limits: Limits,
}

impl Town {
    pub fn new() -> Self {
        let inner = MemoryDatabase::new().model("tasks", ["name", "done"]);
        let database =
            Moods { inner, open: Arc::default(), opened: Arc::default(), told: Arc::default() };
        let rules = Names::default();
        let mobync = Mobync::new(database.clone()).rules(rules.clone()).time(|| T0);
        Self { members: Members::default(), rules, database, mobync, limits: Limits::new() }
    }

    /// The answer to a body, whose token is in it.
    pub async fn post(&self, body: impl Into<Bytes>) -> Response<AnswerBody> {
        self.send(None, body).await
    }

    /// The answer to a request with that `Authorization` header.
    pub async fn send(
        &self,
        authorization: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Response<AnswerBody> {
        let endpoint = Endpoint::without_auth(self.mobync.clone());
        let mut request = Request::post("/sync").header("content-type", "application/json");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let auth = |claim: Claim| async move { self.members.grant(&claim) };
        let body = Full::<Bytes>::from(body.into());
        endpoint.answer(Head::from(&parts), body, &self.limits, auth).await
    }

    /// The answers to these members of a person's request.
    pub async fn sync(&self, person: &str, syncs: &[Value]) -> Vec<Value> {
        let (status, answer) = self.json(&json!({"auth_token": person, "syncs": syncs})).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
        answer["syncs"].as_array().unwrap().clone()
    }

    /// Status and JSON of the answer to a body.
    pub async fn json(&self, body: &Value) -> (u16, Value) {
        let answer = read(self.post(body.to_string()).await).await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }
}

/// A member of a request, for a space or, with an empty name, the person's own data.
pub fn member(space: &str, clock: i64, sent: impl IntoIterator<Item = Sent>) -> Value {
    let mut member = json!({"logical_clock": clock, "diffs": support::diffs(sent)});
    if !space.is_empty() {
        member["space"] = json!(space);
    }
    member
}

/// Status and code of each of these answers; 200 has no code.
pub fn codes(answers: &[Value]) -> Vec<(u64, &str)> {
    let code = |answer: &'_ Value| answer["status"].as_u64().unwrap();
    answers.iter().map(|answer| (code(answer), answer["code"].as_str().unwrap_or(""))).collect()
}

/// An answer as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Bytes,
}

pub async fn read(response: Response<AnswerBody>) -> Answer {
    use http_body_util::BodyExt;

    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(parts.headers[header::CONTENT_LENGTH], body.len().to_string());
    let retry_after = parts.headers.get(header::RETRY_AFTER);
    let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
    Answer { status: parts.status.as_u16(), retry_after, body }
}

//! The bare endpoint and the three frameworks, each on a memory database of its own; and one more endpoint, which
//! gets several requests in one as requests of their own.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, Once},
};

use actix_http::Payload;
use actix_web::{
    App,
    body::{BoxBody, to_bytes},
    dev::{Service, ServiceResponse},
    test::{TestRequest, init_service},
    web,
};
use axum::{Router, body::Body};
use conformance::{
    Gate,
    application::{self, Moody, NoForbiddenNames},
    http::Answer,
};
use futures_util::{FutureExt, future::BoxFuture, stream};
use mobync::{
    Access, Database, DatabaseError, Grant, Mobync, Owner,
    http::{AuthError, Credentials, Endpoint, Head, Limits},
    memory::{MemoryDatabase, MemoryUnit},
};
use rocket::{
    Config,
    figment::Figment,
    http::{Header, Method},
    local::asynchronous::Client,
    log::LogLevel,
};
use tower::ServiceExt;

use super::{case::Case, expect::Part};

/// The time on all servers, in milliseconds.
pub const NOW: i64 = 1_700_000_000_000;
/// Of a body, in bytes.
pub const LIMIT: usize = 64 * 1024;
/// Of one request.
pub const MOST_DIFFS: usize = 40;
/// What a database has, but for the ids.
pub const MODELS: [(&str, &[&str]); 3] = [
    ("tasks", &["name", "done", "weight", "naïve", "a.b", "\"", ""]),
    ("notes ✓", &["name", "logical_clock"]),
    ("__proto__", &["constructor"]),
];

/// In the order of the databases and of the answers.
pub const NAMES: [&str; 5] =
    ["the endpoint", "axum", "actix-web", "Rocket", "an endpoint that gets them one by one"];

/// A memory database that can be made new, and knows whose data it may have.
#[derive(Clone, Debug, Default)]
pub struct Renewable(Arc<Mutex<(MemoryDatabase, BTreeSet<Owner>)>>);

impl Renewable {
    pub fn renew(&self) {
        let new = MODELS.iter().fold(MemoryDatabase::new(), |database, (model, fields)| {
            database.model(*model, fields.iter().copied())
        });
        *self.0.lock().unwrap() = (new, BTreeSet::new());
    }

    pub fn get(&self) -> (MemoryDatabase, BTreeSet<Owner>) {
        self.0.lock().unwrap().clone()
    }
}

impl Database for Renewable {
    type Unit = MemoryUnit;

    async fn open(&self, owner: &Owner, access: Access) -> Result<MemoryUnit, DatabaseError> {
        let database = {
            let (database, owners) = &mut *self.0.lock().unwrap();
            owners.insert(owner.clone());
            database.clone()
        };
        database.open(owner, access).await
    }
}

type Sync = Mobync<Moody<Renewable>, NoForbiddenNames>;
type Auth = fn(Credentials) -> BoxFuture<'static, Result<Grant, AuthError>>;

/// All of them, in one thread. `A` is actix-web's service.
pub struct Servers<A> {
    pub databases: [Renewable; 5],
    endpoint: Endpoint<Moody<Renewable>, NoForbiddenNames, Auth>,
    axum: Router,
    actix: A,
    rocket: Client,
    one_by_one: Mobync<Moody<Renewable>, NoForbiddenNames>,
}

fn auth(credentials: Credentials) -> BoxFuture<'static, Result<Grant, AuthError>> {
    Box::pin(async move { application::grant(credentials.token()?, credentials.space()) })
}

/// Starts them. Panics are kept from now on, to be looked at after each request.
pub async fn start()
-> Servers<impl Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>>
{
    keep_panics();
    let databases: [Renewable; 5] = std::array::from_fn(|_| Renewable::default());
    let open = Gate::default();
    open.open();
    let mobync = |database: &Renewable| -> Sync {
        application::mobync(database.clone(), &open).max_diffs(MOST_DIFFS).time(|| NOW)
    };
    let [endpoint, axum, actix, rocket, one_by_one] = databases.each_ref().map(mobync);

    let actix = mobync_actix::service(actix, async |credentials| {
        application::grant(credentials.token()?, credentials.space())
    });
    let figment = Figment::from(Config::debug_default())
        .merge((Config::LOG_LEVEL, LogLevel::Off))
        .merge(("limits.mobync", LIMIT));
    let rocket = rocket::custom(figment)
        .attach(mobync_rocket::fairing(rocket, async |credentials| {
            application::grant(credentials.token()?, credentials.space())
        }));
    let endpoint_on = |mobync| Endpoint::new(mobync, auth as Auth).max_body_bytes(LIMIT);
    Servers {
        databases,
        endpoint: endpoint_on(endpoint),
        axum: Router::new().route("/sync", mobync_axum::route(endpoint_on(axum))),
        actix: init_service(App::new().service(actix.max_body_bytes(LIMIT))).await,
        rocket: Client::untracked(rocket).await.unwrap(),
        one_by_one,
    }
}

impl<A> Servers<A>
where
    A: Service<actix_http::Request, Response = ServiceResponse<BoxBody>, Error = actix_web::Error>,
{
    /// What each of them but the last answers; or that it panicked.
    pub async fn send(&self, case: &Case) -> [Result<Answer, String>; 4] {
        [
            unless_it_panics(self.send_to_endpoint(case)).await,
            unless_it_panics(self.send_to_axum(case)).await,
            unless_it_panics(self.send_to_actix(case)).await,
            unless_it_panics(self.send_to_rocket(case)).await,
        ]
    }

    /// What the last one answers to the same.
    pub async fn send_to_last(&self, case: &Case) -> Result<Answer, String> {
        let endpoint = Endpoint::new(self.one_by_one.clone(), auth as Auth).max_body_bytes(LIMIT);
        let answered = async {
            let (head, body) = endpoint.handle(request(case)).await.into_parts();
            answer(head.status.as_u16(), pairs(&head.headers), body.to_vec())
        };
        unless_it_panics(answered).await
    }

    /// What the last one answers to one of several requests, alone.
    pub async fn send_alone(&self, part: &Part) -> Result<Answer, String> {
        let endpoint = Endpoint::without_auth(self.one_by_one.clone());
        let (parts, ()) = request(&Case::post("")).map(drop).into_parts();
        let body = Body::from(part.text.clone());
        let auth = |_| async { part.granted() };
        let answered = async {
            let answered =
                endpoint.answer(Head::from(&parts), body, &Limits::default(), auth).await;
            let (head, body) = answered.into_parts();
            let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.unwrap();
            answer(head.status.as_u16(), pairs(&head.headers), body.to_vec())
        };
        unless_it_panics(answered).await
    }

    async fn send_to_endpoint(&self, case: &Case) -> Answer {
        let (head, body) = self.endpoint.handle(request(case)).await.into_parts();
        answer(head.status.as_u16(), pairs(&head.headers), body.to_vec())
    }

    async fn send_to_axum(&self, case: &Case) -> Answer {
        let answered = self.axum.clone().oneshot(request(case)).await;
        let (head, body) = answered.unwrap().into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        answer(head.status.as_u16(), pairs(&head.headers), body.to_vec())
    }

    async fn send_to_actix(&self, case: &Case) -> Answer {
        let method = actix_web::http::Method::from_bytes(case.method.as_bytes()).unwrap();
        let mut request = TestRequest::with_uri("/sync").method(method);
        for (name, value) in &case.headers {
            let value = actix_web::http::header::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request = request.append_header((*name, value));
        }
        let chunks: Vec<_> =
            case.chunks().map(|chunk| Ok(web::Bytes::copy_from_slice(chunk))).collect();
        let payload = Payload::Stream { payload: Box::pin(stream::iter(chunks)) as _ };
        let (request, _) = request.to_request().replace_payload(payload);
        let response = match self.actix.call(request).await {
            Ok(response) => response.into_parts().1,
            Err(error) => error.error_response(),
        };
        let (head, body) = response.into_parts();
        let headers = head.headers().iter();
        let headers = headers.map(|(name, value)| line(name.as_str(), value.as_bytes())).collect();
        answer(head.status().as_u16(), headers, to_bytes(body).await.unwrap().to_vec())
    }

    async fn send_to_rocket(&self, case: &Case) -> Answer {
        let method: Method = case.method.parse().unwrap();
        let mut request = self.rocket.req(method, "/sync").body(&case.body);
        for (name, value) in &case.headers {
            request.add_header(Header::new(*name, value.clone()));
        }
        let response = request.dispatch().await;
        let headers = response.headers().iter();
        let headers =
            headers.map(|header| line(header.name().as_str(), header.value().as_bytes())).collect();
        let status = response.status().code;
        answer(status, headers, response.into_bytes().await.unwrap_or_default())
    }
}

fn request(case: &Case) -> http::Request<Body> {
    let mut request = http::Request::builder().method(case.method).uri("/sync");
    for (name, value) in &case.headers {
        request = request.header(*name, value.as_bytes());
    }
    let chunks: Vec<_> =
        case.chunks().map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    request.body(Body::from_stream(stream::iter(chunks))).unwrap()
}

pub fn pairs(headers: &http::HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| line(name.as_str(), value.as_bytes())).collect()
}

fn line(name: &str, value: &[u8]) -> (String, String) {
    (name.to_ascii_lowercase(), String::from_utf8_lossy(value).into_owned())
}

pub fn answer(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Answer {
    Answer { status, headers, body }.of_protocol()
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static IN_SERVER: RefCell<bool> = const { RefCell::new(false) };
}

/// Also of those that a framework catches and turns into a response.
async fn unless_it_panics(answering: impl Future<Output = Answer>) -> Result<Answer, String> {
    PANIC.set(None);
    IN_SERVER.set(true);
    let answered = AssertUnwindSafe(answering).catch_unwind().await;
    IN_SERVER.set(false);
    match (PANIC.take(), answered) {
        (None, Ok(answer)) => Ok(answer),
        (panic, _) => Err(panic.unwrap_or_default()),
    }
}

fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IN_SERVER.with_borrow(|is_in| *is_in) {
                PANIC.set(Some(info.to_string()));
            } else {
                hook(info);
            }
        }));
    });
}

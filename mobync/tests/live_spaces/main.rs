//! The live stream over spaces: who hears of what, who is asked when, and what does not wait for what.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod apart;
mod gone;
mod person;
mod random;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt;
use mobync::{
    Grant, Mobync, Owner,
    http::{Auth, AuthError, Credentials, LiveBody, LiveEndpoint},
    memory::MemoryDatabase,
};
use serde_json::{Value, json};
use support::{create, diffs, owner};
use tokio::time::{Instant, sleep, timeout};

/// What the auth closure says about a space; about the person's own data, that of the name "".
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Member,
    /// Whose data it is.
    Of(&'static str),
    /// In how many milliseconds the answer does not hold any more.
    Holds(u64),
    /// After how many milliseconds it says what is true then.
    Slow(u64),
    /// After how many milliseconds it says what was true when it was asked.
    LateYes(u64),
    NoMember,
    Forbidden,
    Unauthenticated,
    Busy,
    Failed,
    Panics,
    PanicsWhenCalled,
    Hangs,
}

use Mood::{
    Busy, Failed, Forbidden, Hangs, Holds, LateYes, Member, NoMember, Of, Panics, PanicsWhenCalled,
    Slow, Unauthenticated,
};

/// What a closure says that cannot tell.
const CANNOT_TELL: [Mood; 5] = [Busy, Failed, Panics, PanicsWhenCalled, Hangs];

/// An application, whose auth closure does as it is told.
#[derive(Clone)]
struct App {
    mobync: Mobync<MemoryDatabase>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    moods: BTreeMap<String, Mood>,
    asked: BTreeMap<String, Vec<Instant>>,
}

impl App {
    /// An application where Ada is a member of these spaces.
    fn new(spaces: &[&str]) -> Self {
        let app = Self { mobync: Mobync::new(MemoryDatabase::new()), state: Arc::default() };
        app.set("", Member);
        for space in spaces {
            app.set(space, Member);
        }
        app
    }

    fn set(&self, space: &str, mood: Mood) {
        self.state.lock().unwrap().moods.insert(space.to_owned(), mood);
    }

    /// How often the closure was asked about the space.
    fn asked(&self, space: &str) -> usize {
        self.state.lock().unwrap().asked.get(space).map_or(0, Vec::len)
    }

    fn asked_and_says(&self, space: Option<&str>) -> Mood {
        let space = space.unwrap_or_default();
        let mut state = self.state.lock().unwrap();
        state.asked.entry(space.to_owned()).or_default().push(Instant::now());
        drop(state);
        self.mood(space)
    }

    fn mood(&self, space: &str) -> Mood {
        self.state.lock().unwrap().moods.get(space).copied().unwrap_or(NoMember)
    }

    fn auth(&self) -> impl Auth + use<> {
        let app = self.clone();
        move |credentials: Credentials| {
            let mood = app.asked_and_says(credentials.space());
            assert!(mood != PanicsWhenCalled, "the auth closure panics when it is called");
            let app = app.clone();
            async move {
                let mut mood = mood;
                if let Slow(millis) = mood {
                    sleep(Duration::from_millis(millis)).await;
                    mood = app.mood(credentials.space().unwrap_or_default());
                }
                let own = owner(credentials.token()?);
                let space = match credentials.space() {
                    Some(space) => owner(&format!("space {space}")),
                    None => own,
                };
                match mood {
                    Member | Slow(_) => Ok(Grant::new(space)),
                    LateYes(millis) => {
                        sleep(Duration::from_millis(millis)).await;
                        Ok(Grant::new(space))
                    }
                    Of(name) => Ok(Grant::new(owner(name))),
                    Holds(millis) => Ok(Grant::new(space).holds_for(Duration::from_millis(millis))),
                    NoMember => Err(AuthError::no_member("You are not a member.")),
                    Forbidden => Err(AuthError::forbidden("Your account is closed.")),
                    Unauthenticated => Err(AuthError::unauthenticated("The session has ended.")),
                    Busy => Err(AuthError::busy("the table of members is locked")),
                    Failed => Err(AuthError::failed("the table of members is gone")),
                    Panics | PanicsWhenCalled => panic!("the auth closure panics"),
                    Hangs => pending().await,
                }
            }
        }
    }

    fn endpoint(&self) -> LiveEndpoint<MemoryDatabase, mobync::NoRules, impl Auth + use<>> {
        LiveEndpoint::new(self.mobync.clone(), self.auth())
    }

    async fn get(&self, query: &str) -> Response<LiveBody> {
        self.endpoint().handle(request("GET", query)).await
    }

    /// Ada's device, with a stream.
    async fn listen(&self, query: &str) -> Device {
        Device::new(self.get(query).await)
    }

    /// A sync of a space that brings something new.
    async fn sync(&self, space: &str) -> i64 {
        let owner = owner(&format!("space {space}"));
        self.sync_of(&owner).await
    }

    async fn sync_of(&self, owner: &Owner) -> i64 {
        let clock = self.mobync.clock(owner).await.unwrap();
        let sent = diffs([create(&format!("t{clock}"), json!({}))]);
        self.mobync.apply(owner, clock, sent).await.unwrap();
        clock + 1
    }
}

fn request(method: &str, query: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(format!("/sync/live{query}"));
    request.header("authorization", "Bearer ada").body(()).unwrap()
}

struct Device(LiveBody);

impl Device {
    fn new(response: Response<LiveBody>) -> Self {
        assert_eq!(response.status(), 200);
        Self(response.into_body())
    }

    /// What comes next; none once the stream has ended.
    async fn frame(&mut self) -> Option<String> {
        let frame = self.0.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    }

    /// The next event; none once the stream has ended.
    async fn hears(&mut self) -> Option<String> {
        loop {
            match self.frame().await {
                Some(frame) if frame == ":\n\n" => {}
                event => return event,
            }
        }
    }

    /// The next events, as many as expected, in the order of their text.
    async fn hears_all<const N: usize>(&mut self) -> [String; N] {
        let mut heard = Vec::new();
        for _ in 0..N {
            heard.push(self.hears().await.unwrap());
        }
        heard.sort();
        heard.try_into().unwrap()
    }

    async fn hears_nothing_for(&mut self, time: Duration) {
        if let Ok(heard) = timeout(time, self.hears()).await {
            panic!("{heard:?}");
        }
    }

    /// The time until the stream ends, in seconds.
    async fn ends_after(&mut self) -> u64 {
        let before = Instant::now();
        assert_eq!(self.hears().await, None);
        before.elapsed().as_secs()
    }
}

fn clock(space: &str, clock: i64) -> String {
    format!("event: clock\ndata: {{\"space\":\"{space}\",\"logical_clock\":{clock}}}\n\n")
}

fn no_member(space: &str) -> String {
    format!(
        "event: no_member\ndata: {{\"space\":\"{space}\",\"message\":\"You are not a member.\"}}\n\n"
    )
}

async fn failure(response: Response<LiveBody>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let json: Value = serde_json::from_slice(&body).unwrap();
    (status, json["code"].as_str().unwrap().to_owned())
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn each_space_has_its_first_event_and_one_after_each_sync() {
    let app = App::new(&["club", "family"]);
    app.sync("family").await;
    app.sync_of(&owner("ada")).await;
    let mut device = app.listen("?space=family&space=club").await;
    assert_eq!(device.hears_all().await, [clock("club", 0), clock("family", 1)]);
    app.sync("club").await;
    assert_eq!(device.hears().await.unwrap(), clock("club", 1));
    app.sync("family").await;
    assert_eq!(device.hears().await.unwrap(), clock("family", 2));
    // The person's own data is not included.
    app.sync_of(&owner("ada")).await;
    device.hears_nothing_for(3 * MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_name_is_the_person_s_own_data() {
    let app = App::new(&["club"]);
    let own = |clock: i64| format!("event: clock\ndata: {{\"logical_clock\":{clock}}}\n\n");
    let mut device = app.listen("?space=&space=club").await;
    assert_eq!(device.hears_all().await, [own(0), clock("club", 0)]);
    app.sync_of(&owner("ada")).await;
    assert_eq!(device.hears().await.unwrap(), own(1));
    let mut alone = app.listen("?space").await;
    assert_eq!(alone.hears().await.unwrap(), own(1));
}

#[tokio::test(start_paused = true)]
async fn names_and_sentences_are_json() {
    let name = "a \"b\"\nü";
    let app = App::new(&[name]);
    let mut device = app.listen("?space=a+%22b%22%0A%c3%bc").await;
    let event = device.hears().await.unwrap();
    assert_eq!(
        event,
        "event: clock\ndata: {\"space\":\"a \\\"b\\\"\\nü\",\"logical_clock\":0}\n\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_spaces_asks_once_and_is_as_ever() {
    for query in ["", "?", "?spaces=club", "?since=3&x"] {
        let app = App::new(&["club"]);
        let mut device = app.listen(query).await;
        assert_eq!(device.frame().await.unwrap(), "event: clock\ndata: 0\n\n");
        app.set("", Unauthenticated);
        assert_eq!(device.frame().await.unwrap(), ":\n\n");
        app.sync_of(&owner("ada")).await;
        assert_eq!(device.frame().await.unwrap(), "event: clock\ndata: 1\n\n");
        assert!(timeout(HOUR / 2, device.hears()).await.is_err());
        assert_eq!((app.asked(""), app.asked("club")), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_hears_of_the_newest_clock_of_each_space_alone() {
    let app = App::new(&["club", "family"]);
    let mut device = app.listen("?space=family&space=club").await;
    device.hears_all::<2>().await;
    for _ in 0..20 {
        app.sync("club").await;
        app.sync("family").await;
    }
    assert_eq!(device.hears_all().await, [clock("club", 20), clock("family", 20)]);
    device.hears_nothing_for(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_which_nothing_is_left_ends_with_the_server() {
    for ends in [mobync::Live::close, mobync::Live::disconnect] {
        for mood in [Member, NoMember, Busy, Hangs] {
            let app = App::new(&[]);
            app.set("", if mood == NoMember { NoMember } else { Member });
            app.set("club", mood);
            let mut device = app.listen("?space=club").await;
            assert!(
                timeout(SECOND, device.hears()).await.is_err() != matches!(mood, Member | NoMember)
            );
            ends(app.mobync.live());
            assert_eq!(device.ends_after().await, 0, "{mood:?}");
        }
    }
    let app = App::new(&["club"]);
    app.mobync.live().close();
    assert_eq!(failure(app.get("?space=club").await).await, (503, "busy".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_stream_over_spaces_ends_at_its_greatest_age() {
    let app = App::new(&["club"]);
    let endpoint = app.endpoint().max_age(Duration::from_secs(40));
    let mut device = Device::new(endpoint.handle(request("GET", "?space=club")).await);
    device.hears_all::<1>().await;
    assert_eq!(device.ends_after().await, 40);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_cannot_be_is_refused_after_a_wrong_token_and_before_anything_else() {
    let long = "x".repeat(1025);
    let many: Vec<_> = (0..101).map(|number| format!("space={number}")).collect();
    for query in [
        "?space=club&space=club".to_owned(),
        "?space=club&space=c%6cub".to_owned(),
        "?space=&space".to_owned(),
        "?space=%00".to_owned(),
        "?space=%ff".to_owned(),
        format!("?space={long}"),
        format!("?{}", many.join("&")),
    ] {
        let app = App::new(&["club"]);
        let refused = app.get(&query).await;
        assert_eq!(failure(refused).await, (400, "invalid_request".to_owned()), "{query}");
        assert_eq!((app.asked(""), app.asked("club")), (1, 0));
        app.set("", Unauthenticated);
        assert_eq!(app.get(&query).await.status(), 401, "{query}");
        assert_eq!(app.mobync.live().listeners(), 0);
    }
    let app = App::new(&[]);
    let mut device = app.listen(&format!("?{}", many[..100].join("&"))).await;
    device.hears_all::<100>().await;
}

#[tokio::test(start_paused = true)]
async fn head_has_the_headers_of_get() {
    let app = App::new(&["club"]);
    let get = app.get("?space=club").await;
    let head = app.endpoint().handle(request("HEAD", "?space=club")).await;
    assert_eq!((head.status(), head.headers()), (get.status(), get.headers()));
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
    let head = app.endpoint().handle(request("HEAD", "?space=a&space=a")).await;
    assert_eq!(head.status(), 400);
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
    assert_eq!(app.asked("club"), 0);
}

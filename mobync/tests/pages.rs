//! Heads and pages, on every database: the laws *Same* and *Noticed*, *Past*, *Cut* and *Bounded*.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use fastrand::Rng;
use mobync::{
    Access, Change, Database, Diff, Error, Owner, Record, Rules, SyncRequest, SyncResponse,
    UnitOfWork,
};
use serde_json::{Value, json};
use support::{
    Device, Sent, Server, ada, create, databases::on_every_database, delete, diffs, line, make,
    owner, update,
};

on_every_database! {
    super::Server::new;
    past_a_page_is_the_answer_of_its_clock
    cut_pages_lead_where_one_answer_does
    bounded_a_page_is_whole_ticks_and_never_more_than_asked
    same_whoever_is_on_this_history_is_never_refused
    noticed_whoever_has_seen_another_history_is_refused
    the_clock_is_looked_at_before_the_head
    law_0_an_answer_has_only_what_was_asked_for
    a_request_with_diffs_is_never_paged
    a_server_may_page_all_and_take_less_than_is_asked
    rows_older_than_the_log_go_back_as_they_are_now_and_later_pages_correct_them
}

/// A request without diffs, at that clock.
fn pull(clock: i64) -> SyncRequest {
    SyncRequest::new(clock, Vec::new())
}

fn page(clock: i64, limit: u64) -> SyncRequest {
    let mut request = pull(clock);
    request.limit = Some(limit);
    request
}

fn with_head(mut request: SyncRequest, head: &str) -> SyncRequest {
    request.head = Some(head.to_owned());
    request
}

async fn ask<D: Database, R: Rules>(server: &Server<D, R>, request: SyncRequest) -> SyncResponse {
    server.mobync.answer(&ada(), &request).await.unwrap()
}

/// The diffs with their values as JSON, whose members have any order.
fn read(diffs: &[Diff]) -> Vec<(Diff, Value)> {
    let read = |diff: &Diff| {
        let json_data = String::new();
        (Diff { json_data, ..diff.clone() }, serde_json::from_str(&diff.json_data).unwrap())
    };
    diffs.iter().map(read).collect()
}

/// A history of several devices, each at a clock of its own, with few objects.
struct History<D> {
    server: Server<D, support::Forbid>,
    /// What a device at `k` was answered when the clock was `N`, by `N` and then by `k`.
    answers: Vec<Vec<SyncResponse>>,
    /// Clocks with the heads that devices have with them.
    heads: Vec<(i64, String)>,
}

/// What one of the devices does to one of the objects.
fn edit(rng: &mut Rng) -> Sent {
    let object = format!("t{}", rng.u8(..3));
    let mut fields = json!({});
    for name in ["a", "b", "c"] {
        if rng.bool() {
            fields[name] = json!(rng.u8(..9));
        }
    }
    let edit = match rng.u8(..7) {
        0..3 => create(&object, fields),
        3..6 => update(&object, fields),
        _ => delete(&object),
    };
    let edit = edit.at(rng.i64(-50..50));
    let id = format!("forbidden-{}", edit.0.id);
    if rng.u8(..8) == 0 { edit.id(&id) } else { edit }
}

impl<D: Database> History<D> {
    async fn draw(server: Server<D>, seed: u64, syncs: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let server = server.forbidding();
        let mut devices = [0; 3];
        let mut history = Self { server, answers: Vec::new(), heads: Vec::new() };
        history.note().await;
        for _ in 0..syncs {
            let device = rng.usize(..3);
            // A create and a delete in one request may be a life apart.
            let edits: Vec<Sent> = (0..rng.usize(1..5)).map(|_| edit(&mut rng)).collect();
            let mut request = SyncRequest::new(devices[device], diffs(edits));
            request.head = Some(String::new());
            let answer = ask(&history.server, request).await;
            // Some of them hear nothing of it, and are behind from now on.
            if rng.bool() {
                devices[device] = answer.logical_clock;
            }
            history.heads.push((answer.logical_clock, answer.head.unwrap()));
            history.note().await;
        }
        history
    }

    fn clock(&self) -> i64 {
        i64::try_from(self.answers.len()).unwrap() - 1
    }

    /// What devices of each clock are answered now.
    async fn note(&mut self) {
        let clock = i64::try_from(self.answers.len()).unwrap();
        let mut answers = Vec::new();
        for since in 0..=clock {
            answers.push(self.server.sync(since, []).await);
            let answer = ask(&self.server, with_head(pull(since), "")).await;
            self.heads.extend(answer.head.map(|head| (clock, head)));
        }
        self.answers.push(answers);
    }

    fn told(&self, since: i64, clock: i64) -> &SyncResponse {
        &self.answers[usize::try_from(clock).unwrap()][usize::try_from(since).unwrap()]
    }
}

async fn past_a_page_is_the_answer_of_its_clock(server: Server<impl Database>) {
    let history = History::draw(server, 1, 14).await;
    for since in 0..=history.clock() {
        for limit in 1..40 {
            let page = ask(&history.server, page(since, limit)).await;
            let told = history.told(since, page.logical_clock);
            let diffs = [&page, told].map(|answer| read(&answer.diffs));
            assert_eq!(diffs[0], diffs[1], "from {since}, {limit} entries");
            assert_eq!(page.logical_clock, told.logical_clock);
        }
    }
}

async fn cut_pages_lead_where_one_answer_does(server: Server<impl Database>) {
    let history = History::draw(server, 2, 14).await;
    let mut rng = Rng::with_seed(3);
    for since in 0..=history.clock() {
        let mut device = Device::default();
        device.apply(&history.told(0, since).diffs);
        let (mut clock, mut head) = (since, String::new());
        loop {
            let request = with_head(page(clock, rng.u64(1..8)), &head);
            let answer = ask(&history.server, request).await;
            device.apply(&answer.diffs);
            head = answer.head.unwrap_or(head);
            clock = answer.logical_clock;
            let then = history.told(0, clock);
            let mut said = Device::default();
            said.apply(&then.diffs);
            assert_eq!(device.rows(), said.rows(), "what was there at {clock}");
            if answer.more.is_none() {
                break;
            }
        }
        assert_eq!(clock, history.clock());
        assert_eq!(device.rows(), history.server.rows().await, "from {since}");
    }
}

async fn bounded_a_page_is_whole_ticks_and_never_more_than_asked(server: Server<impl Database>) {
    let history = History::draw(server, 4, 14).await;
    let log = history.server.log().await;
    for since in 0..=history.clock() {
        let behind: Vec<&Diff> = log.iter().filter(|entry| entry.logical_clock >= since).collect();
        for limit in (1..40).chain([i64::MAX as u64, u64::MAX]) {
            let answer = ask(&history.server, page(since, limit)).await;
            // The text: the tick of the (n+1)-th entry; the next one, if the first tick has more; else N.
            let many = usize::try_from(limit).unwrap_or(usize::MAX);
            let next = behind.get(many).map(|entry| entry.logical_clock);
            let next = match next {
                Some(tick) if tick == behind[0].logical_clock => tick + 1,
                Some(tick) => tick,
                None => history.clock(),
            };
            assert_eq!(answer.logical_clock, next, "from {since}, {limit} entries");
            let more = (next < history.clock()).then(|| history.clock());
            assert_eq!(answer.more, more);
            assert!(next > since || behind.is_empty());
        }
    }
}

async fn same_whoever_is_on_this_history_is_never_refused(server: Server<impl Database>) {
    let history = History::draw(server, 5, 14).await;
    assert!(history.heads.len() > 100);
    let ticks: BTreeMap<String, i64> = history
        .server
        .log()
        .await
        .into_iter()
        .map(|entry| (entry.id, entry.logical_clock))
        .collect();
    for (clock, head) in &history.heads {
        assert_eq!(ticks[head], clock - 1, "it is of the last tick");
        let answer = ask(&history.server, with_head(pull(*clock), head)).await;
        let told = history.told(*clock, history.clock());
        assert_eq!(read(&answer.diffs), read(&told.diffs));
        assert_eq!(answer.head.is_some(), *clock < history.clock());
    }
    let push = SyncRequest::new(history.clock(), diffs([create("t9", json!({})).id("own")]));
    let push = with_head(push, &history.heads.last().unwrap().1);
    assert_eq!(ask(&history.server, push.clone()).await.head.as_deref(), Some("own"));
    assert_eq!(ask(&history.server, push).await.head.as_deref(), Some("own"), "a retry");
}

async fn noticed_whoever_has_seen_another_history_is_refused(server: Server<impl Database>) {
    let history = History::draw(server, 6, 14).await;
    let (mobync, log) = (&history.server.mobync, history.server.log().await);
    // Bob's is what a backup of a while ago has made of it.
    let (bob, backup) = (owner("bob"), 6);
    let before = log.iter().filter(|entry| entry.logical_clock < backup).cloned().collect();
    let mut unit = mobync.database().open(&bob, Access::Write).await.unwrap();
    unit.append(&bob, "diffs", before).await.unwrap();
    unit.commit().await.unwrap();

    let refusal = async |clock: i64, head: &str, sent: Vec<Diff>| {
        let request = with_head(SyncRequest::new(clock, sent), head);
        mobync.answer(&bob, &request).await.map_err(|error| error.code())
    };
    for clock in backup..history.clock() + 3 {
        for (at, head) in &history.heads {
            let answer = refusal(*at, head, Vec::new()).await;
            let told = match *at {
                at if at <= backup => Ok(()),
                at if at > clock => Err("clock_ahead"),
                _ => Err("other_history"),
            };
            assert_eq!(answer.map(|_| ()), told, "at {at}, the server at {clock}");
        }
        let sent = diffs([create(&format!("new{clock}"), json!({}))]);
        let pushed = refusal(clock, "", sent).await.unwrap();
        assert_eq!(pushed.logical_clock, clock + 1);
    }
    // A head must be of the very tick, and nothing of a refused request is done.
    let (at, head) = &history.heads[history.heads.len() - 1];
    let long = "l".repeat(2_000);
    for (clock, head) in [(*at - 1, &**head), (*at, "a\0b"), (*at, &long), (*at, "'"), (1, head)] {
        let sent = diffs([create("t9", json!({}))]);
        let request = with_head(SyncRequest::new(clock, sent), head);
        let refused = mobync.answer(&ada(), &request).await.unwrap_err();
        assert!(matches!(refused, Error::OtherHistory), "{refused:?}");
    }
    assert_eq!(history.server.log().await, log);
}

async fn the_clock_is_looked_at_before_the_head(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({}))]).await;
    let refused = server.mobync.answer(&ada(), &with_head(page(2, 1), "x")).await.unwrap_err();
    assert_eq!(refused.code(), "clock_ahead");
    let new = ask(&server, with_head(pull(0), "of another server")).await;
    assert_eq!(new.logical_clock, 1, "a device at 0 has no history");
}

async fn law_0_an_answer_has_only_what_was_asked_for(server: Server<impl Database>) {
    let history = History::draw(server, 7, 6).await;
    for since in 0..=history.clock() {
        let plain = ask(&history.server, pull(since)).await;
        assert_eq!((&plain.head, plain.more), (&None, None));
        assert_eq!(&plain, history.told(since, history.clock()));
        let whole = ask(&history.server, page(since, 1_000)).await;
        assert_eq!(read(&whole.diffs), read(&plain.diffs), "all of it is as without a limit");
        assert_eq!((whole.logical_clock, whole.head, whole.more), (history.clock(), None, None));
    }
    let pushed = history.server.sync(history.clock(), [create("t9", json!({}))]).await;
    assert_eq!((pushed.head, pushed.more), (None, None));
}

async fn a_request_with_diffs_is_never_paged(server: Server<impl Database>) {
    for clock in 0..4 {
        server.sync(clock, [create(&format!("t{clock}"), json!({}))]).await;
    }
    let mut push = page(0, 1);
    push.diffs = diffs([create("own", json!({}))]);
    let answer = ask(&server, push).await;
    assert_eq!((answer.logical_clock, answer.more, answer.diffs.len()), (5, None, 4));
}

async fn a_server_may_page_all_and_take_less_than_is_asked(server: Server<impl Database>) {
    for clock in 0..4 {
        server.sync(clock, [create(&format!("t{clock}"), json!({}))]).await;
    }
    let server = Server { mobync: server.mobync.max_page(2) };
    let whole = ask(&server, pull(0)).await;
    assert_eq!((whole.logical_clock, whole.more), (4, None));
    let first = ask(&server, page(0, 100)).await;
    assert_eq!((first.logical_clock, first.more), (2, Some(4)));

    let server = Server { mobync: server.mobync.page_all(true) };
    for (clock, next, more) in [(0, 2, Some(4)), (1, 3, Some(4)), (2, 4, None), (4, 4, None)] {
        let answer = server.sync(clock, []).await;
        assert_eq!((answer.logical_clock, answer.more), (next, more));
    }
    let backend = server.mobync.write(&ada(), [] as [Change; 0]).await.unwrap();
    assert_eq!(backend.logical_clock, 4);
    let server = Server { mobync: server.mobync.max_page(0) };
    assert_eq!(ask(&server, page(0, 0)).await.logical_clock, 1, "one tick at the least");
}

/// They converge: what a page brings of a row that is older than the log is the row as it is now. Each
/// field of it is of now, or of a later entry than the page has, and that comes with its page.
async fn rows_older_than_the_log_go_back_as_they_are_now_and_later_pages_correct_them(
    server: Server<impl Database>,
) {
    let mut unit = server.mobync.database().open(&ada(), Access::Write).await.unwrap();
    for id in ["changed", "deleted", "again"] {
        let record = Record::new(id).with("a", 1).with("b", 1);
        make(&mut unit, Change::create("tasks", record)).await.unwrap();
    }
    unit.commit().await.unwrap();
    // One tick each; in the first all of them are touched.
    let touch = |id: &str| Change::update("tasks", Record::new(id).with("a", 2));
    let ids = ["changed", "deleted", "again"];
    server.mobync.write(&ada(), ids.map(touch)).await.unwrap();
    let later = [
        Change::update("tasks", Record::new("changed").with("b", 3)),
        Change::delete("tasks", "deleted"),
        Change::delete("tasks", "again"),
        Change::create("tasks", Record::new("again").with("c", 4)),
        Change::update("tasks", Record::new("changed").with("a", Value::Null)),
    ];
    for change in later {
        server.mobync.write(&ada(), [change]).await.unwrap();
    }
    for limit in 1..9 {
        let (mut device, mut clock) = (Device::default(), 0);
        loop {
            let answer = ask(&server, page(clock, limit)).await;
            if clock == 0 && limit <= 3 {
                let changed = answer.diffs.iter().map(line).find(|line| line.contains("changed"));
                let changed = changed.unwrap();
                assert!(changed.starts_with("create changed") && changed.contains("\"b\":3"));
            }
            device.apply(&answer.diffs);
            clock = answer.logical_clock;
            if answer.more.is_none() {
                break;
            }
        }
        assert_eq!(device.rows(), server.rows().await, "{limit} entries a page");
    }
}

/// *Bounded*, also where the log is read by filters alone.
#[tokio::test]
async fn bounded_seven_methods_read_about_a_page_of_a_long_log() {
    let server = Server::new(support::Plain::default());
    let mut log = Vec::new();
    for tick in 0..600 {
        let sent = create(&format!("t{tick}"), json!({"a": tick}));
        log.push(Diff { logical_clock: tick, owner: "ada".to_owned(), ..sent.0 });
    }
    let mut unit = server.mobync.database().open(&ada(), Access::Write).await.unwrap();
    unit.append(&ada(), "diffs", log).await.unwrap();
    UnitOfWork::commit(unit).await.unwrap();
    for (clock, limit) in [(0, 1), (0, 10), (300, 10), (599, 10), (0, 100)] {
        let head = format!("create-t{}-", clock - 1);
        let head = if clock == 0 { String::new() } else { head_of(&server, &head).await };
        server.mobync.database().take_most_read();
        let answer = ask(&server, with_head(page(clock, limit), &head)).await;
        let expected = (clock + i64::try_from(limit).unwrap()).min(600);
        assert_eq!(answer.logical_clock, expected);
        let most = server.mobync.database().take_most_read();
        assert!(most <= 2 * usize::try_from(limit).unwrap(), "{most} for {limit} entries");
    }
}

/// *Bounded*, also if some ticks have many times as many entries as others, and some are gone.
#[tokio::test]
async fn bounded_seven_methods_read_a_page_and_a_few_ticks_however_uneven_they_are() {
    const LARGEST: usize = 30;
    for seed in 0..3 {
        let mut rng = Rng::with_seed(seed);
        let server = Server::new(support::Plain::default());
        let (mut log, mut tick) = (Vec::new(), 0);
        let mut ends = vec![0];
        // A long time of small ticks, or of none, comes before a long time of large ones.
        for part in 0..2 {
            let ticks = 40 + rng.i64(0..20);
            let is_gap = part % 2 == 0 && rng.u8(..3) == 0;
            for _ in 0..ticks {
                let entries = match (is_gap, part % 2) {
                    (true, _) => 0,
                    (_, 0) => 1,
                    _ => LARGEST - rng.usize(..5),
                };
                log.extend((0..entries).map(|n| Diff {
                    logical_clock: tick,
                    owner: "ada".to_owned(),
                    ..create(&format!("t{tick}-{n}"), json!({})).0
                }));
                tick += 1;
            }
            ends.push(tick);
        }
        let all = log.len();
        let mut horizon = create("horizon", json!({})).model("diffs").0;
        (horizon.logical_clock, horizon.utc_timestamp) = (tick - 1, 0);
        (horizon.owner, horizon.operation) = ("ada".to_owned(), mobync::Operation::Update);
        log.push(horizon);
        let database = server.mobync.database();
        let mut unit = database.open(&ada(), Access::Write).await.unwrap();
        unit.append(&ada(), "diffs", log).await.unwrap();
        UnitOfWork::commit(unit).await.unwrap();

        for limit in [10, 100] {
            let (mut clock, mut head, mut entries) = (0, String::new(), 0);
            loop {
                database.take_most_read();
                let answer = ask(&server, with_head(page(clock, limit), &head)).await;
                let most = database.take_most_read();
                assert!(most <= 16 * LARGEST + 1, "seed {seed}, from {clock}: {most} were read");
                entries += answer.diffs.len();
                clock = answer.logical_clock;
                head = answer.head.unwrap_or_default();
                if answer.more.is_none() {
                    break;
                }
            }
            assert_eq!(entries, all, "seed {seed}");
        }
        database.take_most_read();
        let mut unit = database.open(&ada(), Access::Read).await.unwrap();
        let mut end = tick;
        loop {
            let read = unit.entries_before(&ada(), "diffs", end, 50).await.unwrap();
            let Some(first) = read.iter().map(|entry| entry.logical_clock).min() else { break };
            assert!(read.len() <= 50 + 16 * LARGEST, "seed {seed}: {}", read.len());
            end = first;
        }
        assert!(database.take_most_read() <= 16 * LARGEST + 1);
    }
}

/// The id of the entry that begins so.
async fn head_of(server: &Server<support::Plain>, beginning: &str) -> String {
    let log = server.log().await;
    log.into_iter().find(|entry| entry.id.starts_with(beginning)).unwrap().id
}

/// A sync of an owner who has none yet.
#[tokio::test]
async fn an_empty_log_has_neither_head_nor_page() {
    let (database, _) = support::databases::memory().await;
    let server = Server::new(database);
    for request in [with_head(page(0, 1), ""), with_head(pull(0), "x")] {
        let answer = server.mobync.answer(&Owner::new("eve").unwrap(), &request).await.unwrap();
        assert_eq!(answer, SyncResponse::new(0, Vec::new()));
    }
}

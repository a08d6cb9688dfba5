//! Answers the devices of several owners that have missed nothing, in one query.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{Asked, Mobync, Source, attempt::pulled, in_one_line, span};
use crate::{
    database::Database,
    diff::check_name,
    error::DatabaseError,
    hash::HashSet,
    owner::Owner,
    protocol::{SyncRequest, SyncResponse},
    unit::IdleQuery,
};

/// The longest time for the query, so that a request that it cannot answer still has most of its own time.
const LONGEST: Duration = Duration::from_secs(1);
/// The greatest part of that time.
const PART: u32 = 10;

impl<D: Database, R> Mobync<D, R> {
    /// For each request that has nothing to bring and nothing to get, the answer that
    /// [`answer`](Self::answer) would have given. Each of the others, `None`, is to be answered by itself: also
    /// where the database cannot tell, is busy or fails. A request never gets ahead of an earlier one of its
    /// owner.
    pub(crate) async fn answer_idle(
        &self,
        members: &[(&Owner, &SyncRequest)],
    ) -> Vec<Option<SyncResponse>> {
        let (places, queries): (Vec<usize>, Vec<IdleQuery<'_>>) = members
            .iter()
            .enumerate()
            .filter_map(|(place, (owner, request))| Some((place, self.idle_query(owner, request)?)))
            .unzip();
        let started = Instant::now();
        let told = match queries.len() {
            // Alone, it is answered by a query of its own just as fast.
            0 | 1 => Vec::new(),
            _ => self.idle_in_time(&queries).await.unwrap_or_else(|error| {
                let cause = in_one_line(&error);
                tracing::warn!(cause, "idle syncs are answered one by one");
                Vec::new()
            }),
        };
        let told = places.into_iter().zip(told).filter(|(_, is_idle)| *is_idle);
        let idle: HashSet<usize> = told.map(|(place, _)| place).collect();
        let mut behind = HashSet::default();
        let answers = members.iter().enumerate().map(|(place, (owner, request))| {
            if idle.contains(&place) && !behind.contains(owner) {
                return Some(self.idle_answer(owner, request, started));
            }
            behind.insert(*owner);
            None
        });
        answers.collect()
    }

    /// What to ask the database about a request, if it may have nothing to bring and nothing to get.
    fn idle_query<'a>(&self, owner: &'a Owner, request: &'a SyncRequest) -> Option<IdleQuery<'a>> {
        let SyncRequest { logical_clock: since, diffs, .. } = request;
        let asked = Asked::of(request);
        let is_plain = diffs.is_empty() && *since >= 0 && !asked.check;
        if !is_plain || self.refusal(owner, asked).is_some() {
            return None;
        }
        let query = IdleQuery::new(owner, *since, asked.head());
        query.head.is_none_or(|head| check_name(head).is_ok()).then_some(query)
    }

    async fn idle_in_time(&self, queries: &[IdleQuery<'_>]) -> Result<Vec<bool>, DatabaseError> {
        let idle = self.database.idle(&self.settings.diffs_model, queries);
        match self.settings.time_limit.or(self.database.time_limit()) {
            None => idle.await,
            Some(limit) => timeout(LONGEST.min(limit / PART), idle)
                .await
                .unwrap_or_else(|late| Err(DatabaseError::busy(late))),
        }
    }

    fn idle_answer(&self, owner: &Owner, request: &SyncRequest, started: Instant) -> SyncResponse {
        let since = request.logical_clock;
        let span = span::begin(Source::Device { since }, 0);
        let mut answer = span.in_scope(|| pulled(since, Vec::new()));
        answer.owner = request.owner.as_ref().map(|_| owner.to_string());
        self.live.announce(owner, since);
        span::end(&span, started, None);
        answer
    }
}

#[cfg(test)]
#[cfg(feature = "memory")]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::{Access, Diff, Operation, memory::MemoryDatabase};

    fn owner(name: &str) -> Owner {
        Owner::new(name).unwrap()
    }

    fn create(id: &str) -> Diff {
        Diff {
            id: id.to_owned(),
            owner: String::new(),
            logical_clock: 0,
            utc_timestamp: 1_583_020_800_000,
            operation: Operation::Create,
            model: "tasks".to_owned(),
            json_data: format!(r#"{{"id":"{id}"}}"#),
        }
    }

    /// Ada's clock is 2, and the head of it is `a2`. Bob has nothing.
    async fn server<D: Database>(database: D) -> Mobync<D> {
        let mobync = Mobync::new(database);
        mobync.apply(&owner("ada"), 0, vec![create("a1")]).await.unwrap();
        mobync.apply(&owner("ada"), 1, vec![create("a2")]).await.unwrap();
        mobync
    }

    /// Each request with each of these values.
    fn each<T: Clone>(
        requests: &mut Vec<SyncRequest>,
        values: &[T],
        set: impl Fn(&mut SyncRequest, T),
    ) {
        let all = requests.iter().flat_map(|request| {
            values.iter().map(|value| {
                let mut request = request.clone();
                set(&mut request, value.clone());
                request
            })
        });
        *requests = all.collect();
    }

    /// Requests with each combination of members.
    fn requests() -> Vec<SyncRequest> {
        let mut requests = vec![SyncRequest::new(0, Vec::new())];
        each(&mut requests, &[-1, 0, 1, 2, 3, i64::MAX], |it, clock| it.logical_clock = clock);
        let heads = [None, Some(""), Some("a1"), Some("a2"), Some("a3"), Some("a\0")];
        each(&mut requests, &heads, |it, head| it.head = head.map(str::to_owned));
        let owners = [None, Some(""), Some("ada"), Some("bob")];
        each(&mut requests, &owners, |it, owner| it.owner = owner.map(str::to_owned));
        each(&mut requests, &[None, Some(1), Some(2), Some(3)], |it, schema| it.schema = schema);
        each(&mut requests, &[None, Some(1)], |it, limit| it.limit = limit);
        each(&mut requests, &[false, true], |it, report| it.report = report);
        each(&mut requests, &[false, true], |it, check| it.check = check);
        // The server has it.
        each(&mut requests, &[vec![], vec![create("a1")]], |it, diffs| it.diffs = diffs);
        requests
    }

    #[tokio::test]
    async fn what_is_answered_together_is_exactly_what_each_would_have_been_answered_alone() {
        let (ada, bob, cyd) = (owner("ada"), owner("bob"), owner("cyd"));
        let mut bobs = SyncRequest::new(0, Vec::new());
        bobs.schema = Some(2);
        let plain = server(MemoryDatabase::new()).await;
        let strict = plain.clone().min_schema(2).schema_of_silent_clients(2);
        for mobync in [plain.clone(), plain.page_all(true), strict] {
            let mut together = 0;
            for request in requests() {
                let alone = mobync.answer(&ada, &request).await;
                let is_idle = alone.as_ref().is_ok_and(|answer| {
                    answer.logical_clock == request.logical_clock
                        && request.diffs.is_empty()
                        && !request.check
                });
                let members = [(&bob, &bobs), (&ada, &request), (&cyd, &bobs)];
                let answers = mobync.answer_idle(&members).await;
                let [Some(_), adas, Some(_)] = &*answers else { panic!("{answers:?}") };
                let json = |answer: &SyncResponse| serde_json::to_string(answer).unwrap();
                let expected = is_idle.then(|| json(&alone.unwrap()));
                assert_eq!(adas.as_ref().map(json), expected, "{request:?}");
                together += usize::from(is_idle);
            }
            assert!(together > 50, "{together}");
        }
    }

    #[tokio::test]
    async fn a_request_that_is_alone_is_not_looked_up_twice() {
        let (ada, bob) = (owner("ada"), owner("bob"));
        let mobync = server(MemoryDatabase::new()).await;
        let (idle, push) = (SyncRequest::new(2, vec![]), SyncRequest::new(0, vec![create("b1")]));
        assert_eq!(mobync.answer_idle(&[(&ada, &idle), (&bob, &push)]).await, [None, None]);
    }

    #[tokio::test]
    async fn nobody_gets_ahead_of_an_earlier_request_of_the_same_owner() {
        let (ada, bob) = (owner("ada"), owner("bob"));
        let mobync = server(MemoryDatabase::new()).await;
        let (push, behind) = (SyncRequest::new(2, vec![create("a3")]), SyncRequest::new(1, vec![]));
        let (idle, bobs) = (SyncRequest::new(2, vec![]), SyncRequest::new(0, vec![]));
        for busy in [push, behind] {
            let members =
                [(&ada, &idle), (&ada, &busy), (&bob, &bobs), (&ada, &idle), (&bob, &bobs)];
            let answers = mobync.answer_idle(&members).await;
            let answered: Vec<bool> = answers.iter().map(Option::is_some).collect();
            assert_eq!(answered, [true, false, true, false, true]);
        }
        assert_eq!(mobync.answer_idle(&[]).await, []);
    }

    #[tokio::test]
    async fn listeners_hear_of_a_clock_that_another_process_has_reached() {
        let (ada, bob) = (owner("ada"), owner("bob"));
        let mobync = server(MemoryDatabase::new()).await;
        let mut listener = mobync.live().listen(&ada, 1).unwrap();
        let (idle, bobs) = (SyncRequest::new(2, vec![]), SyncRequest::new(0, vec![]));
        let answers = mobync.answer_idle(&[(&ada, &idle), (&bob, &bobs)]).await;
        assert!(answers.iter().all(Option::is_some), "{answers:?}");
        assert_eq!(listener.beyond(0).await, Some(2));
    }

    /// Its query for idle devices fails, or never ends.
    struct Ill {
        inner: MemoryDatabase,
        hangs: bool,
    }

    impl Database for Ill {
        type Unit = <MemoryDatabase as Database>::Unit;

        async fn open(&self, owner: &Owner, access: Access) -> Result<Self::Unit, DatabaseError> {
            self.inner.open(owner, access).await
        }

        fn time_limit(&self) -> Option<Duration> {
            Some(Duration::from_secs(30))
        }

        async fn idle(&self, _: &str, _: &[IdleQuery<'_>]) -> Result<Vec<bool>, DatabaseError> {
            if self.hangs { pending().await } else { Err(DatabaseError::failed("it is ill")) }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_fails_or_hangs_answers_nobody_and_takes_little_time() {
        let (ada, bob) = (owner("ada"), owner("bob"));
        let (idle, bobs) = (SyncRequest::new(2, vec![]), SyncRequest::new(0, vec![]));
        for hangs in [false, true] {
            let mobync = server(Ill { inner: MemoryDatabase::new(), hangs }).await;
            let begun = tokio::time::Instant::now();
            let answers = mobync.answer_idle(&[(&ada, &idle), (&bob, &bobs)]).await;
            assert_eq!(answers, [None, None]);
            assert!(begun.elapsed() <= LONGEST + Duration::from_millis(1), "{:?}", begun.elapsed());
        }
    }
}

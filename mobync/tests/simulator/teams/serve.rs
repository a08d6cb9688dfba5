//! The server of a world: requests in, answers out, and whether these are what the text requires.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use mobync::http::{Auth, Credentials, Endpoint};

use super::{
    club::{Club, Flaw, OWNERS, PEOPLE, SENTENCE, Trouble, Verdict, Whose},
    flaws,
    held::Outcome,
    post::{Came, One, Part, Sent, marks, read},
};
use crate::{
    faults::Faults,
    hand::Place,
    ours::same,
    rules::NoNo,
    server::{Posted, Server},
    support::hooked::Hooked,
    world::Failure,
};

/// The answer to a request, and what it means.
#[derive(Debug)]
pub struct Answered {
    pub request: usize,
    /// As it came, for a client that reads bytes.
    pub status: u16,
    pub retry_after: Option<u64>,
    pub body: Bytes,
    pub kind: Whole,
}

#[derive(Debug)]
pub enum Whole {
    /// For each part, the answer and what it means.
    Parts(Vec<(One, Outcome)>),
    /// An older server does not know `syncs`.
    Old,
    TooLarge,
    Failed,
}

/// The answers of the server, before they are explained.
struct Raw {
    status: u16,
    retry_after: Option<u64>,
    body: Bytes,
    asked: Vec<(Whose, Verdict)>,
}

/// What an older server answers if there is no `logical_clock`.
const OLD: &str =
    r#"{"success":false,"message":"logical_clock is missing","code":"invalid_request"}"#;

/// The server, and the application that it asks.
pub struct Desk<D> {
    pub server: Server<D>,
    pub club: Arc<Mutex<Club>>,
    pub is_old: bool,
    /// How many requests have arrived.
    arrived: AtomicUsize,
    max_diffs: usize,
    flaw: Flaw,
}

impl<D: Place> Desk<D> {
    pub fn new(server: Server<D>, club: Club, max_diffs: usize, flaw: Flaw) -> Self {
        Self {
            server,
            club: Arc::new(Mutex::new(club)),
            is_old: false,
            arrived: AtomicUsize::new(0),
            max_diffs,
            flaw,
        }
    }

    /// Requests arrive, all at once.
    pub async fn serve(
        &mut self,
        requests: &[(usize, &Sent)],
        pace: Option<u64>,
    ) -> Result<Vec<Answered>, Failure> {
        self.server.faults().set_pace(pace);
        let raw = match requests {
            [one] => vec![self.raw(one.1).await],
            [left, right] => {
                let (left, right) = tokio::join!(self.raw(left.1), self.raw(right.1));
                vec![left, right]
            }
            _ => return Err(Failure("one or two requests at once".to_owned())),
        };
        self.server.faults().set_pace(None);
        let raw: Vec<Raw> = raw.into_iter().collect::<Result<_, _>>()?;
        self.explain(requests, raw).await
    }

    /// What the real server answers.
    async fn raw(&self, sent: &Sent) -> Result<Raw, Failure> {
        if self.is_old && sent.is_batch {
            let body = Bytes::from_static(OLD.as_bytes());
            return Ok(Raw { status: 400, retry_after: None, body, asked: Vec::new() });
        }
        // The same request may arrive twice.
        let number = self.arrived.fetch_add(1, Ordering::Relaxed);
        let club = Arc::clone(&self.club);
        let auth = move |credentials: Credentials| {
            let club = Arc::clone(&club);
            async move {
                // Others may be served in between.
                tokio::task::yield_now().await;
                let (token, space) = (credentials.token()?, credentials.space());
                let mut club = club.lock().unwrap();
                club.ask(number, token, space)
            }
        };
        let endpoint = Endpoint::new(self.server.mobync(), auth);
        if self.flaw == Flaw::SpaceIsIgnored && sent.is_batch {
            return self.as_own(endpoint, number, sent).await;
        }
        let body = if self.is_old { flaws::older(&sent.body) } else { sent.body.clone() };
        let response = endpoint.handle(request(sent.person, body)?).await;
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|it| it.to_str().ok());
        let retry_after = after.and_then(|it| it.parse().ok());
        let body = flaws::answer(response.into_body(), self.flaw);
        let asked = self.club.lock().unwrap().take_asked(number);
        Ok(Raw { status, retry_after, body, asked })
    }

    /// The answers of a server that serves each part as the person's own.
    async fn as_own<A: Auth>(
        &self,
        endpoint: Endpoint<Hooked<D, Faults>, NoNo, A>,
        number: usize,
        sent: &Sent,
    ) -> Result<Raw, Failure> {
        let mut parts = Vec::new();
        for body in flaws::plain(&sent.body) {
            let response = endpoint.handle(request(sent.person, body)?).await;
            parts.push((response.status().as_u16(), response.into_body()));
        }
        let mut club = self.club.lock().unwrap();
        club.take_asked(number);
        let spaces = sent.parts.iter().filter_map(|part| part.whose);
        let whose = std::iter::once(None).chain(spaces.map(Some));
        let asked = whose.map(|whose| (whose, club.verdict(sent.person, whose))).collect();
        Ok(Raw { status: 200, retry_after: None, body: flaws::several(parts), asked })
    }

    /// The answers are what the text requires, in one of the orders in which the requests of each owner may have
    /// been served.
    async fn explain(
        &mut self,
        requests: &[(usize, &Sent)],
        raw: Vec<Raw>,
    ) -> Result<Vec<Answered>, Failure> {
        let mut has_failed = self.server.faults().take_failure();
        let mut all = Vec::new();
        // By owner, the parts of each request that are served for it: which request, and which part.
        let mut served: Vec<Vec<Vec<(usize, usize)>>> =
            vec![vec![Vec::new(); requests.len()]; OWNERS.len()];
        let mut parts: Vec<Vec<Option<(One, Posted)>>> = Vec::new();
        for (place, ((number, sent), raw)) in requests.iter().zip(raw).enumerate() {
            let came = read(sent, raw.status, raw.retry_after, &raw.body)?;
            check_isolation(sent, &raw)?;
            let kind = self.whole(sent, &raw, &came)?;
            let (kind, of) = match (kind, came) {
                (Some(kind), _) => (kind, Vec::new()),
                (None, Came::Whole(one)) => self.first(vec![*one], sent, &raw)?,
                (None, Came::Parts(ones, _)) => self.first(ones, sent, &raw)?,
            };
            for (part, one) in of.iter().enumerate() {
                if let Some((_, posted)) = one {
                    served[posted.owner][place].push((place, part));
                }
            }
            parts.push(of);
            let Raw { status, retry_after, body, .. } = raw;
            all.push(Answered { request: *number, status, retry_after, body, kind });
        }
        for (owner, queues) in
            served.iter().enumerate().filter(|(_, it)| it.iter().any(|it| !it.is_empty()))
        {
            self.explain_owner(owner, queues, &parts, &mut all, &mut has_failed).await?;
        }
        same("whether the database has failed for nobody", &has_failed, &false)?;
        Ok(all)
    }

    /// Whether the request fails as a whole, and rightly so.
    fn whole(&self, sent: &Sent, raw: &Raw, came: &Came) -> Result<Option<Whole>, Failure> {
        let (status, code) = match came {
            Came::Whole(one) => (one.heard.status, &*one.heard.code),
            Came::Parts(..) => (200, ""),
        };
        if self.is_old && sent.is_batch {
            same("an older server", &(status, code), &(400, "invalid_request"))?;
            return Ok(Some(Whole::Old));
        }
        let own = raw.asked.first().copied();
        let Some((None, verdict)) = own else {
            return Err(Failure(format!("the application is first asked {own:?}")));
        };
        if let Verdict::Trouble(trouble) = verdict {
            same("trouble with a person", &(status, code), &of_trouble(trouble))?;
            return Ok(Some(Whole::Failed));
        }
        if sent.diffs() > self.max_diffs {
            same("too many diffs", &(status, code), &(413, "payload_too_large"))?;
            return Ok(Some(Whole::TooLarge));
        }
        if sent.is_batch {
            let own = match verdict {
                Verdict::Grants(owner, _) => Some(OWNERS[owner]),
                _ => None,
            };
            let is_others =
                |named: &String| !named.is_empty() && own.is_some_and(|own| own != named);
            if sent.names.as_ref().is_some_and(is_others) {
                same("another account", &(status, code), &(403, "other_owner"))?;
                return Ok(Some(Whole::Failed));
            }
            same("that the parts are answered", &status, &200)?;
            if let Came::Parts(_, named) = came {
                let said = sent.names.as_ref().and(own);
                same("the owner beside the answers", &named.as_deref(), &said)?;
            }
        }
        let mut asked: Vec<Whose> = raw.asked.iter().map(|it| it.0).collect();
        let mut said: Vec<Whose> = sent.parts.iter().map(|part| part.whose).collect();
        said.retain(Option::is_some);
        said.push(None);
        asked.sort_unstable();
        said.sort_unstable();
        same("what the application is asked about", &asked, &said)?;
        Ok(None)
    }

    /// The answers that follow from what the application has said; the others have yet to be explained.
    #[allow(clippy::type_complexity, reason = "used once")]
    fn first(
        &self,
        ones: Vec<One>,
        sent: &Sent,
        raw: &Raw,
    ) -> Result<(Whole, Vec<Option<(One, Posted)>>), Failure> {
        let (mut outcomes, mut open) = (Vec::new(), Vec::new());
        for (one, part) in ones.into_iter().zip(&sent.parts) {
            let verdict = raw.asked.iter().find(|it| it.0 == part.whose).map(|it| it.1);
            let heard = &one.heard;
            let (status, code) = (heard.status, &*heard.code);
            let refused = match verdict {
                Some(Verdict::NoMember) => {
                    same("the sentence", &&*heard.message, &SENTENCE)?;
                    Some((403, "no_member"))
                }
                Some(Verdict::Grants(owner, _)) if part.whose.is_some() && owner == sent.person => {
                    Some((403, "no_member"))
                }
                Some(Verdict::Trouble(trouble)) => Some(of_trouble(trouble)),
                Some(Verdict::Grants(owner, _)) if !self.is_old => other_owner(part, owner),
                Some(Verdict::Grants(..)) => None,
                None => Some((401, "unauthenticated")),
            };
            if let Some(said) = refused {
                let what = format!("what {:?} is answered after {verdict:?}", part.whose);
                same(&what, &(status, code), &said)?;
                let is_gone = said == (403, "no_member");
                outcomes.push((one, if is_gone { Outcome::NoMember } else { Outcome::Failed }));
                open.push(None);
                continue;
            }
            let Some(Verdict::Grants(owner, reads_only)) = verdict else { continue };
            let said = part.names.as_ref().filter(|_| status == 200 && !self.is_old);
            let said = said.map(|_| OWNERS[owner].to_owned());
            same("the owner in an answer", &one.names, &said)?;
            if let Some(busy) = self.server.faults().is_shut(OWNERS[owner]) {
                let said = if busy { (503, "busy") } else { (500, "internal") };
                same("a part whose rows cannot be read", &(status, code), &said)?;
                outcomes.push((one, Outcome::Failed));
                open.push(None);
                continue;
            }
            if status == 200 {
                check_marks(part, owner)?;
            }
            open.push(Some((one.clone(), posted_as(&part.posted, owner, reads_only))));
            // Until it is explained.
            outcomes.push((one, Outcome::Failed));
        }
        Ok((Whole::Parts(outcomes), open))
    }

    /// The answers to all requests of one owner.
    async fn explain_owner(
        &mut self,
        owner: usize,
        queues: &[Vec<(usize, usize)>],
        parts: &[Vec<Option<(One, Posted)>>],
        all: &mut [Answered],
        has_failed: &mut bool,
    ) -> Result<(), Failure> {
        let before = self.server.oracle(owner).clone();
        let mut failures = Vec::new();
        for order in interleavings(queues) {
            match self.explain_order(&order, parts).await {
                Ok((replies, failed)) => {
                    match failed {
                        0 => {}
                        1 if *has_failed => *has_failed = false,
                        _ => {
                            return Err(Failure(format!("{failed} requests failed by themselves")));
                        }
                    }
                    for ((place, part), outcome) in order.into_iter().zip(replies) {
                        if let Whole::Parts(outcomes) = &mut all[place].kind {
                            outcomes[part].1 = outcome;
                        }
                    }
                    return self.server.check_owner(owner).await;
                }
                Err(Failure(failure)) => {
                    failures.push(format!("for {}, served as {order:?}: {failure}", OWNERS[owner]));
                    self.server.suppose(owner, before.clone());
                }
            }
        }
        Err(Failure(failures.join("\n")))
    }

    /// The same, if they were served in this order. Returns how many of them have failed with the database.
    async fn explain_order(
        &mut self,
        order: &[(usize, usize)],
        parts: &[Vec<Option<(One, Posted)>>],
    ) -> Result<(Vec<Outcome>, usize), Failure> {
        let (mut outcomes, mut failed) = (Vec::new(), 0);
        for (place, part) in order {
            let Some((one, posted)) = &parts[*place][*part] else { continue };
            let reply = self.server.explain_one(posted, &one.heard).await?;
            let is_failure = matches!(reply, crate::server::Reply::Failed);
            failed += usize::from(is_failure || Server::<D>::lacks_checksums(posted, &one.heard));
            outcomes.push(if is_failure {
                Outcome::Failed
            } else {
                Outcome::Answer(Box::new(reply))
            });
        }
        Ok((outcomes, failed))
    }
}

fn request(person: usize, body: String) -> Result<Request<Full<Bytes>>, Failure> {
    Request::post("/sync")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", PEOPLE[person]))
        .body(Full::from(body))
        .map_err(Failure::of)
}

/// The owner that a request names must be the one that it is for.
fn other_owner(part: &Part, owner: usize) -> Option<(u16, &'static str)> {
    let named = part.names.as_deref().filter(|named| !named.is_empty());
    named.filter(|named| *named != OWNERS[owner]).map(|_| (403, "other_owner"))
}

/// *Isolation* and *Gone*: the bytes have no mark of what was not granted.
fn check_isolation(sent: &Sent, raw: &Raw) -> Result<(), Failure> {
    let granted = |owner: &usize| {
        let is_it = |it: &(Whose, Verdict)| {
            matches!(it.1, Verdict::Grants(granted, _) if granted == *owner)
                && (sent.parts.iter().any(|part| part.whose == it.0)
                    // Its name stands beside the answers.
                    || it.0.is_none() && sent.names.is_some())
        };
        raw.asked.iter().any(is_it)
    };
    let wrong: Vec<&str> =
        marks(&raw.body).iter().filter(|it| !granted(it)).map(|it| OWNERS[*it]).collect();
    same("of whom an answer brings data that was not granted", &wrong, &Vec::new())
}

/// *Isolation*: what was accepted for an owner has no mark of another one.
fn check_marks(part: &Part, owner: usize) -> Result<(), Failure> {
    let text: String = part.posted.diffs.iter().map(|diff| &*diff.json_data).collect();
    let others: Vec<&str> = marks(text.as_bytes())
        .into_iter()
        .filter(|mark| *mark != owner)
        .map(|mark| OWNERS[mark])
        .collect();
    same("whose data was accepted as that of another", &others, &Vec::new())
}

fn of_trouble(trouble: Trouble) -> (u16, &'static str) {
    match trouble {
        Trouble::Busy => (503, "busy"),
        Trouble::Fails => (500, "internal"),
        Trouble::Forbids => (403, "forbidden"),
    }
}

fn posted_as(posted: &Posted, owner: usize, reads_only: bool) -> Posted {
    let Posted { clock, diffs, head, limit, seen, report, check, schema, .. } = posted;
    Posted {
        owner,
        clock: *clock,
        diffs: diffs.clone(),
        head: head.clone(),
        limit: *limit,
        seen: seen.clone(),
        report: *report,
        check: *check,
        schema: *schema,
        reads_only,
    }
}

/// All orders of one or two queues in which each keeps its own.
fn interleavings(queues: &[Vec<(usize, usize)>]) -> Vec<Vec<(usize, usize)>> {
    let Some((first, rest)) = queues.split_first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for other in interleavings(rest) {
        all.extend(merged(first, &other));
    }
    all
}

fn merged(left: &[(usize, usize)], right: &[(usize, usize)]) -> Vec<Vec<(usize, usize)>> {
    let (Some((first, left_rest)), Some((second, right_rest))) =
        (left.split_first(), right.split_first())
    else {
        return vec![[left, right].concat()];
    };
    let with = |first: &(usize, usize), rest: Vec<Vec<(usize, usize)>>| {
        rest.into_iter().map(|rest| [vec![*first], rest].concat()).collect::<Vec<_>>()
    };
    let mut all = with(first, merged(left_rest, right));
    all.extend(with(second, merged(left, right_rest)));
    all
}

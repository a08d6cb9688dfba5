//! Some requests after each other, each through all servers, judged at every step.

use std::collections::{BTreeMap, HashSet};

use actix_web::dev::{Service, ServiceResponse};
use conformance::http::Answer;
use fastrand::Rng;
use serde_json::{Value, json};

use super::{
    case::Case,
    draw::{self, Past},
    expect::{self, Expected, Part},
    judge, mutate,
    servers::{NAMES, Renewable, Servers},
    several::{Answered, one_by_one},
    state::{State, mask, mask_state, state},
};

/// How many cases a session has.
pub const CASES: usize = 12;

/// How many cases had which outcome: `ok`, or a code.
pub type Outcomes = BTreeMap<String, u64>;

/// What went wrong, with all cases up to the one it happened at.
#[derive(Debug)]
pub struct Failure {
    pub cases: Vec<Case>,
    pub reason: String,
}

/// Plays the session of that seed.
pub async fn play<A>(
    servers: &Servers<A>,
    seed: u64,
    outcomes: &mut Outcomes,
) -> Result<(), Failure>
where
    A: Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    let mut rng = Rng::with_seed(seed);
    let mut session = Session::new(servers);
    let mut cases = Vec::new();
    for _ in 0..CASES {
        cases.push(draw(&session.past, &mut rng));
        match session.step(&cases[cases.len() - 1]).await {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            Err(reason) => return Err(Failure { cases, reason }),
        }
    }
    session.end().await.map_err(|reason| Failure { cases, reason })
}

/// Plays these cases, and says what goes wrong.
pub async fn replay<A>(servers: &Servers<A>, cases: &[Case]) -> Result<(), String>
where
    A: Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    let mut session = Session::new(servers);
    for case in cases {
        session.step(case).await?;
    }
    session.end().await
}

/// The next request of a session.
fn draw(past: &Past, rng: &mut Rng) -> Case {
    let mut draft = draw::request(past, rng);
    let kind = rng.u8(..16);
    if (7..12).contains(&kind) {
        for _ in 0..rng.usize(1..3) {
            mutate::tree(&mut draft, rng);
        }
    }
    let mut case = draft.into_case(rng);
    match kind {
        12 | 13 => {
            for _ in 0..rng.usize(1..4) {
                mutate::bytes(&mut case.body, rng);
            }
        }
        14 => mutate::head(&mut case, rng),
        15 if rng.bool() => case.body = mutate::nonsense(rng),
        _ => {}
    }
    case
}

struct Session<'s, A> {
    servers: &'s Servers<A>,
    states: [State; 5],
    past: Past,
}

impl<'s, A> Session<'s, A>
where
    A: Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    fn new(servers: &'s Servers<A>) -> Self {
        servers.databases.iter().for_each(Renewable::renew);
        Self { servers, states: Default::default(), past: Past::default() }
    }

    /// Sends a request to all, and judges what they do; its outcome.
    async fn step(&mut self, case: &Case) -> Result<String, String> {
        let expected = expect::read(case, &self.states[0]);
        let parts = match &expected {
            Ok(Expected::Several(parts)) => Some(&parts[..]),
            _ => None,
        };
        let (answer, parts_answered, after) = self.send(case, parts).await?;
        let judged = match &expected {
            Err(code) => judge::failure(&answer, code, case).and_then(|()| {
                if after == self.states {
                    Ok(())
                } else {
                    Err("a failure has changed something".into())
                }
            }),
            Ok(Expected::One(sound)) => judge::sound(&answer, sound, &self.states[0], &after[0]),
            // They have been judged one by one.
            Ok(Expected::Several(_)) => Ok(()),
        };
        judged.map_err(|reason| format!("{reason}\n{}", told(&answer)))?;
        self.states = after;
        if expected.is_err() {
            return Ok(answer_code(&answer));
        }

        // The second of two for one owner may be what the first would have needed.
        if parts.is_none_or(are_of_different_owners) {
            let (again, _, after) = self.send(case, parts).await?;
            let json = again.json();
            let several = json["syncs"].as_array().into_iter().flatten();
            let is_refused = |answer: &Value| answer.get("refused").is_some();
            let refuses = several.chain([&json]).any(is_refused);
            let is_same = json["logical_clock"] == answer.json()["logical_clock"];
            if after != self.states || refuses || !is_same {
                return Err(format!(
                    "it does something again\n{}\n{}",
                    told(&answer),
                    told(&again)
                ));
            }
        }
        match &expected {
            Ok(Expected::One(sound)) => self.remember(&case.body, &sound.owner, &answer.json()),
            _ => {
                for (sound, text, answer) in parts_answered {
                    self.remember(text.as_bytes(), &sound.owner, &answer.json());
                }
            }
        }
        Ok(if parts.is_some() { "several" } else { "ok" }.to_owned())
    }

    /// Every owner's new devices.
    async fn end(&mut self) -> Result<(), String> {
        for (owner, kept) in self.states[0].clone() {
            let request = json!({"auth_token": owner.as_str(), "logical_clock": 0, "diffs": []});
            let case = Case::post(request.to_string());
            // Those of spaces have no token of their own.
            if expect::read(&case, &self.states[0]).is_err() {
                continue;
            }
            let (answer, _, after) = self.send(&case, None).await?;
            if after != self.states {
                return Err("a new device has changed something".to_owned());
            }
            judge::new_device(&answer, &owner, &kept)
                .map_err(|reason| format!("{reason}\n{}\n{kept:#?}", told(&answer)))?;
        }
        Ok(())
    }

    /// The answer that all give, those to the sound ones of several, and what is kept behind it.
    async fn send(
        &self,
        case: &Case,
        parts: Option<&[Part]>,
    ) -> Result<(Answer, Vec<Answered>, [State; 5]), String> {
        let mut sent = self.servers.send(case).await.to_vec();
        let mut answered = Vec::new();
        sent.push(match parts {
            None => self.servers.send_to_last(case).await,
            Some(parts) => {
                let last = one_by_one(self.servers, parts, self.states[4].clone()).await?;
                answered = last.1;
                Ok(last.0)
            }
        });
        let mut answers = Vec::new();
        for (name, answer) in NAMES.iter().zip(sent) {
            let mut answer = answer.map_err(|panic| format!("{name} panics: {panic}"))?;
            check_length(&mut answer, case).map_err(|reason| format!("{name}: {reason}"))?;
            answers.push(answer);
        }
        let masked = |answer: &Answer| Answer { body: mask(&answer.body), ..answer.clone() };
        let first = masked(&answers[0]);
        let mut states = <[State; 5]>::default();
        for (place, name) in NAMES.iter().enumerate() {
            if masked(&answers[place]) != first {
                let (one, other) = (told(&answers[0]), told(&answers[place]));
                return Err(format!("{name} answers otherwise than the endpoint:\n{one}\n{other}"));
            }
            states[place] = state(&self.servers.databases[place]).await;
            if mask_state(&states[place]) != mask_state(&states[0]) {
                return Err(format!("{name} keeps other data than the endpoint"));
            }
        }
        Ok((answers.swap_remove(0), answered, states))
    }

    fn remember(&mut self, body: &[u8], owner: &mobync::Owner, answer: &Value) {
        if let (Some(clock), Some(head)) =
            (answer["logical_clock"].as_i64(), answer["head"].as_str())
        {
            self.past.heads.push((owner.as_str().to_owned(), clock, head.to_owned()));
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        self.past.diffs.extend(body["diffs"].as_array().into_iter().flatten().cloned());
        let clock = self.states[0].get(owner).map_or(0, |kept| kept.clock);
        let clocks = &mut self.past.clocks;
        clocks.retain(|(other, _)| other != owner.as_str());
        clocks.push((owner.as_str().to_owned(), clock));
    }
}

fn are_of_different_owners(parts: &[Part]) -> bool {
    let mut owners = HashSet::new();
    parts
        .iter()
        .filter_map(|part| part.granted().ok())
        .all(|grant| owners.insert(grant.into_owner()))
}

/// A server over sockets tells the length; where it is told here, it must be right. The answer to HEAD
/// has no body on the wire, whatever a framework has in its hand.
fn check_length(answer: &mut Answer, case: &Case) -> Result<(), String> {
    if case.method == "HEAD" {
        answer.body.clear();
    } else if answer.header("content-length").is_some_and(|n| n != answer.body.len().to_string()) {
        return Err(format!("the length is wrong\n{}", told(answer)));
    }
    answer.headers.retain(|(name, _)| name != "content-length");
    Ok(())
}

fn answer_code(answer: &Answer) -> String {
    if answer.body.is_empty() { "HEAD".to_owned() } else { answer.code() }
}

fn told(answer: &Answer) -> String {
    format!("{} {:?} {}", answer.status, answer.headers, answer.body.escape_ascii())
}

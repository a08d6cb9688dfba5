//! Some requests after each other, each through all servers, judged at every step.

use std::collections::BTreeMap;

use actix_web::dev::{Service, ServiceResponse};
use conformance::http::Answer;
use fastrand::Rng;
use serde_json::{Value, json};

use super::{
    case::Case,
    draw::{self, Past},
    expect, judge, mutate,
    servers::{NAMES, Renewable, Servers},
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
    states: [State; 4],
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
        let (answer, after) = self.send(case).await?;
        let judged = match &expected {
            Err(code) => judge::failure(&answer, code, case).and_then(|()| {
                if after == self.states {
                    Ok(())
                } else {
                    Err("a failure has changed something".into())
                }
            }),
            Ok(sound) => {
                let before = self.states[0].get(&sound.owner).map_or(0, |kept| kept.clock);
                let clock = before + i64::from(sound.new > 0);
                let clock = sound.page.map_or(clock, |(end, _)| end);
                judge::success(&answer, &sound.owner, clock)
                    .and_then(|()| judge::asked(&answer, sound, clock, &after[0]))
                    .and_then(|()| judge::changed(sound, &self.states[0], &after[0]))
            }
        };
        judged.map_err(|reason| format!("{reason}\n{}", told(&answer)))?;
        self.states = after;
        let Ok(sound) = expected else { return Ok(answer_code(&answer)) };

        let (again, after) = self.send(case).await?;
        let is_idle = after == self.states && again.json().get("refused").is_none();
        if !is_idle || again.json()["logical_clock"] != answer.json()["logical_clock"] {
            return Err(format!("it does something again\n{}\n{}", told(&answer), told(&again)));
        }
        self.remember(case, &sound.owner, &answer);
        Ok("ok".to_owned())
    }

    /// Every owner's new devices.
    async fn end(&mut self) -> Result<(), String> {
        for (owner, kept) in self.states[0].clone() {
            let request = json!({"auth_token": owner.as_str(), "logical_clock": 0, "diffs": []});
            let (answer, after) = self.send(&Case::post(request.to_string())).await?;
            if after != self.states {
                return Err("a new device has changed something".to_owned());
            }
            judge::new_device(&answer, &owner, &kept)
                .map_err(|reason| format!("{reason}\n{}\n{kept:#?}", told(&answer)))?;
        }
        Ok(())
    }

    /// The answer that all give, and what they keep behind it.
    async fn send(&self, case: &Case) -> Result<(Answer, [State; 4]), String> {
        let mut answers = Vec::new();
        for (name, answer) in NAMES.iter().zip(self.servers.send(case).await) {
            let mut answer = answer.map_err(|panic| format!("{name} panics: {panic}"))?;
            check_length(&mut answer, case).map_err(|reason| format!("{name}: {reason}"))?;
            answers.push(answer);
        }
        let masked = |answer: &Answer| Answer { body: mask(&answer.body), ..answer.clone() };
        let first = masked(&answers[0]);
        let mut states = <[State; 4]>::default();
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
        Ok((answers.swap_remove(0), states))
    }

    fn remember(&mut self, case: &Case, owner: &mobync::Owner, answer: &Answer) {
        let json = answer.json();
        if let (Some(clock), Some(head)) = (json["logical_clock"].as_i64(), json["head"].as_str()) {
            self.past.heads.push((owner.as_str().to_owned(), clock, head.to_owned()));
        }
        let body: Value = serde_json::from_slice(&case.body).unwrap_or_default();
        self.past.diffs.extend(body["diffs"].as_array().into_iter().flatten().cloned());
        let clock = self.states[0].get(owner).map_or(0, |kept| kept.clock);
        let clocks = &mut self.past.clocks;
        clocks.retain(|(other, _)| other != owner.as_str());
        clocks.push((owner.as_str().to_owned(), clock));
    }
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

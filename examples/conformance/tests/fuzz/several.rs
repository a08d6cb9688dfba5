//! Several requests in one: what they are alone, one by one, on a server of their own.

use actix_web::dev::{Service, ServiceResponse};
use conformance::http::Answer;
use mobync::{SyncRequest, http::respond};

use super::{
    case::Case,
    expect::{self, Part, Sound},
    judge,
    servers::{Servers, answer, pairs},
    state::{State, state},
};

/// One of several requests that was sound, as it was sent, and its answer.
pub type Answered = (Sound, String, Answer);

/// The answer to several requests, made of the answers to each of them alone; and those that were sound.
pub async fn one_by_one<A>(
    servers: &Servers<A>,
    parts: &[Part],
    mut before: State,
) -> Result<(Answer, Vec<Answered>), String>
where
    A: Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    let (mut answers, mut sound) = (Vec::new(), Vec::new());
    for part in parts {
        let granted = part.granted();
        let expected = match &granted {
            Ok(grant) => expect::sync(&part.text, grant.owner(), &before),
            Err(error) => Err(expect::code(error)),
        };
        let alone = match SyncRequest::from_slice(part.text.as_bytes()) {
            // Alone it would be several once more.
            Err(error) if granted.is_ok() && part.is_several() => {
                let (head, body) = respond(Err(&error)).into_parts();
                answer(head.status.as_u16(), pairs(&head.headers), body.to_vec())
            }
            _ => servers.send_alone(part).await?,
        };
        let after = state(servers.databases.last().unwrap()).await;
        let judged = match &expected {
            Ok(sound) => judge::sound(&alone, sound, &before, &after),
            Err(code) => judge::failure(&alone, code, &Case::post("")).and_then(|()| {
                if after == before { Ok(()) } else { Err("a failure has changed something".into()) }
            }),
        };
        let told = || String::from_utf8_lossy(&alone.body);
        judged.map_err(|reason| format!("alone: {reason}\n{}\n{}", part.text, told()))?;
        before = after;
        answers.push(as_part(&alone));
        sound.extend(expected.ok().map(|expected| (expected, part.text.clone(), alone)));
    }
    let body = format!("{{\"success\":true,\"syncs\":[{}]}}", answers.join(","));
    let headers = [("cache-control", "no-store"), ("content-type", "application/json")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Ok((answer(200, headers, body.into_bytes()), sound))
}

/// What the answer to a request alone is in the answer to several.
fn as_part(alone: &Answer) -> String {
    let body = std::str::from_utf8(&alone.body).unwrap();
    let members = body.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    let later = alone.header("retry-after");
    let later = later.map(|seconds| format!(",\"retry_after\":{seconds}")).unwrap_or_default();
    format!("{{\"status\":{},{members}{later}}}", alone.status)
}

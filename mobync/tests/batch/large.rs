//! How much memory a batch takes: its body until it is answered, and its answers together.

use std::time::Duration;

use http::Response;
use mobync::http::{AnswerBody, Limits};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    support::create,
    town::{Role, Town, codes, member, read},
};

const KIB: usize = 1024;

/// A town whose spaces `0`, `1`, … have that many KiB each.
async fn filled(sizes: &[usize]) -> Town {
    let town = Town::new();
    for (space, size) in sizes.iter().enumerate() {
        let space = space.to_string();
        town.members.join(&space, "ada", Role::Writer);
        let task = create("t1", json!({"name": "x".repeat(size * KIB)}));
        town.sync("ada", &[member(&space, 0, [task])]).await;
    }
    town
}

async fn ask(town: &Town, spaces: &[usize]) -> Response<AnswerBody> {
    let members: Vec<_> = spaces.iter().map(|space| member(&space.to_string(), 0, [])).collect();
    town.post(json!({"auth_token": "ada", "syncs": members}).to_string()).await
}

async fn codes_of(response: Response<AnswerBody>) -> Vec<u64> {
    let answer: Value = serde_json::from_slice(&read(response).await.body).unwrap();
    codes(answer["syncs"].as_array().unwrap()).into_iter().map(|(status, _)| status).collect()
}

#[tokio::test]
async fn answers_that_are_too_large_together_are_busy_and_the_others_are_not() {
    let mut town = filled(&[600, 600, 300, 0, 100, 100]).await;
    town.limits = Limits::new().answer_bytes_at_once(1024 * KIB).spaces_at_once(1);
    let all = [0, 1, 2, 3, 4, 5];
    let expected = [200, 503, 200, 200, 503, 503];
    let large = ask(&town, &all).await;
    // While it is not read, nothing else is large; but what is small is as ever.
    assert_eq!(codes_of(ask(&town, &[3, 4]).await).await, [200, 200]);
    assert_eq!(codes_of(large).await, expected);
    // Alone, each fits.
    for space in all {
        assert_eq!(codes_of(ask(&town, &[space]).await).await, [200]);
    }
    // What was sent has been applied, and the sentence says so.
    let push = |space: &str| member(space, 0, [create("t2", json!({"name": "y"}))]);
    let answers = town.sync("ada", &[push("0"), push("1")]).await;
    assert_eq!(codes(&answers), [(200, ""), (503, "busy")]);
    assert_eq!(answers[1]["retry_after"], 1);
    let message = answers[1]["message"].as_str().unwrap();
    assert!(message.contains("may have been applied nevertheless"), "{message}");
    assert_eq!(town.sync("ada", &[member("1", 0, [])]).await[0]["logical_clock"], 2);
}

#[tokio::test]
async fn small_answers_that_are_large_together_count_as_large() {
    let mut town = filled(&[100; 12]).await;
    town.limits = Limits::new().answer_bytes_at_once(600 * KIB).spaces_at_once(1);
    let spaces: Vec<usize> = (0..12).collect();
    let large = ask(&town, &spaces).await;
    assert!(large.body().size_hint_is(500..650));
    let codes = codes_of(large).await;
    let fitting = codes.iter().take_while(|code| **code == 200).count();
    assert!((4..=6).contains(&fitting), "{codes:?}");
    assert!(codes[fitting..].iter().all(|code| *code == 503), "{codes:?}");
}

#[tokio::test]
async fn a_single_answer_fits_however_large_and_is_written_in_parts() {
    let mut town = filled(&[2000, 0, 0]).await;
    town.limits = Limits::new().answer_bytes_at_once(KIB);
    let answer = ask(&town, &[1, 0, 2]).await;
    assert!(answer.body().size_hint_is(2000..2010));
    let whole = answer.into_body().try_into_bytes();
    assert!(whole.is_err(), "in parts");
    drop(whole);
    assert_eq!(codes_of(ask(&town, &[1, 0, 2]).await).await, [200; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_waits_until_others_have_read_theirs() {
    let mut town = filled(&[600, 600]).await;
    town.limits = Limits::new().answer_bytes_at_once(1024 * KIB);
    let unread = ask(&town, &[0]).await;
    let began = Instant::now();
    let reads = async {
        sleep(Duration::from_secs(3)).await;
        drop(unread);
    };
    let waits = async { codes_of(ask(&town, &[1]).await).await };
    let ((), codes) = tokio::join!(reads, waits);
    assert_eq!((codes, began.elapsed()), (vec![200], Duration::from_secs(3)));
    // But not for ever.
    let _unread = ask(&town, &[0]).await;
    let began = Instant::now();
    assert_eq!(codes_of(ask(&town, &[1]).await).await, [503]);
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_batch_are_held_until_all_its_members_are_answered() {
    let mut town = Town::new();
    town.limits = Limits::new().body_bytes_at_once(64 * KIB);
    town.members.join_as("slow", "ada", "space slow 9", Role::Writer);
    town.members.join("family", "ada", Role::Writer);
    let padding = " ".repeat(30 * KIB);
    let members = [member("slow", 0, []), member("family", 0, [])];
    let body = json!({"auth_token": "ada", "syncs": members}).to_string() + &padding;
    let large = json!({"auth_token": "bob", "logical_clock": 0, "diffs": []}).to_string();
    let large = large + &padding + &padding;
    let first = town.post(body);
    let meanwhile = async {
        sleep(Duration::from_secs(5)).await;
        let during = town.send(Some("Bearer bob"), large.clone()).await.status();
        sleep(Duration::from_secs(5)).await;
        (during, town.send(Some("Bearer bob"), large).await.status())
    };
    let (answered, (during, after)) = tokio::join!(first, meanwhile);
    assert_eq!((answered.status().as_u16(), during.as_u16(), after.as_u16()), (200, 503, 200));
}

trait SizeHint {
    /// Whether the body has that many KiB.
    fn size_hint_is(&self, kib: std::ops::Range<usize>) -> bool;
}

impl SizeHint for AnswerBody {
    fn size_hint_is(&self, kib: std::ops::Range<usize>) -> bool {
        let bytes = http_body::Body::size_hint(self).exact().unwrap();
        kib.contains(&(usize::try_from(bytes).unwrap() / KIB))
    }
}

//! Makes a failing session small: fewer cases, and a shorter last body.

use super::case::Case;

/// How often a smaller one is tried.
const TRIES: usize = 3_000;

/// The smallest cases found that still fail, and how.
pub fn shrink(
    mut cases: Vec<Case>,
    mut fails: impl FnMut(&[Case]) -> Option<String>,
) -> (Vec<Case>, String) {
    let mut reason = fails(&cases).unwrap_or_else(|| "it fails only now and then".to_owned());
    let mut tries = TRIES;
    let mut try_one = |smaller: Vec<Case>, cases: &mut Vec<Case>| {
        tries = tries.saturating_sub(1);
        let failed = if tries > 0 { fails(&smaller) } else { None };
        let failed = failed.filter(|failed| failed.lines().next() == reason.lines().next());
        if let Some(failed) = failed {
            reason = failed;
            *cases = smaller;
            return true;
        }
        false
    };
    let mut place = 0;
    while place + 1 < cases.len() {
        let mut smaller = cases.clone();
        smaller.remove(place);
        if !try_one(smaller, &mut cases) {
            place += 1;
        }
    }
    for place in (0..cases.len()).rev() {
        let mut length = cases[place].body.len();
        while length > 0 {
            let mut at = 0;
            while at < cases[place].body.len() {
                let mut smaller = cases.clone();
                let body = &mut smaller[place].body;
                let to = (at + length).min(body.len());
                body.drain(at..to);
                if !try_one(smaller, &mut cases) {
                    at += length;
                }
            }
            length /= 2;
        }
    }
    (cases, reason)
}

//! What the application forbids, and what its database does not accept.

use mobync::{Diff, Owner, Refusal, Rules, View};

use super::{
    convert,
    oracle::{Change, Kind},
};

/// The code with which the database refuses this.
pub fn rejects<'v>(
    kind: Kind,
    id: &str,
    values: impl Iterator<Item = &'v serde_json::Value>,
) -> Option<&'static str> {
    if kind == Kind::Delete {
        return (id == "kept").then_some("constraint");
    }
    let mut bad = None;
    for value in values {
        // It is always the first in the order of the fields.
        if bad.is_none() && value == "bad" {
            bad = Some("invalid_value");
        }
        if bad.is_none() && value == "orphan" {
            bad = Some("constraint");
        }
    }
    bad
}

/// The application's rule: no field is `no`, and some deletes are not allowed.
#[derive(Clone, Copy, Debug)]
pub struct NoNo {
    pub rules: bool,
}

pub fn forbids(change: &Change) -> bool {
    match change.kind {
        Kind::Delete => change.at % 3 == 0,
        Kind::Create | Kind::Update => change.fields.values().any(|value| value == "no"),
    }
}

impl NoNo {
    fn judge(self, diff: &Diff) -> Result<(), Refusal> {
        if self.rules && forbids(&convert::change(diff)) {
            return Err(Refusal::because("No."));
        }
        Ok(())
    }
}

impl Rules for NoNo {
    async fn create(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        self.judge(diff)
    }

    async fn update(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        self.judge(diff)
    }

    async fn delete(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        self.judge(diff)
    }
}

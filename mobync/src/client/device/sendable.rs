//! Which changes can be sent. Those that cannot must not block the others.

use std::{collections::BTreeMap, io};

use super::{decode, held};
use crate::{
    client::{Changes, DeviceError, LocalUnit, Pending, RefusedDiff},
    diff::{Diff, Operation},
    error::Error,
    protocol::check_diff,
};

/// A pending diff that cannot be sent, and why.
pub(super) struct Unsendable {
    pub(super) diff_id: String,
    pub(super) code: String,
    pub(super) message: String,
}

/// Whether every server accepts the diff; if not, the reason.
pub(super) fn check(diff: &Diff) -> Result<(), String> {
    check_diff(diff).map(drop).map_err(|error| match error {
        Error::InvalidDiff { reason, .. } => reason,
        other => other.to_string(),
    })
}

/// The size of the diff on the wire, in bytes.
pub(in crate::client) fn size_of(diff: &Diff) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // Counting cannot fail, and a diff consists of strings and numbers.
    let _ = serde_json::to_writer(&mut count, diff);
    count.0
}

pub(super) fn unsendable(pending: &Pending) -> Option<Unsendable> {
    let reason = check(&pending.diff).err()?;
    Some(Unsendable {
        diff_id: pending.diff.id.clone(),
        code: "invalid_diff".to_owned(),
        message: format!("This change cannot be sent: {reason}."),
    })
}

/// Moves pending diffs to the refused ones, with the diffs that depend on them. After a create, these are all
/// changes of the object that it made; after a delete, the object that was created in its place.
pub(super) async fn set_aside<U: LocalUnit>(
    unit: &mut U,
    unsendable: Vec<Unsendable>,
) -> Result<Changes, DeviceError> {
    let mut unsendable: BTreeMap<String, Unsendable> =
        unsendable.into_iter().map(|why| (why.diff_id.clone(), why)).collect();
    let mut objects: BTreeMap<(String, String), Vec<Pending>> = BTreeMap::new();
    let mut refused: Vec<(i64, RefusedDiff)> = Vec::new();
    for pending in unit.pending(usize::MAX).await? {
        match (decode(&pending), unsendable.contains_key(&pending.diff.id)) {
            (Some(change), _) => objects.entry(change.object()).or_default().push(pending),
            // Its object is unknown.
            (None, true) => {
                let aside = refuse(&mut unsendable, &pending, &mut None);
                refused.extend(aside.map(|aside| (pending.seq, aside)));
            }
            (None, false) => {}
        }
    }
    let is_touched =
        |pending: &Vec<Pending>| pending.iter().any(|it| unsendable.contains_key(&it.diff.id));
    let touched: Vec<_> = objects.into_iter().filter(|(_, all)| is_touched(all)).collect();

    let mut changes = Changes::default();
    for ((model, id), all) in touched {
        let mut object = unit.object(&model, &id).await?;
        let before = object.current.take();
        object.current.clone_from(&object.acknowledged);
        let mut fallen = None;
        for pending in all {
            if let Some(aside) = refuse(&mut unsendable, &pending, &mut fallen) {
                refused.push((pending.seq, aside));
            } else if let Some(change) = decode(&pending) {
                change.apply(&mut object.current);
            }
        }
        unit.set_object(&model, &id, &object).await?;
        changes.push((model, id), before.as_ref(), object.current);
    }

    refused.sort_by_key(|(seq, _)| *seq);
    for (seq, refused) in refused {
        unit.forget(seq).await?;
        unit.set_refused(&refused).await?;
        changes.refused.push(refused);
    }
    let mut state = unit.state().await?;
    held::forget_idle(unit, &mut state).await?;
    unit.set_state(&state).await?;
    Ok(changes)
}

/// The diffs that depend on a diff that cannot be sent: changes of an object that was never created, or
/// an object that was created in place of one that was never deleted.
struct Fallen {
    by: Operation,
    code: String,
}

/// The next diff of an object as a refused one, if it cannot be sent or depends on an earlier diff that
/// cannot.
fn refuse(
    unsendable: &mut BTreeMap<String, Unsendable>,
    pending: &Pending,
    fallen: &mut Option<Fallen>,
) -> Option<RefusedDiff> {
    use Operation::{Create, Delete};

    let operation = pending.diff.operation;
    let by = fallen.as_ref().map(|fallen| fallen.by);
    let (code, message) = match (unsendable.remove(&pending.diff.id), &*fallen) {
        (Some(Unsendable { code, message, .. }), _) => (code, message),
        (None, Some(Fallen { by, code })) if (*by, operation) != (Delete, Delete) => {
            (code.clone(), "It is built on a change that cannot be sent.".to_owned())
        }
        (None, _) => {
            *fallen = None;
            return None;
        }
    };
    match (by, operation) {
        (Some(Create), Delete) => *fallen = None,
        (None, Create | Delete) => *fallen = Some(Fallen { by: operation, code: code.clone() }),
        _ => {}
    }
    Some(RefusedDiff { diff: pending.diff.clone(), code, message, record: None })
}

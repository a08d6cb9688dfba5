//! Several requests in one: the member `syncs`, and the answer to it.

use serde::de::SeqAccess;

use super::request::{Envelope, check_count};
use crate::{
    diff::check_name,
    error::Error,
    hash::HashSet,
    http::Held,
    json::{FromJson, Json, Value},
    protocol::SyncRequest,
};

/// The greatest number of requests in one.
const MOST: usize = 100;

/// One of several requests.
#[derive(Debug)]
pub(crate) struct Member {
    /// The space that it is for; `None` for the person's own data.
    pub(crate) space: Option<String>,
    /// What it asks for, or what is wrong with it alone.
    pub(crate) request: Result<SyncRequest, Error>,
}

impl Member {
    /// The same, counted as held until it is answered.
    pub(crate) fn holding(self, held: Held) -> Self {
        Self { request: self.request.map(|request| request.holding(held)), ..self }
    }
}

/// The member `syncs`, with its elements not yet checked.
pub(crate) enum Syncs<'a> {
    Other,
    /// The first [`MOST`] of them, and their number.
    Array {
        first: Vec<Envelope<'a, Value<'a>>>,
        count: usize,
    },
}

impl<'a> FromJson<'a> for Syncs<'a> {
    fn of_value(_: Value<'a>) -> Self {
        Self::Other
    }

    fn of_array<A: SeqAccess<'a>>(mut array: A) -> Result<Self, A::Error> {
        let (mut first, mut count) = (Vec::new(), 0);
        while let Some(Json(envelope)) = array.next_element::<Json<_>>()? {
            // However many there are, few are held.
            if count < MOST {
                first.push(envelope);
            }
            count += 1;
        }
        Ok(Self::Array { first, count })
    }
}

impl Syncs<'_> {
    /// Checks them; at most that many diffs are accepted in all of them together.
    ///
    /// # Errors
    /// [`Error::PayloadTooLarge`] or [`Error::InvalidRequest`] if something is wrong with them as a whole.
    pub(super) fn into_members(self, max_diffs: usize) -> Result<Vec<Member>, Error> {
        let Self::Array { first, count } = self else {
            return Err(Error::InvalidRequest("syncs must be an array".to_owned()));
        };
        if count > MOST {
            return Err(Error::PayloadTooLarge(format!(
                "The request has {count} syncs, but at most {MOST} are taken at once: send fewer spaces at \
                 once."
            )));
        }
        let (mut members, mut spaces, mut diffs) = (Vec::new(), HashSet::default(), 0_usize);
        for (place, mut envelope) in first.into_iter().enumerate() {
            let invalid =
                |reason: &str| Error::InvalidRequest(format!("{reason} (syncs[{place}])"));
            if !envelope.is_object {
                return Err(invalid("it must be an object"));
            }
            let space = read_space(envelope.space.take()).map_err(|reason| invalid(&reason))?;
            if !spaces.insert(space.clone()) {
                return Err(invalid("another one has the same space"));
            }
            diffs = diffs.saturating_add(envelope.count());
            members.push((space, envelope));
        }
        check_count(diffs, max_diffs)?;
        let member = |(space, envelope): (_, Envelope<'_, _>)| Member {
            space,
            request: envelope.into_request(max_diffs),
        };
        Ok(members.into_iter().map(member).collect())
    }
}

/// The name of a space, unless it is absent.
fn read_space(space: Option<Value<'_>>) -> Result<Option<String>, String> {
    let space = match space {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Text(space)) => space.into_owned(),
        Some(_) => return Err("space must be a string".to_owned()),
    };
    check_name(&space).map_err(|reason| format!("space {reason}"))?;
    Ok(Some(space))
}

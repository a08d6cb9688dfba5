//! What an auth closure grants.

use std::{sync::Arc, time::Duration};

use crate::owner::Owner;

/// What an auth closure grants: whose data a request is for, and what the person may do with it.
///
/// An [`Owner`] alone grants everything for as long as the request, or the live stream, lasts. So most auth
/// closures return an `Owner`. For data that several people share:
///
/// ```
/// use std::time::Duration;
///
/// use mobync::{Grant, Owner};
///
/// // Bob may read this project. His session ends in ten minutes.
/// let grant = Grant::new(Owner::new("project-7")?)
///     .member("bob")
///     .read_only()
///     .holds_for(Duration::from_mins(10));
/// assert_eq!(grant.owner().as_str(), "project-7");
/// # Ok::<(), mobync::InvalidOwner>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    owner: Owner,
    pub(crate) as_whom: AsWhom,
    holds_for: Option<Duration>,
}

/// As whom a request writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AsWhom {
    pub(crate) member: Option<Arc<str>>,
    pub(crate) is_read_only: bool,
}

impl Grant {
    /// Everything that this owner has.
    pub fn new(owner: Owner) -> Self {
        Self { owner, as_whom: AsWhom::default(), holds_for: None }
    }

    /// Names the person who sends the request, for [rules](crate::View::member) that depend on who it is.
    #[must_use]
    pub fn member(mut self, name: impl Into<Arc<str>>) -> Self {
        self.as_whom.member = Some(name.into());
        self
    }

    /// Lets the person read only: their diffs are refused one by one as `forbidden`, and undone on the device.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.as_whom.is_read_only = true;
        self
    }

    /// Sets for how long the grant holds from now, for example until the session ends. A live stream then
    /// asks the closure again, but not more often than once a second. The default is for as long as the request or
    /// the stream lasts. (A stream over spaces asks at least once a minute anyway.)
    #[must_use]
    pub fn holds_for(mut self, time: Duration) -> Self {
        self.holds_for = Some(time);
        self
    }

    /// The owner.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The owner alone.
    pub fn into_owner(self) -> Owner {
        self.owner
    }

    /// For how long it holds, if that was [set](Self::holds_for).
    pub(crate) fn time(&self) -> Option<Duration> {
        self.holds_for
    }
}

impl From<Owner> for Grant {
    fn from(owner: Owner) -> Self {
        Self::new(owner)
    }
}

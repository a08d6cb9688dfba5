//! The owner of data.

use std::{borrow::Borrow, fmt, sync::Arc};

use crate::{diff, error::Error};

/// The owner of a set of objects: a user, a team, a tenant.
///
/// The auth closure determines the owner from a request, and a sync reads and writes only this owner's
/// data. It is a separate type so that it cannot be confused with a model or an id. Cheap to clone.
///
/// ```
/// use mobync::Owner;
///
/// let owner = Owner::new("ada")?;
/// assert_eq!(owner.as_str(), "ada");
/// assert!(Owner::new("").is_err());
/// # Ok::<(), mobync::InvalidOwner>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// The owner with this name: 1 to 1,024 bytes without a NUL.
    ///
    /// # Errors
    /// [`InvalidOwner`] for any other name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidOwner> {
        let name = name.as_ref();
        match diff::check_name(name) {
            Ok(()) => Ok(Self(name.into())),
            Err(reason) => Err(InvalidOwner(reason)),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name that cannot be an [`Owner`]: it is empty, longer than 1,024 bytes, or has a NUL.
///
/// With `?` it becomes a 401, both in an auth closure and in your own handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the owner {0}")]
pub struct InvalidOwner(&'static str);

/// The message for the client.
pub(crate) const NOBODY: &str = "The token names nobody who could own data here.";

impl From<InvalidOwner> for Error {
    fn from(_: InvalidOwner) -> Self {
        Self::Unauthenticated(NOBODY.into())
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owner").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for Owner {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Owner {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl TryFrom<&str> for Owner {
    type Error = InvalidOwner;

    fn try_from(name: &str) -> Result<Self, InvalidOwner> {
        Self::new(name)
    }
}

impl TryFrom<String> for Owner {
    type Error = InvalidOwner;

    fn try_from(name: String) -> Result<Self, InvalidOwner> {
        Self::new(name)
    }
}

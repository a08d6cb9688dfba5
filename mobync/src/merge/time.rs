//! The two numbers that order the log entries, as separate types so that they cannot be confused.

/// A value of the owner's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(pub(super) i64);

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Millis(pub(super) i64);

impl Tick {
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Millis {
    /// Before every timestamp.
    pub(super) const NEVER: Self = Self(-1);

    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

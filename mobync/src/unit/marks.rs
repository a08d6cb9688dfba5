//! What others write to the rows, as a database tells of it.

/// An object whose row was changed by others than syncs: by the application's own SQL, by a cascade,
/// by a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// The object's model.
    pub model: String,
    /// The object's id.
    pub id: String,
    /// When its row was changed, in milliseconds since 1970; none if that is not known.
    pub at: Option<i64>,
}

impl Mark {
    /// The object of that model and id was changed at that time, in milliseconds since 1970.
    pub fn new(model: impl Into<String>, id: impl Into<String>, at: Option<i64>) -> Self {
        Self { model: model.into(), id: id.into(), at }
    }
}

/// What the writes of a unit of work have set off.
#[derive(Clone, Debug, Default)]
pub struct SetOff {
    /// The owner's objects that were changed by what the unit's own writes have set off, each once.
    pub marks: Vec<Mark>,
    /// Whether another transaction has changed one of the objects that the request names, and has
    /// committed that since the unit has taken the marks: then the sync begins again.
    pub met: bool,
}

/// Whether the columns of a model may hold other values than were written to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Will {
    /// They hold what is written, and a constant default where nothing is.
    #[default]
    None,
    /// A column that a write names may hold another value, as `numeric(10,2)` rounds; and behind a
    /// create also a column whose default is no constant, as a serial number.
    Named,
    /// Also a column that a write does not name: one that is generated, or written by a trigger before
    /// the row is.
    Any,
}

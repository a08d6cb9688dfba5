//! Changes of rows outside of syncs, as a database reports them.

/// An object whose row was changed outside of syncs: by the application's own SQL, a cascade or a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// The object's model.
    pub model: String,
    /// The object's id.
    pub id: String,
    /// When its row was changed, in milliseconds since 1970; `None` if unknown.
    pub at: Option<i64>,
}

impl Mark {
    /// A mark of the object with this model and id, changed at this time, in milliseconds since 1970.
    pub fn new(model: impl Into<String>, id: impl Into<String>, at: Option<i64>) -> Self {
        Self { model: model.into(), id: id.into(), at }
    }
}

/// The effects of the writes of a unit of work, such as cascades and triggers.
#[derive(Clone, Debug, Default)]
pub struct SetOff {
    /// The owner's objects that were changed as an effect of the unit's own writes, each once.
    pub marks: Vec<Mark>,
    /// Whether another transaction has changed one of the objects that the request names, and has committed
    /// after the unit took the marks. Then the sync is repeated.
    pub met: bool,
}

/// Whether the columns of a model may hold values other than those written to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Will {
    /// They hold what is written, and a constant default if nothing is.
    #[default]
    None,
    /// A column that a write names may hold another value, as `numeric(10,2)` rounds; after a create also a
    /// column whose default is not a constant, such as a serial number.
    Named,
    /// Also a column that a write does not name: a generated column, or one that a trigger sets before the
    /// row is written.
    Any,
}

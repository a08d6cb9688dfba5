//! Which table is synced, and how.

use super::quote;

/// A table that is synced, as a model of the same name.
///
/// ```
/// use mobync::sql::Table;
///
/// let tasks = Table::new("tasks"); // with the columns `id` and `owner`
/// let notes = Table::new("notes").owner_column("user_id").id_column("note_id");
/// # let _ = (tasks, notes);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub(super) name: String,
    pub(super) schema: Option<String>,
    pub(super) id: String,
    /// `None` if the table is shared.
    pub(super) owner: Option<String>,
    pub(super) hidden: Vec<String>,
    /// None: all that are not hidden.
    pub(super) columns: Option<Vec<String>>,
    pub(super) read_only: Vec<String>,
    pub(super) computed: Vec<String>,
    /// The columns whose numbers are strings in JSON.
    pub(super) as_strings: Vec<String>,
    pub(super) keeps_unknown: bool,
    pub(super) captured: bool,
}

impl Table {
    /// The table with this name, with the columns `id` and `owner`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            schema: None,
            id: "id".to_owned(),
            owner: Some("owner".to_owned()),
            hidden: Vec::new(),
            columns: None,
            read_only: Vec::new(),
            computed: Vec::new(),
            as_strings: Vec::new(),
            keeps_unknown: false,
            captured: false,
        }
    }

    /// Sets the schema of the table. The default is the search path on PostgreSQL, and the main
    /// database on SQLite.
    #[must_use]
    pub fn in_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// Sets the column that devices see as `id`.
    #[must_use]
    pub fn id_column(mut self, name: impl Into<String>) -> Self {
        self.id = name.into();
        self
    }

    /// Sets the column with a row's owner. Devices do not see it.
    #[must_use]
    pub fn owner_column(mut self, name: impl Into<String>) -> Self {
        self.owner = Some(name.into());
        self
    }

    /// Declares that the table has no owner column and its rows are shared.
    ///
    /// **Every owner can then read and write every row of it** whose id it knows, unless your
    /// [`Rules`](crate::Rules) forbid it. Only the owner's own devices receive what an owner writes,
    /// because each owner has a separate log.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.owner = None;
        self
    }

    /// Hides columns from devices: they never leave the server, not even in an undo or an
    /// [`import`](super::SqlDatabase::import), and a device that writes them gets `unknown_field`.
    /// Rules and [`read`](crate::Synchronizer::read) do not see them either. By default all columns are
    /// synced.
    ///
    /// ```
    /// use mobync::sql::Table;
    ///
    /// let orders = Table::new("orders").hidden(["staff_notes", "margin"]);
    /// # let _ = orders;
    /// ```
    ///
    /// A create by a device gives them their defaults, so they need a default or must accept null.
    #[must_use]
    pub fn hidden<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.hidden.extend(columns.into_iter().map(Into::into));
        self
    }

    /// The columns that are synced, besides the id and the owner. All others are
    /// [`hidden`](Self::hidden).
    ///
    /// ```
    /// use mobync::sql::Table;
    ///
    /// let users = Table::new("users").columns(["name", "photo"]);
    /// # let _ = users;
    /// ```
    #[must_use]
    pub fn columns<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        let columns = columns.into_iter().map(Into::into);
        self.columns.get_or_insert_default().extend(columns);
        self
    }

    /// Columns that devices see but cannot write: a create or an update with such a field is refused
    /// alone, as `forbidden`. [`Mobync::write`](crate::Mobync::write) can write them.
    ///
    /// ```
    /// use mobync::sql::Table;
    ///
    /// let users = Table::new("users").read_only(["is_admin"]);
    /// # let _ = users;
    /// ```
    ///
    /// A create by a device gives them their defaults, so they need a default or must accept null.
    #[must_use]
    pub fn read_only<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.read_only.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Columns that only the database writes, by triggers or defaults. Devices see them. Their values
    /// for these columns are ignored, and the database's values are returned to them.
    ///
    /// Generated columns, and those that are `GENERATED ALWAYS AS IDENTITY`, are always computed.
    ///
    /// ```
    /// use mobync::sql::Table;
    ///
    /// let notes = Table::new("notes").computed(["words", "changed_at"]);
    /// # let _ = notes;
    /// ```
    #[must_use]
    pub fn computed<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.computed.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Integer or decimal columns that the server returns as strings of digits, for clients whose
    /// numbers are doubles and cannot hold all of them, as in JavaScript.
    ///
    /// Devices may write any such column as a string of digits (`"9007199254740993"`). These columns
    /// accept integers beyond 2^53 − 1 as strings only, so that no other device gets them as numbers.
    ///
    /// ```
    /// use mobync::sql::Table;
    ///
    /// let payments = Table::new("payments").numbers_as_strings(["account", "amount"]);
    /// # let _ = payments;
    /// ```
    #[must_use]
    pub fn numbers_as_strings<C: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        self.as_strings.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Keeps fields that the table does not have in the log, and sends them to the other devices,
    /// instead of failing the request as `unknown_field`.
    #[must_use]
    pub fn keep_unknown_fields(mut self) -> Self {
        self.keeps_unknown = true;
        self
    }

    /// Changes of the table's rows reach the devices, whoever makes them: the application's own SQL, an
    /// ORM, a cascade, a trigger, `psql`.
    ///
    /// [`set_up`](super::SqlDatabase::set_up) creates triggers that mark changed rows in the transaction
    /// that changes them. The next sync of the owner reads the marked rows. Without capture, `set_up`
    /// drops these triggers. A [`shared`](Self::shared) table cannot be captured, because it is unknown
    /// which owner's devices should receive a change.
    ///
    /// ```
    /// use mobync::sql::Table;
    ///
    /// let tasks = Table::new("tasks").capture();
    /// # let _ = tasks;
    /// ```
    #[must_use]
    pub fn capture(mut self) -> Self {
        self.captured = true;
        self
    }
}

impl Table {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only one database asks"))]
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only one database asks"))]
    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    pub(crate) fn schema_name(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// A statement that creates such a table, with id and owner of this type.
    pub(crate) fn create(&self, sql_type: &str) -> String {
        let key = [self.owner.as_deref(), Some(&*self.id)].into_iter().flatten().map(quote);
        let key: Vec<String> = key.collect();
        let columns: Vec<String> = key.iter().map(|name| format!("{name} {sql_type}")).collect();
        let (table, columns, key) = (quote(&self.name), columns.join(", "), key.join(", "));
        format!("CREATE TABLE {table} ({columns}, PRIMARY KEY ({key}))")
    }
}

impl From<&str> for Table {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for Table {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

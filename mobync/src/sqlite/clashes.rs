//! Rows that collide with a written row in a unique index. `REPLACE` deletes them without firing
//! triggers for deletes.

use sqlx::SqliteConnection;

use super::catalogue::Place;
use crate::sql::{Clash, Token, Tongue::Sqlite, is_letter, quote, tokens};

/// The names of the rowid, unless a column has the name.
const ROWIDS: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// A column, as far as collisions concern it.
struct Column {
    name: String,
    sql_type: String,
    /// The value that `REPLACE` takes instead of a null: the default of a NOT NULL column.
    instead_of_null: Option<String>,
    is_of_key: bool,
    is_generated: bool,
}

/// A column of a unique index: the index, its statement, whether it is the primary key's, the column
/// (none for an expression), and the collation.
type Key = (String, Option<String>, bool, Option<String>, Option<String>);

/// A table's collisions, except for those with rows of the same owner and id.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    place: Place<'_>,
    owner: Option<&str>,
    id: &str,
) -> Result<Vec<Clash>, sqlx::Error> {
    let columns: Vec<(String, String, Option<String>, bool, bool)> = sqlx::query_as(
        "SELECT name, type, CASE \"notnull\" WHEN 1 THEN dflt_value END, pk > 0, hidden > 1 \
         FROM pragma_table_xinfo($1, $2)",
    )
    .bind(place.table.to_owned())
    .bind(place.schema.to_owned())
    .fetch_all(&mut *connection)
    .await?;
    let sql = format!(
        "SELECT l.name, m.sql, l.origin = 'pk', i.name, i.coll \
         FROM pragma_index_list($1, $2) AS l, pragma_index_xinfo(l.name, $2) AS i \
         LEFT JOIN {}.sqlite_master AS m ON m.type = 'index' AND m.name = l.name \
         WHERE l.\"unique\" = 1 AND i.key = 1 ORDER BY l.seq, i.seqno",
        quote(place.schema)
    );
    let keys: Vec<Key> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(place.table.to_owned())
        .bind(place.schema.to_owned())
        .fetch_all(&mut *connection)
        .await?;
    let without_rowid: bool = sqlx::query_scalar(
        "SELECT wr FROM pragma_table_list WHERE schema = $2 COLLATE NOCASE AND name = $1 COLLATE NOCASE",
    )
    .bind(place.table.to_owned())
    .bind(place.schema.to_owned())
    .fetch_one(connection)
    .await?;

    let columns = columns.into_iter().map(Column::new).collect();
    let has_key_index = keys.iter().any(|(_, _, of_key, ..)| *of_key);
    let table = Table { name: place.table, columns, rowid: None };
    let rowid = if without_rowid { None } else { table.rowid(has_key_index) };
    let table = Table { rowid, ..table };
    let mut clashes: Vec<Clash> = table.by_rowid().into_iter().collect();
    for key in keys.chunk_by(|left, right| left.0 == right.0) {
        let of_a_row = |name: &str| {
            key.iter().any(|(.., column, collation)| {
                column.as_deref() == Some(name)
                    && collation.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("BINARY"))
            })
        };
        if !(of_a_row(id) && owner.is_none_or(of_a_row)) {
            clashes.extend(table.by_index(key));
        }
    }
    Ok(clashes)
}

struct Table<'t> {
    name: &'t str,
    columns: Vec<Column>,
    /// The name of the rows' own key, and whether it is a column.
    rowid: Option<(String, bool)>,
}

impl Table<'_> {
    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    fn rowid(&self, has_key_index: bool) -> Option<(String, bool)> {
        let mut key = self.columns.iter().filter(|column| column.is_of_key);
        if let (Some(column), None, false) = (key.next(), key.next(), has_key_index) {
            return Some((column.name.clone(), true));
        }
        let free = ROWIDS.into_iter().find(|name| self.column(name).is_none())?;
        Some((free.to_owned(), false))
    }

    fn by_rowid(&self) -> Option<Clash> {
        let (rowid, is_column) = self.rowid.as_ref()?;
        let name = quote(rowid);
        Some(Clash {
            with: format!("{}.{name} = NEW.{name}", quote(self.name)),
            // The number is not known yet if the row was given none.
            on_insert: if *is_column { String::new() } else { format!("NEW.{name} IS NOT -1") },
            columns: self.rowids(),
            on_update: format!("NEW.{name} IS NOT OLD.{name}"),
        })
    }

    /// All names by which the rowid may be set.
    fn rowids(&self) -> Vec<String> {
        let Some((rowid, is_column)) = &self.rowid else { return Vec::new() };
        let free = ROWIDS.into_iter().filter(|name| self.column(name).is_none());
        let column = Some(rowid.clone()).filter(|_| *is_column);
        column.into_iter().chain(free.map(str::to_owned)).collect()
    }

    /// Collisions in the index of these columns.
    fn by_index(&self, key: &[Key]) -> Option<Clash> {
        let (_, sql, ..) = key.first()?;
        let index = sql.as_deref().and_then(Index::read);
        let named: Vec<&str> = match &index {
            Some(index) => index.names.iter().map(|name| &**name).collect(),
            None => key.iter().filter_map(|(.., name, _)| name.as_deref()).collect(),
        };
        let is_named =
            |column: &&Column| named.iter().any(|name| name.eq_ignore_ascii_case(&column.name));
        let concerned: Vec<&Column> = self.columns.iter().filter(is_named).collect();
        let table = quote(self.name);
        let mut with = Vec::new();
        let only = index.as_ref().and_then(|index| index.only);
        // First, so that the expressions are only evaluated for rows in the index.
        with.extend(only.map(|only| format!("({only})")));
        for (place, (.., name, collation)) in key.iter().enumerate() {
            let collation = quote(collation.as_deref().unwrap_or("BINARY"));
            with.push(match (name.as_deref().and_then(|name| self.column(name)), &index) {
                (Some(column), _) => {
                    format!(
                        "{table}.{} COLLATE {collation} = {}",
                        quote(&column.name),
                        self.value(column)
                    )
                }
                (None, Some(index)) => {
                    let expression = index.expressions.get(place)?;
                    let new: Vec<String> = concerned
                        .iter()
                        .map(|column| {
                            format!(
                                "{} AS {}",
                                self.value_with_affinity(column),
                                quote(&column.name)
                            )
                        })
                        .collect();
                    let only = only.map(|only| format!(" WHERE {only}")).unwrap_or_default();
                    format!(
                        "({expression}) COLLATE {collation} = \
                         (SELECT {expression} FROM (SELECT {}){only})",
                        new.join(", ")
                    )
                }
                (None, None) => return None,
            });
        }
        let changed: Vec<String> = concerned
            .iter()
            .map(|column| {
                let name = quote(&column.name);
                format!("NEW.{name} COLLATE BINARY IS NOT OLD.{name}")
            })
            .collect();
        // A generated column changes without being named.
        let columns = if concerned.iter().any(|column| column.is_generated) {
            Vec::new()
        } else {
            let rowids = if concerned.iter().any(|column| self.is_rowid(column)) {
                self.rowids()
            } else {
                Vec::new()
            };
            concerned.iter().map(|column| column.name.clone()).chain(rowids).collect()
        };
        Some(Clash {
            with: with.join(" AND "),
            on_insert: String::new(),
            columns,
            on_update: changed.join(" OR "),
        })
    }

    /// Whether it is the rows' own key.
    fn is_rowid(&self, column: &Column) -> bool {
        self.rowid.as_ref().is_some_and(|(rowid, _)| *rowid == column.name)
    }

    /// The value of the new row.
    fn value(&self, column: &Column) -> String {
        let name = quote(&column.name);
        match &column.instead_of_null {
            Some(default) => format!("coalesce(NEW.{name}, {})", expression_of(default)),
            // The number of a new row is not known yet.
            None if self.is_rowid(column) => format!(
                "CASE NEW.{name} WHEN -1 THEN (SELECT max({name}) + 1 FROM {}) ELSE NEW.{name} END",
                quote(self.name)
            ),
            None => format!("NEW.{name}"),
        }
    }

    /// The same, compared like the column, because values in triggers have no type.
    fn value_with_affinity(&self, column: &Column) -> String {
        let sql_type = column.sql_type.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| sql_type.contains(word));
        let affinity = if has(&["INT"]) {
            "NUMERIC"
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            "TEXT"
        } else if sql_type.is_empty() || has(&["BLOB"]) {
            return self.value(column);
        } else {
            "NUMERIC"
        };
        format!("CAST({} AS {affinity})", self.value(column))
    }
}

impl Column {
    fn new(found: (String, String, Option<String>, bool, bool)) -> Self {
        let (name, sql_type, instead_of_null, is_of_key, is_generated) = found;
        Self { name, sql_type, instead_of_null, is_of_key, is_generated }
    }
}

/// A column's default as an expression. A bare name in it is a text.
fn expression_of(default: &str) -> String {
    const CONSTANTS: [&str; 6] =
        ["null", "true", "false", "current_time", "current_date", "current_timestamp"];
    let text = match (&*tokens(default, Sqlite), default.chars().next()) {
        ([word], Some('"' | '`' | '[')) => word.unquoted(),
        ([word], Some(first)) if is_letter(first) && !word.is_any(&CONSTANTS) => default.to_owned(),
        _ => return format!("({default})"),
    };
    format!("'{}'", text.replace('\'', "''"))
}

/// What the statement of an index says: `ON table (expression, …) WHERE only`.
struct Index<'s> {
    expressions: Vec<&'s str>,
    only: Option<&'s str>,
    /// All names in it.
    names: Vec<String>,
}

impl<'s> Index<'s> {
    fn read(sql: &'s str) -> Option<Self> {
        let all = tokens(sql, Sqlite);
        let on = all.iter().position(|token| token.is("on"))?;
        let inner = all.get(on + 3..)?;
        let (mut depth, mut first, mut expressions, mut end) = (0, 0, Vec::new(), None);
        for (place, token) in inner.iter().enumerate() {
            if token.is_sign('(') {
                depth += 1;
            }
            if depth == 0 && (token.is_sign(',') || token.is_sign(')')) {
                expressions.push(expression(sql, inner.get(first..place)?)?);
                first = place + 1;
                if token.is_sign(')') {
                    end = Some(place);
                    break;
                }
            }
            if token.is_sign(')') {
                depth -= 1;
            }
        }
        let behind = inner.get(end? + 1..)?;
        let only = match behind {
            [word, first, ..] if word.is("where") => sql.get(first.start..),
            _ => None,
        };
        let names = inner.iter().filter_map(|token| token.name(Sqlite)).collect();
        Some(Self { expressions, only, names })
    }
}

/// The text of a key's expression, without its order and its collation.
fn expression<'s>(sql: &'s str, mut tokens: &[Token<'s>]) -> Option<&'s str> {
    if let [rest @ .., last] = tokens
        && last.is_any(&["asc", "desc"])
    {
        tokens = rest;
    }
    if let [rest @ .., collate, _] = tokens
        && collate.is("collate")
    {
        tokens = rest;
    }
    sql.get(tokens.first()?.start..tokens.last()?.end())
}

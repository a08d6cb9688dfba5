//! The columns of a PostgreSQL table: what they hold, how they change a value, and what they have in a
//! row that was created without them.

use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};

use super::record;
use crate::sql::{Column, DefaultValue, FoundColumn, Generated, Keeping, Kind};

/// Which collations treat different texts as equal. Old servers lack the column that says so.
pub(super) const FOLDS: &str =
    "NOT coalesce(CAST(to_jsonb(l) ->> 'collisdeterministic' AS boolean), true)";

/// The condition that an expression is constant, by its tree `e.tree`: it consists of values, casts and
/// built-in functions that always return the same.
const IS_CONSTANT: &str = "NOT EXISTS (SELECT FROM regexp_matches(e.tree, '\\{([A-Z]+)', 'g') AS m (node) \
     WHERE node[1] <> ALL (ARRAY ['CONST', 'RELABELTYPE', 'FUNCEXPR', 'OPEXPR', 'ARRAYEXPR', \
     'COERCETODOMAIN', 'COLLATEEXPR'])) \
     AND NOT EXISTS (SELECT FROM regexp_matches(e.tree, ':(?:op)?funcid (\\d+)', 'g') AS m (called) \
     LEFT JOIN pg_proc p ON p.oid = CAST(called[1] AS oid) AND p.provolatile = 'i' AND p.oid < 16384 \
     WHERE p.oid IS NULL)";

pub(super) async fn find(
    connection: &mut PgConnection,
    table: i64,
) -> Result<Vec<FoundColumn>, sqlx::Error> {
    let sql = format!(
        "SELECT a.attname::text AS name, format_type(a.atttypid, -1) AS sql_type, \
         format_type(a.atttypid, a.atttypmod) AS full_type, a.atttypmod, t.typtype = 'e' AS is_enum, \
         {FOLDS} AS folds, a.attgenerated <> '' AS is_computed, a.attidentity = 'a' AS is_identity, \
         a.attidentity = 'd' OR a.attgenerated = '' AND e.tree IS NOT NULL AS has_default, \
         CASE WHEN a.attgenerated = '' AND {IS_CONSTANT} THEN e.sql END AS constant \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_collation l ON l.oid = a.attcollation \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         CROSS JOIN LATERAL (SELECT CAST(coalesce(d.adbin, t.typdefaultbin) AS text) AS tree, \
         coalesce(pg_get_expr(d.adbin, a.attrelid), pg_get_expr(t.typdefaultbin, 0)) AS sql) AS e \
         WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(table).fetch_all(&mut *connection).await?;
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows {
        let mut found = read(&row)?;
        if let Some(constant) = row.try_get("constant")? {
            found.column.default = default(connection, &found.column, constant).await?;
        }
        columns.push(found);
    }
    Ok(columns)
}

fn read(row: &PgRow) -> Result<FoundColumn, sqlx::Error> {
    let (sql_type, full_type): (String, String) =
        (row.try_get("sql_type")?, row.try_get("full_type")?);
    let folds = row.try_get("folds")?;
    let generated = match (row.try_get("is_computed")?, row.try_get("is_identity")?) {
        (true, _) => Generated::Computed,
        (_, true) => Generated::Identity,
        _ => Generated::No,
    };
    let has_default: bool = row.try_get("has_default")?;
    let default = if has_default { DefaultValue::Own } else { DefaultValue::Null };
    let kind = kind(&sql_type);
    let modifier = Modifier(row.try_get("atttypmod")?);
    let limit = modifier.length().filter(|_| sql_type == "character varying");
    let keeping = match &*sql_type {
        _ if row.try_get("is_enum")? => Keeping::Strings(None),
        "character" | "bpchar" => modifier.length().map_or(Keeping::Nothing, Keeping::Padded),
        "date" => Keeping::Dates,
        _ => keeping(kind, limit, modifier, &sql_type),
    };
    let column = Column {
        limit,
        collate: if folds { " COLLATE \"C\"" } else { "" },
        full_type,
        keeping,
        default,
        ..Column::new(row.try_get::<String, _>("name")?, kind, sql_type)
    };
    Ok(FoundColumn { column, generated, folds })
}

/// The value of a constant in a column, evaluated by the database.
async fn default(
    connection: &mut PgConnection,
    column: &Column,
    constant: String,
) -> Result<DefaultValue, sqlx::Error> {
    let sql = format!(
        "SELECT CAST(to_json(r.*) AS text) FROM (SELECT {} AS value \
         FROM (SELECT CAST({constant} AS {}) AS {}) AS t) AS r",
        record::value(column),
        column.full_type,
        column.quoted()
    );
    let json: String = match sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await {
        Ok(json) => json,
        // A domain, for example, may reject its own default.
        Err(sqlx::Error::Database(_)) => return Ok(DefaultValue::Own),
        Err(error) => return Err(error),
    };
    let value = json.strip_prefix("{\"value\":").and_then(|value| value.strip_suffix('}'));
    Ok(match value {
        None => DefaultValue::Own,
        Some("null") => DefaultValue::Null,
        Some(value) => DefaultValue::Constant(value.to_owned()),
    })
}

fn kind(sql_type: &str) -> Kind {
    match sql_type {
        "text" | "character varying" => Kind::Text,
        "smallint" => Kind::Integer(16),
        "integer" => Kind::Integer(32),
        "bigint" => Kind::Integer(64),
        "real" | "double precision" => Kind::Float,
        "numeric" => Kind::Numeric,
        "boolean" => Kind::Boolean,
        "uuid" => Kind::Uuid,
        "json" | "jsonb" => Kind::Json,
        _ => Kind::Other,
    }
}

fn keeping(kind: Kind, limit: Option<usize>, modifier: Modifier, sql_type: &str) -> Keeping {
    match kind {
        Kind::Text => Keeping::Strings(limit),
        Kind::Integer(_) => Keeping::Integers,
        Kind::Float if sql_type == "real" => Keeping::Floats,
        Kind::Float => Keeping::Doubles,
        Kind::Numeric => modifier.scale(),
        Kind::Boolean => Keeping::Booleans,
        Kind::Uuid => Keeping::Uuids,
        Kind::Json => Keeping::All,
        Kind::Other => Keeping::Nothing,
    }
}

/// The type modifier of a column, as the catalogue stores it: the length of a text plus four, or
/// precision and scale of a decimal with 16 bits each, plus four. A negative number stands for none.
#[derive(Clone, Copy)]
struct Modifier(i32);

impl Modifier {
    fn length(self) -> Option<usize> {
        self.0.checked_sub(4).and_then(|length| usize::try_from(length).ok())
    }

    fn scale(self) -> Keeping {
        // The eleventh bit of the scale is its sign: a decimal may be rounded to thousands.
        match self.length().map(|modifier| modifier & 0x7ff) {
            None => Keeping::Decimals(None),
            Some(scale) if scale < 0x400 => Keeping::Decimals(u32::try_from(scale).ok()),
            Some(_) => Keeping::Nothing,
        }
    }
}

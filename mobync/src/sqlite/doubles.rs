//! Doubles, which are stored in rows and read back exactly.
//!
//! SQLite writes doubles as text with 15 digits, and more digits are not always correct. So doubles are
//! selected as doubles, and the JSON text of a record has a gap for each of them. SQLite also does not
//! parse all digits correctly. So a very great or very small number is sent as a number of medium size,
//! with powers of two to multiply it by, which changes no digit.

use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    merge::push_string,
    sql::{Column, Kind, Model},
};

/// Marks the place of a double, because no JSON text contains this character.
const GAP: char = '\u{1e}';

/// A select list: a record with gaps, and then for each column that may have a double its value or
/// null.
pub(super) fn record(model: &Model) -> String {
    let id = format!("'{{\"id\":' || json_quote(CAST(t.{} AS TEXT))", model.id.quoted());
    let mut parts = vec![id];
    let mut doubles = String::new();
    for column in model.columns.iter() {
        let mut key = String::new();
        push_string(&mut key, &column.name);
        parts.push(format!("',{}:' || {}", key.replace('\'', "''"), value(column)));
        if column.kind != Kind::Text {
            let name = column.quoted();
            doubles += &format!(", CASE typeof(t.{name}) WHEN 'real' THEN t.{name} END");
        }
    }
    format!("{} || '}}'{doubles}", joined(&parts, "||"))
}

/// The same of one column: its value in an array.
pub(super) fn one(column: &Column) -> String {
    let (name, value) = (column.quoted(), value(column));
    format!("'[' || {value} || ']', CASE typeof(t.{name}) WHEN 'real' THEN t.{name} END")
}

/// The parts joined by an operator. A chain of them would be too deep for SQLite where a table has hundreds
/// of columns.
fn joined(parts: &[String], operator: &str) -> String {
    match parts {
        [] => "''".to_owned(),
        [part] => format!("({part})"),
        parts => {
            let (left, right) = parts.split_at(parts.len() / 2);
            format!("({} {operator} {})", joined(left, operator), joined(right, operator))
        }
    }
}

/// A column's value as JSON text. A column can hold a value of any type, so all types are handled.
fn value(column: &Column) -> String {
    let name = format!("t.{}", column.quoted());
    let gap = format!("char({})", u32::from(GAP));
    match column.kind {
        Kind::Text => format!(
            "CASE typeof({name}) WHEN 'blob' THEN json_quote(hex({name})) ELSE json_quote({name}) END"
        ),
        Kind::Json => format!(
            "CASE WHEN {name} IS NULL THEN 'null' WHEN typeof({name}) = 'real' THEN {gap} \
             WHEN json_valid({name}, 9) THEN json({name}) \
             WHEN typeof({name}) = 'blob' THEN json_quote(hex({name})) ELSE json_quote({name}) END"
        ),
        Kind::Boolean => format!(
            "CASE WHEN typeof({name}) = 'integer' AND {name} = 1 THEN 'true' \
             WHEN typeof({name}) = 'integer' AND {name} = 0 THEN 'false' {}",
            any(&name, &gap)
        ),
        Kind::Integer(_) if column.as_strings => format!(
            "CASE WHEN typeof({name}) = 'integer' THEN json_quote(CAST({name} AS TEXT)) {}",
            any(&name, &gap)
        ),
        _ => format!("CASE {}", any(&name, &gap)),
    }
}

fn any(name: &str, gap: &str) -> String {
    format!(
        "WHEN typeof({name}) = 'real' THEN {gap} WHEN typeof({name}) = 'blob' THEN json_quote(hex({name})) \
         ELSE json_quote({name}) END"
    )
}

/// The condition that JSON has all values of a row: the others would be read as null or as a string.
pub(super) fn are_sound(model: &Model) -> String {
    let columns = model.columns.iter().filter(|column| column.kind != Kind::Text);
    let mut sound: Vec<String> = vec!["1 = 1".to_owned()];
    sound.extend(columns.map(|column| {
        let name = format!("t.{}", column.quoted());
        let json = match column.kind {
            Kind::Json => format!(" AND coalesce(json_valid({name}, 9), 1)"),
            _ => String::new(),
        };
        format!("CASE typeof({name}) WHEN 'real' THEN abs({name}) < 9e999 ELSE 1{json} END")
    }));
    joined(&sound, "AND")
}

/// Reads a row of a select of one text, or of a [`record`]. JSON has no infinities, so they become
/// null.
pub(super) fn read(row: &SqliteRow) -> Result<String, sqlx::Error> {
    let text = row.try_get::<String, _>(0).or_else(|error| match error {
        sqlx::Error::ColumnDecode { .. } => {
            let bytes: &[u8] = row.try_get_unchecked(0)?;
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
        error => Err(error),
    })?;
    if row.len() == 1 || !text.contains(GAP) {
        return Ok(text);
    }
    let mut parts = text.split(GAP);
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for place in 1..row.len() {
        let Some(double) = row.try_get::<Option<f64>, _>(place)? else { continue };
        filled += &serde_json::to_string(&double).map_err(sqlx::Error::decode)?;
        filled += parts.next().ok_or_else(uneven)?;
    }
    if parts.next().is_some() { Err(uneven()) } else { Ok(filled) }
}

fn uneven() -> sqlx::Error {
    sqlx::Error::decode("a record has not as many gaps as doubles")
}

/// Between these two SQLite parses every number correctly.
const RIGHT: std::ops::Range<f64> = 1e-70..1e70;
const STEP: f64 = 1.157_920_892_373_162e77; // 2^256
const STEPS: usize = 4;

/// One of a row's values as an SQL value; for a JSON column, as JSON.
pub(super) fn element(column: &Column, place: usize, columns: usize) -> String {
    let value = match column.kind {
        Kind::Json => format!(
            "CASE json_type(r.value, '$[{place}]') WHEN 'null' THEN NULL ELSE r.value -> '$[{place}]' END"
        ),
        _ => format!("json_extract(r.value, '$[{place}]')"),
    };
    if !has_doubles(column) {
        return value;
    }
    let factors = place + columns;
    let product: Vec<String> =
        (0..STEPS).map(|step| format!("json_extract(r.value, '$[{factors}][{step}]')")).collect();
    format!(
        "CASE json_type(r.value, '$[{factors}]') WHEN 'array' \
         THEN json_extract(r.value, '$[{place}]') * {} ELSE {value} END",
        product.join(" * ")
    )
}

/// Adds the values of a row; and after them, if any must be multiplied, the factors of each, or 0.
pub(super) fn push_values(json: &mut String, columns: &[&Column], values: &[&str]) {
    let mut all_factors = String::new();
    let mut is_needed = false;
    for (column, value) in columns.iter().zip(values) {
        let middle = if has_doubles(column) { in_the_middle(value) } else { None };
        json.push(',');
        all_factors.push(',');
        match middle {
            None => {
                json.push_str(value);
                all_factors.push('0');
            }
            Some((number, factors)) => {
                is_needed = true;
                json.push_str(&number.to_string());
                all_factors += &serde_json::json!(factors).to_string();
            }
        }
    }
    if is_needed {
        json.push_str(&all_factors);
    }
}

/// Whether numbers become doubles in this column; in a column for JSON text they do not.
fn has_doubles(column: &Column) -> bool {
    let is_text = |word| column.sql_type.to_ascii_uppercase().contains(word);
    match column.kind {
        Kind::Float | Kind::Other => true,
        Kind::Json => !["INT", "CHAR", "CLOB", "TEXT"].into_iter().any(is_text),
        _ => false,
    }
}

/// For a JSON number that SQLite might not parse correctly: another number, and the factor for it.
fn in_the_middle(json: &str) -> Option<(serde_json::Number, [f64; STEPS])> {
    let is_number = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if !is_number || !json.contains(['.', 'e', 'E']) {
        return None;
    }
    let mut number: f64 = json.parse().ok()?;
    if number == 0.0 || RIGHT.contains(&number.abs()) && json.len() <= 17 {
        return None;
    }
    let mut factors = [1.0; STEPS];
    for factor in &mut factors {
        if number.abs() < RIGHT.start {
            (number, *factor) = (number * STEP, 1.0 / STEP);
        } else if number.abs() >= RIGHT.end {
            (number, *factor) = (number / STEP, STEP);
        }
    }
    Some((serde_json::Number::from_f64(number)?, factors))
}

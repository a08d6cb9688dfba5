//! Records as JSON text that every parser reads in the same way.

use crate::sql::{Column, Kind, Model, quote};

/// The numeric values that JSON does not have.
const NO_NUMBERS: &str = "('NaN', 'Infinity', '-Infinity')";

/// A select list: the record of a row of the table `t`.
pub(super) fn record(model: &Model) -> String {
    let mut list = format!("CAST(t.{} AS text) AS \"id\"", model.id.quoted());
    for column in model.columns.iter() {
        list += &format!(", {} AS {}", value(column), quote(&column.name));
    }
    format!("(SELECT CAST(to_json(r.*) AS text) FROM (SELECT {list}) AS r)")
}

/// The condition that JSON has all numbers of a row: the others are read as null.
pub(super) fn is_sound(model: &Model) -> String {
    let numbers = model.columns.iter().filter_map(|column| match column.kind {
        Kind::Float | Kind::Numeric => Some(format!("CAST(t.{} AS text)", column.quoted())),
        _ => None,
    });
    let words: Vec<String> =
        numbers.map(|number| format!(" AND ({number} IN {NO_NUMBERS}) IS NOT TRUE")).collect();
    format!("(1 = 1{})", words.concat())
}

/// A column's value as JSON that means the same to every reader.
pub(super) fn value(column: &Column) -> String {
    let name = format!("t.{}", column.quoted());
    match column.kind {
        Kind::Integer(_) if column.as_strings => format!("CAST({name} AS text)"),
        // Without the blanks that pad it.
        Kind::Other if column.sql_type == "bpchar" => format!("CAST({name} AS text)"),
        Kind::Float => format!("CASE WHEN {name} NOT IN {NO_NUMBERS} THEN {name} END"),
        // Integers that some parsers do not read exactly are written as doubles, with all digits.
        // Numbers beyond doubles are written as strings, which the column accepts, too.
        Kind::Numeric => {
            let text = format!("CAST({name} AS text)");
            let numbers = if column.as_strings {
                String::new()
            } else {
                format!(
                    "WHEN abs({name}) < 9223372036854775808 THEN to_json({name}) \
                     WHEN abs({name}) <= 1.7976931348623157e308 THEN CAST({text} || 'e0' AS json) "
                )
            };
            format!("CASE {numbers}WHEN {text} NOT IN {NO_NUMBERS} THEN to_json({text}) END")
        }
        _ => name,
    }
}

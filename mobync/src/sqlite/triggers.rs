//! Whether SQLite may store a row that differs from what was written.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::SqliteConnection;

use super::catalogue::Place;

/// Whether triggers may change the rows that are written to a table: those that name the table after
/// their `BEGIN`, or one whose triggers do.
pub(super) async fn change_rows(
    connection: &mut SqliteConnection,
    place: Place<'_>,
) -> Result<bool, sqlx::Error> {
    // Triggers that only mark changes change no rows. Those of connections, which are in `temp`, may
    // belong to the tables of any database.
    let triggers: Vec<(String, String)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT lower(tbl_name), lower(sql) FROM {}.sqlite_master WHERE type = 'trigger' \
         AND sql NOT LIKE '%\\_marks\" (owner, model, id, at)%' ESCAPE '\\' \
         UNION ALL SELECT lower(tbl_name), lower(sql) FROM sqlite_temp_master WHERE type = 'trigger'",
        crate::sql::quote(place.schema)
    )))
    .fetch_all(connection)
    .await?;
    Ok(reaches(&triggers, &place.table.to_lowercase()))
}

/// Whether a write to the table leads back to it. Names and texts are in lower case.
fn reaches(triggers: &[(String, String)], table: &str) -> bool {
    let mut words: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (of, sql) in triggers {
        // Everything that the trigger does is after the first "begin", even if some name contains that
        // word.
        let body = sql.split_once("begin").map_or(&**sql, |(_, body)| body);
        words.entry(of).or_default().extend(body.split(is_between));
    }
    let mut reached = BTreeSet::new();
    let mut waiting = vec![table];
    while let Some(one) = waiting.pop() {
        let Some(words) = words.get(one) else { continue };
        if names(words, table) {
            return true;
        }
        let others = triggers.iter().map(|(of, _)| &**of).filter(|of| names(words, of));
        waiting.extend(others.filter(|of| reached.insert(*of)));
    }
    false
}

/// A name that is not a plain word may be written in pieces.
fn names(words: &BTreeSet<&str>, table: &str) -> bool {
    table.split(is_between).all(|piece| words.contains(piece))
}

fn is_between(letter: char) -> bool {
    !letter.is_alphanumeric() && letter != '_'
}

#[cfg(test)]
mod tests {
    use super::reaches;

    #[test]
    fn a_trigger_leads_back_where_it_names_the_table_or_one_that_does() {
        let trigger = |of: &str, body: &str| {
            (of.to_owned(), format!("create trigger x after insert on {of} begin {body}; end"))
        };
        let cases = [
            (vec![trigger("tasks", "update tasks set a = 1 where id = new.id")], true),
            (vec![trigger("tasks", "update \"tasks\" set a = 1")], true),
            (vec![trigger("tasks", "select raise(abort, 'no')")], false),
            (vec![trigger("tasks", "insert into audit values (new.id)")], false),
            (vec![trigger("other", "update tasks set a = 1")], false),
            (
                vec![
                    trigger("tasks", "insert into a values (1)"),
                    trigger("a", "insert into \"b c\" values (1)"),
                    trigger("b c", "insert into a select 1; delete from tasks"),
                ],
                true,
            ),
        ];
        for (triggers, is_reached) in cases {
            assert_eq!(reaches(&triggers, "tasks"), is_reached, "{triggers:?}");
        }
    }
}

//! What a trigger or a function writes, as far as its text shows.

use std::collections::BTreeSet;

use super::{Token, Tongue, tokens};

/// A change of rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Insert,
    Update(Columns),
    Delete,
}

/// Columns of a table, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    All,
    These(BTreeSet<String>),
}

/// What a text writes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) writes: Vec<(TableName, Change)>,
    /// The functions that it calls by name.
    pub(crate) calls: BTreeSet<String>,
    /// It runs statements that are composed at run time.
    pub(crate) is_dynamic: bool,
}

/// A table as named in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
}

/// What may be between `UPDATE table` and `SET`: an alias.
const BEFORE_SET: usize = 4;

impl Columns {
    pub(crate) fn these<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(Into::into);
        Self::These(names.map(|name: String| name.to_ascii_lowercase()).collect())
    }

    pub(crate) fn has_any_of(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::All, Self::All) => true,
            (Self::All, Self::These(names)) | (Self::These(names), Self::All) => !names.is_empty(),
            (Self::These(names), Self::These(others)) => !names.is_disjoint(others),
        }
    }
}

impl Script {
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only one database asks"))]
    pub(crate) fn read(text: &str, tongue: Tongue) -> Self {
        Self::of(&tokens(text, tongue), tongue)
    }

    pub(crate) fn of(tokens: &[Token<'_>], tongue: Tongue) -> Self {
        let mut script = Self::default();
        // The table of `DO UPDATE SET`.
        let mut inserted = None;
        for place in 0..tokens.len() {
            let Some((token, rest)) = tokens.get(place..).and_then(<[_]>::split_first) else {
                break;
            };
            let before = place.checked_sub(1).and_then(|place| tokens.get(place));
            let is_behind = |words: &[&str]| before.is_some_and(|before| before.is_any(words));
            let words = Words { rest, tongue };
            if token.is_any(&["insert", "replace", "merge"]) && !is_behind(&["or"]) {
                let Some(table) = words.behind_or().expect("into").and_then(Words::table) else {
                    continue;
                };
                let replaces = token.is("replace") || words.begins_with(&["or", "replace"]);
                if token.is("merge") {
                    script.writes.push((table.clone(), Change::Update(Columns::All)));
                }
                if replaces || token.is("merge") {
                    script.writes.push((table.clone(), Change::Delete));
                }
                script.writes.push((table.clone(), Change::Insert));
                inserted = Some(table);
            } else if token.is("update") && is_behind(&["do"]) {
                let set = words.columns().map(Change::Update);
                script.writes.extend(inserted.clone().zip(set));
            } else if token.is("update")
                && !is_behind(&["for", "key", "on"])
                // Part of a MERGE, whose table was named earlier.
                && !words.begins_with(&["set"])
            {
                let words = words.behind_or();
                let update = words.table().zip(words.columns().map(Change::Update));
                script.writes.extend(update);
            } else if token.is("delete") {
                let table = words.expect("from").and_then(Words::table);
                script.writes.extend(table.map(|table| (table, Change::Delete)));
            } else if tongue == Tongue::Postgres && token.is("truncate") {
                let tables = words.tables().into_iter();
                script.writes.extend(tables.map(|table| (table, Change::Delete)));
            } else if tongue == Tongue::Postgres && token.is("copy") {
                let table = words.table();
                script.writes.extend(table.map(|table| (table, Change::Insert)));
            } else if tongue == Tongue::Postgres && token.is("execute") {
                let runs = |next: &Token<'_>| !next.is_any(&["function", "procedure"]);
                script.is_dynamic |= rest.first().is_some_and(runs);
            } else if rest.first().is_some_and(|next| next.is_sign('(')) {
                script.calls.extend(token.name(tongue));
            }
        }
        script
    }
}

/// The words after a keyword.
#[derive(Clone, Copy)]
struct Words<'t, 's> {
    rest: &'t [Token<'s>],
    tongue: Tongue,
}

impl Words<'_, '_> {
    fn begins_with(self, words: &[&str]) -> bool {
        words.len() <= self.rest.len()
            && words.iter().zip(self.rest).all(|(word, token)| token.is(word))
    }

    fn behind(self, count: usize) -> Self {
        Self { rest: self.rest.get(count..).unwrap_or_default(), ..self }
    }

    /// The words after `OR REPLACE` or the like.
    fn behind_or(self) -> Self {
        if self.begins_with(&["or"]) { self.behind(2) } else { self }
    }

    fn expect(self, word: &str) -> Option<Self> {
        self.begins_with(&[word]).then(|| self.behind(1))
    }

    fn table(self) -> Option<TableName> {
        let words = self.expect("only").unwrap_or(self);
        let first = words.rest.first()?.name(self.tongue)?;
        if !words.rest.get(1).is_some_and(|token| token.is_sign('.')) {
            return Some(TableName { schema: None, table: first });
        }
        let table = words.rest.get(2)?.name(self.tongue)?;
        Some(TableName { schema: Some(first), table })
    }

    /// Tables separated by commas.
    fn tables(self) -> Vec<TableName> {
        let words = self.expect("table").unwrap_or(self);
        let end = words.rest.iter().position(|token| token.is_sign(';'));
        let list = words.rest.get(..end.unwrap_or(words.rest.len())).unwrap_or_default();
        let tables = list.split(|token| token.is_sign(','));
        tables.filter_map(|rest| Words { rest, ..self }.table()).collect()
    }

    /// The columns of the `SET` that must follow.
    fn columns(self) -> Option<Columns> {
        let soon = self.rest.get(..self.rest.len().min(BEFORE_SET + 3))?;
        let set = soon.iter().position(|token| token.is("set"))?;
        if soon.get(..set)?.iter().any(|token| token.is_sign(';')) {
            return None;
        }
        let (mut names, mut depth, mut is_name) = (BTreeSet::new(), 0_usize, true);
        for token in self.rest.get(set + 1..)? {
            let ends = depth == 0 && token.is_any(&["where", "from", "returning", "when"]);
            if ends || token.is_sign(';') {
                break;
            }
            if token.is_sign('(') {
                depth += 1;
            } else if token.is_sign(')') {
                let Some(outer) = depth.checked_sub(1) else { break };
                depth = outer;
            } else if token.is_sign('=') && depth == 0 {
                is_name = false;
            } else if token.is_sign(',') && depth == 0 {
                is_name = true;
            } else if is_name {
                names.extend(token.name(self.tongue));
            }
        }
        Some(Columns::these(names))
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Columns, Script, Tongue};

    /// What a text writes, in a short notation.
    fn written(text: &str, tongue: Tongue) -> String {
        let script = Script::read(text, tongue);
        let mut lines: Vec<String> = script
            .writes
            .iter()
            .map(|(name, change)| {
                let table = match &name.schema {
                    Some(schema) => format!("{schema}.{}", name.table),
                    None => name.table.clone(),
                };
                match change {
                    Change::Insert => format!("+{table}"),
                    Change::Delete => format!("-{table}"),
                    Change::Update(Columns::All) => format!("{table}(*)"),
                    Change::Update(Columns::These(names)) => {
                        format!("{table}({})", Vec::from_iter(names.clone()).join(","))
                    }
                }
            })
            .collect();
        lines.extend(script.is_dynamic.then(|| "?".to_owned()));
        lines.join(" ")
    }

    #[test]
    fn what_a_text_writes_is_found_and_nothing_else() {
        let both = [
            ("INSERT INTO a VALUES (1); DELETE FROM \"B\".c;", "+a -B.c"),
            (
                "update a set x = 1, y = (select z, w from b where c), (p, q) = (1, 2) where r = 3",
                "a(p,q,x,y)",
            ),
            ("UPDATE a AS b SET x = x + f(1, 2)", "a(x)"),
            ("SELECT * FROM a WHERE b = 'DELETE FROM c' -- INSERT INTO d\n", ""),
            (
                "INSERT INTO a (b) SELECT c FROM d ON CONFLICT (b) DO UPDATE SET b = 1, e = 2 WHERE f",
                "+a a(b,e)",
            ),
            ("SELECT RAISE(ABORT, 'no')", ""),
            ("SELECT x.update, delete_all(1), \"insert\" FROM y", ""),
            ("IF OLD.update THEN RETURN NEW; END IF; UPDATE b SET c = d", "b(c)"),
        ];
        for (text, expected) in both {
            assert_eq!(written(text, Tongue::Postgres), expected, "{text}");
            assert_eq!(written(text, Tongue::Sqlite), expected.to_lowercase(), "{text}");
        }
        let sqlite = [
            ("REPLACE INTO a VALUES (replace(b, 'x', 'y'))", "-a +a"),
            (
                "INSERT OR REPLACE INTO [A] DEFAULT VALUES; UPDATE OR IGNORE `b` SET c = 1",
                "-a +a b(c)",
            ),
            ("INSERT OR IGNORE INTO 'a' VALUES (1)", "+a"),
            ("SELECT truncate, copy, execute FROM a", ""),
        ];
        for (text, expected) in sqlite {
            assert_eq!(written(text, Tongue::Sqlite), expected, "{text}");
        }
        let postgres = [
            ("SELECT 1 FROM a FOR UPDATE; SELECT 1 FROM a FOR NO KEY UPDATE OF b; x := 1", ""),
            ("IF TG_OP = 'UPDATE' THEN UPDATE ONLY s.a SET b = 1; END IF", "s.a(b)"),
            ("TRUNCATE TABLE a, ONLY b.c CASCADE", "-a -b.c"),
            (
                "MERGE INTO a USING b ON c WHEN MATCHED THEN UPDATE SET d = 1 WHEN NOT MATCHED THEN DO NOTHING",
                "a(*) -a +a",
            ),
            ("EXECUTE format('DELETE FROM %I', x)", "?"),
            ("CREATE TRIGGER t AFTER UPDATE ON a EXECUTE FUNCTION f()", ""),
            ("COPY a FROM '/x'", "+a"),
            (
                "CREATE RULE r AS ON UPDATE TO tasks DO INSTEAD UPDATE other SET b = new.b",
                "other(b)",
            ),
            ("CREATE RULE r AS ON INSERT TO a DO ALSO DELETE FROM b", "-b"),
            ("WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone", "-a +b"),
        ];
        for (text, expected) in postgres {
            assert_eq!(written(text, Tongue::Postgres), expected, "{text}");
        }
        let calls =
            Script::read("PERFORM touch(1); x := s.\"Other\" (2) + lower(y)", Tongue::Postgres)
                .calls;
        assert_eq!(Vec::from_iter(calls), ["Other", "lower", "touch"]);
    }
}

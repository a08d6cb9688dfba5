//! Splits SQL into tokens, as far as it is needed to read triggers, functions and indexes.

/// The database's dialect, which decides how quotes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tongue {
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only one database asks"))]
    Sqlite,
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only one database asks"))]
    Postgres,
}

/// A token, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'s> {
    kind: Kind,
    text: &'s str,
    pub(crate) start: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A keyword, or a name without quotes.
    Word,
    /// A name in quotes.
    Quoted,
    /// A string.
    Text,
    /// A number, or one other character.
    Sign,
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    pub(crate) fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    pub(crate) fn is_sign(&self, sign: char) -> bool {
        self.kind == Kind::Sign && self.text.chars().eq([sign])
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// The name that it stands for, in lower case where the case does not matter.
    pub(crate) fn name(&self, tongue: Tongue) -> Option<String> {
        let name = match (self.kind, tongue) {
            (Kind::Word, _) => return Some(self.text.to_ascii_lowercase()),
            // SQLite accepts a string where a name is required.
            (Kind::Quoted, _) | (Kind::Text, Tongue::Sqlite) => self.unquoted(),
            _ => return None,
        };
        Some(if tongue == Tongue::Sqlite { name.to_ascii_lowercase() } else { name })
    }

    /// The text between its quotes, if it has quotes.
    pub(crate) fn unquoted(&self) -> String {
        let mut letters = self.text.chars();
        let (quote, _) = (letters.next().unwrap_or_default(), letters.next_back());
        letters.as_str().replace(&format!("{quote}{quote}"), &quote.to_string())
    }
}

/// Splits a text, without blanks and comments.
pub(crate) fn tokens(sql: &str, tongue: Tongue) -> Vec<Token<'_>> {
    let (mut tokens, mut rest) = (Vec::new(), sql);
    loop {
        rest = behind_blanks(rest, tongue);
        let Some((kind, length)) = first(rest, tongue) else { return tokens };
        let Some((text, behind)) = rest.split_at_checked(length) else { return tokens };
        tokens.push(Token { kind, text, start: sql.len() - rest.len() });
        rest = behind;
    }
}

fn behind_blanks(mut rest: &str, tongue: Tongue) -> &str {
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, behind)| behind);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = behind_comment(comment, tongue);
        } else {
            return rest;
        }
    }
}

/// PostgreSQL allows nested comments.
fn behind_comment(mut rest: &str, tongue: Tongue) -> &str {
    let mut depth = 1;
    while depth > 0 {
        let Some((before, behind)) = rest.split_once("*/") else { return "" };
        if tongue == Tongue::Postgres {
            depth += before.matches("/*").count();
        }
        depth -= 1;
        rest = behind;
    }
    rest
}

/// The first token and its length.
fn first(rest: &str, tongue: Tongue) -> Option<(Kind, usize)> {
    let letter = rest.chars().next()?;
    Some(match letter {
        '\'' => (Kind::Text, quoted(rest, letter, false)),
        'e' | 'E' if tongue == Tongue::Postgres && rest.get(1..2) == Some("'") => {
            (Kind::Text, 1 + quoted(rest.get(1..)?, '\'', true))
        }
        '"' => (Kind::Quoted, quoted(rest, letter, false)),
        '`' if tongue == Tongue::Sqlite => (Kind::Quoted, quoted(rest, letter, false)),
        '[' if tongue == Tongue::Sqlite => {
            (Kind::Quoted, rest.find(']').map_or(rest.len(), |end| end + 1))
        }
        '$' if tongue == Tongue::Postgres => match dollar_quoted(rest) {
            Some(length) => (Kind::Text, length),
            None => (Kind::Sign, 1),
        },
        _ if is_letter(letter) => (Kind::Word, length_of(rest, is_letter_or_digit)),
        '0'..='9' => (Kind::Sign, length_of(rest, |next| is_letter_or_digit(next) || next == '.')),
        _ => (Kind::Sign, letter.len_utf8()),
    })
}

pub(crate) fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphabetic() || letter == '_' || !letter.is_ascii()
}

fn is_letter_or_digit(letter: char) -> bool {
    is_letter(letter) || letter.is_ascii_digit() || letter == '$'
}

fn length_of(rest: &str, is_of_it: impl Fn(char) -> bool) -> usize {
    rest.find(|letter| !is_of_it(letter)).unwrap_or(rest.len())
}

/// The length of a quoted text. A doubled quote does not end it, nor does a quote after a backslash,
/// where backslashes escape.
fn quoted(rest: &str, quote: char, backslashes: bool) -> usize {
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((place, letter)) = letters.next() {
        if backslashes && letter == '\\' {
            letters.next();
        } else if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return place + letter.len_utf8();
        }
    }
    rest.len()
}

/// The length of a string between `$tag$` and `$tag$`.
fn dollar_quoted(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('$')?;
    let tag =
        inner.get(..length_of(inner, |letter| is_letter_or_digit(letter) && letter != '$'))?;
    if tag.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let quote = format!("${tag}$");
    let text = rest.strip_prefix(&*quote)?;
    Some(text.find(&*quote).map_or(rest.len(), |end| 2 * quote.len() + end))
}

#[cfg(test)]
mod tests {
    use super::{Tongue, tokens};

    fn names(sql: &str, tongue: Tongue) -> Vec<String> {
        tokens(sql, tongue).iter().filter_map(|token| token.name(tongue)).collect()
    }

    #[test]
    fn names_are_read_whatever_their_quotes() {
        let sql = r#"Tasks "Ta""sks" `a``b` [a b] 'it''s' x.y -- no "comment"
            /* nor /* this */ é1"#;
        let expected = ["tasks", "ta\"sks", "a`b", "a b", "it's", "x", "y", "é1"];
        assert_eq!(names(sql, Tongue::Sqlite), expected);

        let sql =
            r#"Tasks "Ta""sks" 'it''s' E'it\'s' $$a b$$ $t$ $$ " $t$ $1 a[1] /* a /* b */ c */ z"#;
        assert_eq!(names(sql, Tongue::Postgres), ["tasks", "Ta\"sks", "a", "z"]);
    }

    #[test]
    fn what_does_not_end_ends_with_the_text() {
        for sql in ["'a", "\"", "[", "`", "/*", "--", "E'\\", "$a$ b", "$", "/* /* */", ""] {
            for tongue in [Tongue::Sqlite, Tongue::Postgres] {
                let found = tokens(sql, tongue);
                assert!(found.iter().all(|token| token.end() <= sql.len()), "{sql}: {found:?}");
            }
        }
    }
}

//! JSON as it is written: members can be there twice, and every spelling is possible.

use std::fmt;

use fastrand::Rng;

/// A value, or something that should have been one.
#[derive(Clone, Debug)]
pub enum Json {
    /// Written as it is: numbers, literals, and what is none of them.
    Raw(String),
    Text(String),
    /// A string that has that JSON in it.
    Encoded(Box<Json>),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn raw(value: impl fmt::Display) -> Self {
        Self::Raw(format!("{value}"))
    }

    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The text, in a spelling of its own.
    pub fn write(&self, rng: &mut Rng) -> String {
        let plain = rng.u8(..4) > 0;
        let mut text = String::new();
        self.write_to(&mut text, plain, rng);
        text
    }

    fn write_to(&self, to: &mut String, plain: bool, rng: &mut Rng) {
        match self {
            Self::Raw(raw) => to.push_str(raw),
            Self::Text(text) => write_text(text, to, plain, rng),
            Self::Encoded(json) => {
                let text = json.write(rng);
                write_text(&text, to, plain, rng);
            }
            Self::List(items) => {
                to.push('[');
                for (place, item) in items.iter().enumerate() {
                    to.push_str(if place > 0 { "," } else { "" });
                    space(to, plain, rng);
                    item.write_to(to, plain, rng);
                }
                space(to, plain, rng);
                to.push(']');
            }
            Self::Object(members) => {
                to.push('{');
                for (place, (name, value)) in members.iter().enumerate() {
                    to.push_str(if place > 0 { "," } else { "" });
                    space(to, plain, rng);
                    write_text(name, to, plain, rng);
                    space(to, plain, rng);
                    to.push(':');
                    space(to, plain, rng);
                    value.write_to(to, plain, rng);
                }
                space(to, plain, rng);
                to.push('}');
            }
        }
    }

    /// All places in it, itself first.
    pub fn count(&self) -> usize {
        1 + match self {
            Self::Raw(_) | Self::Text(_) => 0,
            Self::Encoded(json) => json.count(),
            Self::List(items) => items.iter().map(Self::count).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.count()).sum(),
        }
    }

    /// One of the places that [`count`](Self::count) counts.
    pub fn at(&mut self, place: usize) -> &mut Self {
        let mut place = place;
        let mut at = self;
        while place > 0 {
            place -= 1;
            let mut children: Vec<&mut Self> = match at {
                Self::Raw(_) | Self::Text(_) => unreachable!("it has no place within"),
                Self::Encoded(json) => vec![&mut **json],
                Self::List(items) => items.iter_mut().collect(),
                Self::Object(members) => members.iter_mut().map(|(_, value)| value).collect(),
            };
            let mut child = 0;
            while place >= children[child].count() {
                place -= children[child].count();
                child += 1;
            }
            at = children.swap_remove(child);
        }
        at
    }
}

fn space(to: &mut String, plain: bool, rng: &mut Rng) {
    if !plain && rng.u8(..4) == 0 {
        to.push(*rng.choice(&[' ', '\n', '\t', '\r']).unwrap());
    }
}

fn write_text(text: &str, to: &mut String, plain: bool, rng: &mut Rng) {
    to.push('"');
    for letter in text.chars() {
        let escaped = !plain && rng.u8(..8) == 0;
        match letter {
            '"' | '\\' if !escaped => to.extend(['\\', letter]),
            '\n' if !escaped => to.push_str("\\n"),
            '/' if escaped => to.push_str("\\/"),
            letter if escaped || letter < ' ' => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    to.push_str(&format!("\\u{unit:04x}"));
                }
            }
            letter => to.push(letter),
        }
    }
    to.push('"');
}

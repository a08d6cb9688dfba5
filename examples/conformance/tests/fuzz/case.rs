//! One request.

use std::fmt;

/// A request, as every framework is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub method: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// In how many pieces the body comes, where a framework can be given pieces.
    pub pieces: usize,
}

impl Case {
    pub fn post(body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { method: "POST", headers, body: body.into(), pieces: 1 }
    }

    /// The first header of that name.
    pub fn header<'c>(&'c self, name: &'c str) -> Option<&'c str> {
        self.headers_of(name).next()
    }

    pub fn headers_of<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c str> {
        self.headers.iter().filter(move |(of, _)| *of == name).map(|(_, value)| &**value)
    }

    /// The body as it is delivered.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.body.chunks(self.body.len().div_ceil(self.pieces).max(1))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in {} pieces", self.method, self.pieces)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", value.escape_debug())?;
        }
        let shown = self.body.get(..4096).unwrap_or(&self.body);
        write!(f, "{} bytes: {}", self.body.len(), shown.escape_ascii())
    }
}

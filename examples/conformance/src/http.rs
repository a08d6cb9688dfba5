//! A client of HTTP/1.1 that sends what it is told to, byte for byte.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// The time without a byte after which a server counts as dead.
const PATIENCE: Duration = Duration::from_secs(30);

/// The headers of an answer that the protocol mentions.
pub const PROTOCOL_HEADERS: [&str; 6] =
    ["content-type", "content-length", "cache-control", "allow", "www-authenticate", "retry-after"];

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// The headers, apart from `Host` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A sync request with that body.
    pub fn post(body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "POST".to_owned(),
            path: "/sync".to_owned(),
            headers: vec![],
            body: body.into(),
        }
        .header("content-type", "application/json")
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The bytes before the body, with these additional headers.
    pub fn head(&self, more: &str) -> Vec<u8> {
        let Self { method, path, headers, .. } = self;
        let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let lines: String = lines.collect();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{more}{lines}\r\n");
        head.into_bytes()
    }

    /// All bytes of the request.
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = match (self.body.len(), &*self.method) {
            (0, "GET" | "HEAD" | "OPTIONS" | "DELETE") => String::new(),
            (length, _) => format!("content-length: {length}\r\n"),
        };
        [self.head(&length), self.body.clone()].concat()
    }
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers in their order, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(of, _)| of == name);
        header.map(|(_, value)| &**value)
    }

    /// The body as JSON, or null.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The member `code` of a failure, or nothing.
    pub fn code(&self) -> String {
        self.json().get("code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// With only the headers that the protocol mentions, in the order of their names.
    #[must_use]
    pub fn of_protocol(mut self) -> Self {
        self.headers.retain(|(name, _)| PROTOCOL_HEADERS.contains(&&**name));
        self.headers.sort();
        self
    }
}

/// A connection, kept alive from request to request.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to a host and port.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(address: impl std::net::ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request, and reads the answer. A server that refuses a large body may answer and close
    /// the connection while the body is sent. Then the answer counts, and the error of sending is
    /// ignored.
    ///
    /// # Errors
    /// If the connection breaks, or what comes is no HTTP.
    pub fn send(&mut self, request: &Request) -> io::Result<Answer> {
        let sent = self.write(&request.to_bytes());
        let answer = self.read(request.method == "HEAD");
        if answer.is_err() { sent.and(answer) } else { answer }
    }

    /// Sends a part of a request.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Closes the sending side.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Write)
    }

    /// Reads an answer. An answer to HEAD has no body. Provisional answers are skipped.
    ///
    /// # Errors
    /// If the connection breaks, or what comes is no HTTP.
    pub fn read(&mut self, to_head: bool) -> io::Result<Answer> {
        let mut answer = self.read_head()?;
        while answer.status < 200 {
            answer = self.read_head()?;
        }
        if to_head { Ok(answer) } else { self.read_body(answer) }
    }

    /// Reads the body of an answer whose head has been read.
    ///
    /// # Errors
    /// If the connection breaks, or what comes is no HTTP.
    pub fn read_body(&mut self, mut answer: Answer) -> io::Result<Answer> {
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = self.read_chunks()?;
        } else if let Some(length) = answer.header("content-length") {
            answer.body = vec![0; length.parse().map_err(io::Error::other)?];
            self.stream.read_exact(&mut answer.body)?;
        } else {
            self.stream.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Reads status and headers of an answer, which may be a provisional one.
    ///
    /// # Errors
    /// If the connection breaks, or what comes is no HTTP.
    pub fn read_head(&mut self) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.stream.read_until(b'\n', &mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut headers);
        parsed.parse(&head).map_err(io::Error::other)?;
        let line = |header: &httparse::Header<'_>| {
            let value = String::from_utf8_lossy(header.value).into_owned();
            (header.name.to_ascii_lowercase(), value)
        };
        let headers = parsed.headers.iter().map(line).collect();
        Ok(Answer { status: parsed.code.unwrap_or_default(), headers, body: Vec::new() })
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut size = String::new();
            self.stream.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            self.stream.by_ref().take(size).read_to_end(&mut body)?;
            self.stream.read_line(&mut String::new())?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

//! A server of HTTP/1.1 that does what it is told to, byte for byte.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// What the server does once it has read a request.
#[derive(Clone, Debug)]
pub enum Act {
    Say(Vec<u8>),
    /// Says the head of it, and the body in pieces of so many bytes, with a rest between two.
    Trickle(Vec<u8>, usize, Duration),
    /// Reads the request in pieces of so many bytes, with a rest after each, and then trickles this.
    Sip(Vec<u8>, usize, Duration),
    /// Says this, and then the same again and again.
    Forever(Vec<u8>, Vec<u8>),
    /// Says this, and nothing more.
    Stall(Vec<u8>),
    HangUp,
}

#[derive(Clone)]
pub struct Scripted {
    pub origin: String,
    /// The heads of the requests, and their bodies.
    pub heard: Arc<Mutex<Vec<(String, String)>>>,
}

impl Scripted {
    /// A server that does these one after the other, and the last one for ever.
    pub async fn new(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { origin, heard: Arc::default() };
        let acts = Arc::new(Mutex::new(acts));
        let heard = Arc::clone(&server.heard);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acts, heard) = (Arc::clone(&acts), Arc::clone(&heard));
                tokio::spawn(async move {
                    // The other side may go whenever it likes.
                    let _ = serve(stream, acts, heard).await;
                });
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("{}/sync", self.origin)
    }

    pub fn heads(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|(head, _)| head.clone()).collect()
    }
}

pub fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

async fn serve(
    mut stream: TcpStream,
    acts: Arc<Mutex<Vec<Act>>>,
    heard: Arc<Mutex<Vec<(String, String)>>>,
) -> std::io::Result<()> {
    let act = {
        let mut acts = acts.lock().unwrap();
        if acts.len() > 1 { acts.remove(0) } else { acts[0].clone() }
    };
    let mut request = Vec::new();
    let (piece, pause) = match &act {
        Act::Sip(_, piece, rest) => (*piece, *rest),
        _ => (64 * 1024, Duration::ZERO),
    };
    let mut buffer = vec![0; piece];
    let (head, body) = loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..read]);
        if !pause.is_zero() {
            sleep(pause).await;
        }
        // Heads are short, and bodies are not.
        let begin = &request[..request.len().min(64 * 1024)];
        let Some(end) = begin.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if request.len() >= end + 4 + length {
            break (head, String::from_utf8_lossy(&request[end + 4..]).into_owned());
        }
    };
    heard.lock().unwrap().push((head, body));
    match act {
        Act::Say(bytes) => stream.write_all(&bytes).await?,
        Act::Trickle(bytes, piece, rest) | Act::Sip(bytes, piece, rest) => {
            let piece = piece.min(3);
            let head = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
            stream.write_all(&bytes[..head]).await?;
            for piece in bytes[head..].chunks(piece) {
                stream.write_all(piece).await?;
                sleep(rest).await;
            }
        }
        Act::Forever(head, more) => {
            stream.write_all(&head).await?;
            loop {
                stream.write_all(&more).await?;
            }
        }
        Act::Stall(bytes) => {
            stream.write_all(&bytes).await?;
            sleep(Duration::from_hours(1)).await;
        }
        Act::HangUp => return Ok(()),
    }
    stream.shutdown().await
}

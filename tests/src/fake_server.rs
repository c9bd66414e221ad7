//! A server on this machine that answers every request the same way, or as it is told: what no real one does on demand.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// A request: its first line and its headers.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// All of it before the body.
    pub head: String,
}

/// What a request is answered with.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status and a body.
    Answer(u16, String),
    /// Nothing, ever.
    Silence,
}

impl Reply {
    /// An error of S3.
    #[must_use]
    pub fn s3_error(status: u16, code: &str, message: &str) -> Self {
        Self::Answer(status, format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
    }

    /// A listing of S3 without objects.
    #[must_use]
    pub fn empty_listing() -> Self {
        let body = "<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name><KeyCount>0</KeyCount>\
                    <IsTruncated>false</IsTruncated></ListBucketResult>";
        Self::Answer(200, body.to_string())
    }
}

/// Starts a server, which runs as long as the test program; its port.
///
/// # Panics
///
/// When there is no port.
pub fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let reply = std::sync::Arc::new(reply);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let reply = std::sync::Arc::clone(&reply);
            std::thread::spawn(move || {
                // Whoever asked may be gone.
                let _ = serve(stream, &*reply);
            });
        }
    });
    port
}

/// A port of this machine on which nobody listens.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn deaf_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn serve(mut stream: TcpStream, reply: &dyn Fn(&Request) -> Reply) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let mut some = [0; 4096];
        let count = stream.read(&mut some)?;
        if count == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&some[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..head_len]).into_owned();
    let len = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok();
    let mut left = head.lines().find_map(len).unwrap_or(0_usize).saturating_sub(bytes.len() - head_len);
    while left > 0 {
        let mut some = [0; 4096];
        let count = stream.read(&mut some)?;
        left = if count == 0 { 0 } else { left.saturating_sub(count) };
    }
    let method = head.split(' ').next().unwrap_or_default().to_string();
    match reply(&Request { method, head }) {
        Reply::Silence => loop {
            std::thread::park();
        },
        Reply::Answer(status, body) => {
            let len = body.len();
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
            stream.write_all(format!("{head}{body}").as_bytes())
        }
    }
}

//! A server that answers as it is told.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::object::{Credentials, Object, ObjectConfig, ObjectLocation, Secret, Service};

/// A secret that must turn up nowhere.
pub(super) const CANARY: &str = "canary-91c2-secret";

/// A request, as it came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) body: Vec<u8>,
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Answer {
        status: u16,
        headers: &'static str,
        body: Vec<u8>,
    },
    /// Says that so many bytes come, sends fewer, and hangs up.
    Short {
        len: usize,
        body: Vec<u8>,
    },
    /// Hangs up.
    Nothing,
    /// Keeps silent.
    Silence,
}

impl Reply {
    pub(super) fn status(status: u16, code: &str, message: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>").into_bytes();
        Self::Answer { status, headers: "", body }
    }

    pub(super) fn ok(body: impl Into<Vec<u8>>) -> Self {
        let headers = "ETag: \"x\"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
        Self::Answer { status: 200, headers, body: body.into() }
    }
}

/// A running server, and what was asked of it.
pub(super) struct Server {
    pub(super) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request with what `reply` makes of it and of how many came before.
    pub(super) async fn start(reply: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, reply) = (Arc::clone(&requests), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
                tokio::spawn(async move { serve(stream, &seen, &*reply).await });
            }
        });
        Self { port, requests }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn methods(&self) -> String {
        self.requests().iter().map(|request| request.method.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// A bucket on this server; a call may take so many seconds.
    pub(super) fn open(&self, timeout_s: u64) -> Object {
        open(self.port, timeout_s)
    }
}

pub(super) fn open(port: u16, timeout_s: u64) -> Object {
    Object::new(config(port, timeout_s))
}

pub(super) fn config(port: u16, timeout_s: u64) -> ObjectConfig {
    let location = ObjectLocation {
        prefix: Some("p".parse().unwrap()),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        allow_http: true,
        timeout: std::time::Duration::from_secs(timeout_s),
        ..ObjectLocation::new(Service::S3, "bucket").unwrap()
    };
    ObjectConfig::open(&location, &Credentials::access_key("id", Secret::new(CANARY))).unwrap()
}

async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    reply: &(dyn Fn(&Request, usize) -> Reply + Send + Sync),
) {
    let Some(request) = receive(&mut stream).await else { return };
    let nth = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    let (status, headers, len, body) = match reply(&request, nth) {
        Reply::Answer { status, headers, body } => (status, headers, body.len(), body),
        Reply::Short { len, body } => {
            (200, "ETag: \"x\"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n", len, body)
        }
        Reply::Nothing => return,
        Reply::Silence => return std::future::pending().await,
    };
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {len}\r\nConnection: close\r\n{headers}\r\n")
        .into_bytes();
    let body = if request.method == "HEAD" { Vec::new() } else { body };
    // Whoever asked may be gone.
    let _ = stream.write_all(&[head, body].concat()).await;
    let _ = stream.shutdown().await;
}

async fn receive(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_len].to_vec()).unwrap();
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = bytes.split_off(head_len);
    while body.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { method, target, body })
}

//! The server that Prometheus asks.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use walkeep::Error;

use super::exposition::{CONTENT_TYPE, text};
use super::figures::Source;

/// Serves metrics while it lives.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl MetricsServer {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// `Io` when the address cannot be listened at.
    pub(crate) async fn start(address: SocketAddr, source: Source) -> Result<Self, Error> {
        let failed = |error| Error::io(format!("serve metrics at {address}"), error);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let answer = move || {
            let figures = source();
            async move { answer(text(figures)) }
        };
        let elsewhere = || async { (StatusCode::NOT_FOUND, "metrics are at /metrics\n") };
        let router = Router::new().route("/metrics", get(answer)).fallback(elsewhere);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "metrics are no longer served");
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(text: Result<String, std::fmt::Error>) -> Response {
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use walkeep::core::UnixMillis;

    use super::*;
    use crate::metrics::{Figures, StoreFigures};

    fn nothing() -> Source {
        Arc::new(|| Figures {
            cares: Vec::new(),
            statuses: Vec::new(),
            stores: vec![("store".into(), StoreFigures::default())],
            now: UnixMillis(0),
        })
    }

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_are_served_at_their_path_alone() {
        let server = MetricsServer::start("127.0.0.1:0".parse().unwrap(), nothing()).await.unwrap();
        let answer = ask(server.address(), "/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("walkeep_store_requests_total{store=\"store\",kind=\"put\"} 0"), "{answer}");
        let elsewhere = ask(server.address(), "/").await;
        assert!(elsewhere.starts_with("HTTP/1.1 404") && elsewhere.contains("/metrics"), "{elsewhere}");
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error_that_names_it() {
        let server = MetricsServer::start("127.0.0.1:0".parse().unwrap(), nothing()).await.unwrap();
        let error = MetricsServer::start(server.address(), nothing()).await.unwrap_err().to_string();
        assert!(error.contains(&format!("serve metrics at {}", server.address())), "{error}");
    }
}

//! What the server answers when something fails: a status by what the client can do, and why.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use walkeep::Error;
use walkeep::core::Namespace;
use walkeep::core::catalog::Node;

/// A request that failed.
#[derive(Debug)]
pub struct Failure {
    /// What the client can do.
    pub status: StatusCode,
    /// Why.
    pub why: String,
    /// Whether the transaction may have been stored all the same.
    pub unknown: bool,
    /// The server to ask instead.
    pub ask: Option<Box<Node>>,
}

impl Failure {
    /// One of which the outcome is known: nothing was done.
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), unknown: false, ask: None }
    }

    /// Another server serves the tenant.
    pub fn elsewhere(tenant: &Namespace, node: Node) -> Self {
        let why = format!("node {} at {} serves tenant {tenant}", node.id, node.address);
        Self { ask: Some(Box::new(node)), ..Self::new(StatusCode::MISDIRECTED_REQUEST, why) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, unknown) = match &error {
            // The transaction is committed here, and may or may not be in the store: neither success nor failure.
            Error::Unknown { .. } => (StatusCode::GATEWAY_TIMEOUT, true),
            // The same, but this server will not find out any more.
            Error::Fenced { .. } => (StatusCode::CONFLICT, true),
            Error::Invalid { .. } => (StatusCode::BAD_REQUEST, false),
            Error::NotFound { .. } => (StatusCode::NOT_FOUND, false),
            Error::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, false),
            Error::Exhausted { .. } => (StatusCode::INSUFFICIENT_STORAGE, false),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, false),
        };
        Self { unknown, ..Self::new(status, error.to_string()) }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let status = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => StatusCode::INSUFFICIENT_STORAGE,
            Some(rusqlite::ErrorCode::DatabaseBusy) => StatusCode::SERVICE_UNAVAILABLE,
            Some(rusqlite::ErrorCode::SystemIoFailure | rusqlite::ErrorCode::DatabaseCorrupt) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.why });
        if self.unknown {
            body["outcome"] = "unknown".into();
        }
        if let Some(node) = &self.ask {
            body["node"] = node.id.as_str().into();
            body["address"] = node.address.as_str().into();
        }
        (self.status, Json(body)).into_response()
    }
}

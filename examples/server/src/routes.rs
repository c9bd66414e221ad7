//! HTTP: two routes, and the header that says how durable a write has to be.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use serde_json::json;
use walkeep::core::Namespace;
use walkeep_sqlite::Receipt;

use crate::failure::Failure;
use crate::sql::Statement;
use crate::tenants::Tenants;

/// The header of a request.
pub const DURABILITY: &str = "durability";
/// The header of a response: the frame that a restore can reach.
pub const FRAME: &str = "walkeep-frame";

#[derive(Clone)]
struct Server {
    tenants: Arc<Tenants>,
    timeout: Duration,
}

/// The routes. A write that has to be in the store is waited for up to `timeout`.
pub fn router(tenants: Arc<Tenants>, timeout: Duration) -> Router {
    Router::new()
        .route("/tenants/{tenant}", put(create))
        .route("/tenants/{tenant}/sql", post(run))
        .with_state(Server { tenants, timeout })
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    /// When it is on the disk of this machine.
    Local,
    /// When it is in the store.
    Store,
}

impl Durability {
    fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        match headers.get(DURABILITY).map(HeaderValue::as_bytes) {
            None | Some(b"local") => Ok(Self::Local),
            Some(b"store") => Ok(Self::Store),
            Some(_) => Err(Failure::new(StatusCode::BAD_REQUEST, "`Durability` is `local` or `store`")),
        }
    }
}

async fn create(
    State(server): State<Server>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let durability = Durability::of(&headers)?;
    let (tenant, created) = server.tenants.create(&name.parse()?).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let answer = (status, Json(json!({ "created": created })));
    acknowledge(answer, durability, tenant.receipt().await, server.timeout).await
}

async fn run(
    State(server): State<Server>,
    Path(name): Path<String>,
    headers: HeaderMap,
    statement: Result<Json<Statement>, JsonRejection>,
) -> Result<Response, Failure> {
    let durability = Durability::of(&headers)?;
    let Json(statement) = statement.map_err(|error| Failure::new(error.status(), error.body_text()))?;
    let name: Namespace = name.parse()?;
    let nobody = || Failure::new(StatusCode::NOT_FOUND, format!("there is no tenant {name}"));
    let tenant = server.tenants.get(&name).await?.ok_or_else(nobody)?;
    let (answer, receipt) = tenant.run(statement).await?;
    acknowledge(Json(answer), durability, receipt, server.timeout).await
}

/// Answers at once, or when everything that was committed is in the store.
async fn acknowledge(
    answer: impl IntoResponse,
    durability: Durability,
    receipt: walkeep::Result<Receipt>,
    timeout: Duration,
) -> Result<Response, Failure> {
    if durability == Durability::Local {
        return Ok(answer.into_response());
    }
    let frame = receipt?.durable(timeout).await?;
    let mut response = answer.into_response();
    response.headers_mut().insert(FRAME, HeaderValue::from(frame.get()));
    Ok(response)
}

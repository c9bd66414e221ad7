//! HTTP: the routes, and the headers that say how durable a write has to be, and how current a read.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use walkeep::core::catalog::{NamespaceSettings, NodeId};
use walkeep::core::{Namespace, Quota};
use walkeep_sqlite::Receipt;

use crate::failure::Failure;
use crate::replicas::Replicas;
use crate::sql::Statement;
use crate::tenants::{Found, Tenants};

/// The header of a request.
pub const DURABILITY: &str = "durability";
/// The header of a response: the frame that a restore can reach.
pub const FRAME: &str = "walkeep-frame";
/// The header of a request that a replica may answer.
pub const READ: &str = "read";

/// What is served.
#[derive(Clone, Debug)]
pub struct Server {
    /// The tenants.
    pub tenants: Arc<Tenants>,
    /// Copies of those that are served elsewhere, where several servers share them.
    pub replicas: Option<Arc<Replicas>>,
    /// How long a write that has to be in the store may take to get there.
    pub timeout: Duration,
}

/// The routes.
pub fn router(server: Server) -> Router {
    Router::new()
        .route("/tenants/{tenant}", put(create))
        .route("/tenants/{tenant}/sql", post(run))
        .route("/tenants/{tenant}/move", post(relocate))
        .route("/nodes", get(nodes))
        .with_state(server)
}

/// What a tenant is created with.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Creation {
    #[serde(default)]
    quota: Quota,
}

/// Where a tenant is to go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Relocation {
    node: NodeId,
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
    body: Bytes,
) -> Result<Response, Failure> {
    let durability = Durability::of(&headers)?;
    let refused = |error: serde_json::Error| Failure::new(StatusCode::BAD_REQUEST, error.to_string());
    let creation = match body.is_empty() {
        true => Creation::default(),
        false => serde_json::from_slice::<Creation>(&body).map_err(refused)?,
    };
    if server.tenants.cluster().is_none() && !creation.quota.is_unlimited() {
        let why = "a quota is kept in the catalog: start the server with --catalog";
        return Err(Failure::new(StatusCode::BAD_REQUEST, why));
    }
    let settings = NamespaceSettings { quota: creation.quota, ..NamespaceSettings::default() };
    let name: Namespace = name.parse()?;
    let (tenant, created) = match server.tenants.create(&name, settings).await? {
        Found::Here(tenant, created) => (tenant, created),
        Found::Elsewhere(node) => return Err(Failure::elsewhere(&name, node)),
    };
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
    let may_be_replica = match headers.get(READ).map(HeaderValue::as_bytes) {
        None | Some(b"newest") => false,
        Some(b"replica") => true,
        Some(_) => return Err(Failure::new(StatusCode::BAD_REQUEST, "`Read` is `newest` or `replica`")),
    };
    let tenant = match server.tenants.get(&name).await?.ok_or_else(nobody)? {
        Found::Here(tenant, _) => tenant,
        Found::Elsewhere(node) => match server.replicas.filter(|_| may_be_replica) {
            Some(replicas) => return read(&replicas, &name, statement).await,
            None => return Err(Failure::elsewhere(&name, node)),
        },
    };
    let (answer, receipt) = tenant.run(statement).await?;
    acknowledge(Json(answer), durability, receipt, server.timeout).await
}

/// Answers from the replica, with the frame that it is at.
async fn read(replicas: &Replicas, name: &Namespace, statement: Statement) -> Result<Response, Failure> {
    let (answer, frame) = replicas.read(name, statement).await?;
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(FRAME, HeaderValue::from(frame.get()));
    Ok(response)
}

async fn relocate(
    State(server): State<Server>,
    Path(name): Path<String>,
    to: Result<Json<Relocation>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(Relocation { node }) = to.map_err(|error| Failure::new(error.status(), error.body_text()))?;
    let node = server.tenants.move_to(&name.parse()?, &node).await?;
    Ok(Json(json!({ "node": node.id, "address": node.address })).into_response())
}

async fn nodes(State(server): State<Server>) -> Result<Response, Failure> {
    let nodes = match server.tenants.cluster() {
        Some(cluster) => cluster.nodes().await?,
        None => Vec::new(),
    };
    let shown = nodes.into_iter().map(|(node, status)| {
        json!({ "node": node.id, "address": node.address, "status": status, "heartbeat": node.heartbeat })
    });
    Ok(Json(shown.collect::<Vec<_>>()).into_response())
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

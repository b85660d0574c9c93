//! What those ask who keep the gateway running: health, counters, sessions, metrics.

use super::Shared;
use super::counters::Counters;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Whether the gateway is ready.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// What is in the way.
    reasons: Vec<String>,
}

/// It runs.
#[utoipa::path(get, path = "/health/live", tag = "gateway", security(()), responses((status = 200, body = Readiness)))]
pub(super) async fn live() -> Json<Readiness> {
    Json(Readiness { ready: true, reasons: Vec::new() })
}

/// It takes devices, and keeps what they send.
#[utoipa::path(get, path = "/health/ready", tag = "gateway", security(()), responses(
    (status = 200, body = Readiness),
    (status = 503, body = Readiness, description = "draining, or a sink is down"),
))]
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let reasons = shared.health.reasons();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reasons.is_empty(), reasons })).into_response()
}

/// What the gateway as a whole has done.
#[utoipa::path(get, path = "/counters", tag = "gateway", responses((status = 200, body = Counters)))]
pub(super) async fn counters(State(shared): State<Arc<Shared>>) -> Json<Counters> {
    Json(shared.status.counters(shared.fleet.census(), &shared.health))
}

/// The metrics for Prometheus, in its text format.
#[utoipa::path(get, path = "/metrics", tag = "gateway", responses((status = 200, content_type = "text/plain", body = String)))]
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let text = super::metrics::render(&shared);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

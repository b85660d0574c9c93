//! Which path leads where.

use super::error::{Code, Problem};
use super::{Shared, devices, events, guard, openapi, page, probes, requests};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use std::sync::Arc;

/// A path, and the method that it has.
pub(super) struct Route {
    pub(super) path: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "the test compares it with the description"))]
    pub(super) method: &'static str,
    pub(super) to: fn() -> MethodRouter<Arc<Shared>>,
}

/// Those that want the token.
pub(super) const GUARDED: [Route; 9] = [
    Route { path: "/devices", method: "get", to: || get(devices::list) },
    Route { path: "/devices/{id}", method: "get", to: || get(devices::one) },
    Route { path: "/devices/{id}/request", method: "post", to: || post(requests::request) },
    Route { path: "/devices/{id}/close", method: "post", to: || post(requests::close) },
    Route { path: "/sessions", method: "get", to: || get(devices::sessions) },
    Route { path: "/counters", method: "get", to: || get(probes::counters) },
    Route { path: "/events", method: "get", to: || get(events::stream) },
    Route { path: "/metrics", method: "get", to: || get(probes::metrics) },
    Route { path: "/openapi.json", method: "get", to: || get(openapi::document) },
];

/// Those for everybody.
pub(super) const OPEN: [Route; 2] = [
    Route { path: "/health/live", method: "get", to: || get(probes::live) },
    Route { path: "/health/ready", method: "get", to: || get(probes::ready) },
];

/// The path of a route, for metrics.
pub(super) fn name(matched: &str) -> &'static str {
    let routes = GUARDED.iter().chain(&OPEN).map(|route| route.path).chain(["/"]);
    let file = page::FILES.iter().any(|route| route.path == matched).then_some("/{file}");
    routes.into_iter().find(|path| *path == matched).or(file).unwrap_or("none")
}

fn table(routes: &[Route]) -> Router<Arc<Shared>> {
    routes.iter().fold(Router::new(), |router, Route { path, to, .. }| router.route(path, to().fallback(wrong_method)))
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let guarded = table(&GUARDED).route_layer(from_fn_with_state(Arc::clone(&shared), guard::admit));
    // What there is not is told to nobody who may not know what there is.
    let nothing = Router::new().fallback(not_found).layer(from_fn_with_state(Arc::clone(&shared), guard::admit));
    guarded
        .merge(table(&OPEN))
        .merge(table(page::FILES))
        .fallback_service(nothing.with_state(Arc::clone(&shared)))
        .layer(from_fn(guard::seal))
        .with_state(shared)
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "there is nothing here; GET /openapi.json says what there is")
}

async fn wrong_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this path has another method; GET /openapi.json says which")
}

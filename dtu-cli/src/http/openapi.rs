//! The description of the API, made from its types.

use super::{counters, devices, error, events, probes, requests};
use crate::http::routes::{GUARDED, Route};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::sync::LazyLock;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(title = "dtu gateway", description = "Devices behind a gateway: who is there, what they do, and requests to their lines. Times are milliseconds since 1970, UTC."),
    paths(
        devices::list,
        devices::one,
        devices::sessions,
        requests::request,
        requests::close,
        events::stream,
        probes::live,
        probes::ready,
        probes::counters,
        probes::metrics,
        document,
    ),
    components(schemas(error::ErrorBody, counters::Counters)),
    security(("bearer" = [])),
    modifiers(&Bearer),
)]
pub(super) struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        openapi.components.get_or_insert_default().add_security_scheme("bearer", scheme);
        let refused = || {
            let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
            let text = "unauthorized: no token, a wrong one, or another server's page";
            ResponseBuilder::new().description(text).content("application/json", body).build()
        };
        let items = openapi.paths.paths.values_mut().flat_map(|item| [&mut item.get, &mut item.post]);
        for response in items.flatten().flat_map(|operation| operation.responses.responses.values_mut()) {
            if let RefOr::T(response) = response
                && response.description.is_empty()
            {
                "what was asked for".clone_into(&mut response.description);
            }
        }
        for Route { path, .. } in &GUARDED {
            let item = openapi.paths.paths.get_mut(*path);
            let operations = item.into_iter().flat_map(|item| [&mut item.get, &mut item.post]).flatten();
            operations
                .for_each(|operation| drop(operation.responses.responses.insert("401".to_owned(), refused().into())));
        }
    }
}

static TEXT: LazyLock<String> = LazyLock::new(|| Description::openapi().to_json().expect("what the types say is JSON"));

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "gateway", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::OPEN;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let document: serde_json::Value = serde_json::from_str(&TEXT).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let described: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(move |method| (path.as_str(), method.as_str()))
            })
            .collect();
        let routes: BTreeSet<_> = GUARDED.iter().chain(&OPEN).map(|route| (route.path, route.method)).collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn what_wants_a_token_says_so_and_the_rest_does_not() {
        let document: serde_json::Value = serde_json::from_str(&TEXT).unwrap();
        for Route { path, method, .. } in GUARDED.iter().chain(&OPEN) {
            let says = document["paths"][path][method]["responses"]["401"].is_object();
            assert_eq!(says, GUARDED.iter().any(|route| route.path == *path), "{method} {path}");
        }
    }

    #[test]
    fn every_response_is_described() {
        let document: serde_json::Value = serde_json::from_str(&TEXT).unwrap();
        let operations = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap());
        let mut count = 0;
        for (_, operation) in operations {
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(response["description"].is_string(), "{status} of {}", operation["operationId"]);
                count += 1;
            }
        }
        assert!(count > 20, "{count}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: serde_json::Value = serde_json::from_str(&TEXT).unwrap();
        let mut left = vec![&document];
        let mut count = 0;
        while let Some(value) = left.pop() {
            if let Some(reference) = value.get("$ref").and_then(serde_json::Value::as_str) {
                assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
                count += 1;
            }
            left.extend(value.as_object().into_iter().flat_map(serde_json::Map::values));
            left.extend(value.as_array().into_iter().flatten());
        }
        assert!(count > 10, "{count}");
    }
}

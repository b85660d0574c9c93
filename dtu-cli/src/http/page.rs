//! The page, which is part of the binary.

use super::routes::Route;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// A file is asked for again each time, as the next version of the gateway may have another.
fn file(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text).into_response()
}

macro_rules! files {
    ($(($path:literal, $file:literal, $kind:ident)),+ $(,)?) => {
        /// The paths of the page.
        pub(super) const FILES: &[Route] = &[$(
            Route { path: $path, method: "get", to: || get(async || file($kind, include_str!(concat!("page/", $file)))) },
        )+];
    };
}

files![
    ("/", "index.html", HTML),
    ("/app.css", "app.css", CSS),
    ("/icon.svg", "icon.svg", ICON),
    ("/api.js", "api.js", SCRIPT),
    ("/app.js", "app.js", SCRIPT),
    ("/device.js", "device.js", SCRIPT),
    ("/fleet.js", "fleet.js", SCRIPT),
    ("/gateway.js", "gateway.js", SCRIPT),
    ("/hex.js", "hex.js", SCRIPT),
    ("/modbus.js", "modbus.js", SCRIPT),
    ("/request.js", "request.js", SCRIPT),
    ("/stream.js", "stream.js", SCRIPT),
    ("/table.js", "table.js", SCRIPT),
    ("/text.js", "text.js", SCRIPT),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/page");
        let there: BTreeSet<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| if name == "index.html" { "/".to_owned() } else { format!("/{name}") })
            .collect();
        assert_eq!(there, FILES.iter().map(|route| route.path.to_owned()).collect());
    }
}

//! Who may come in, and what every answer says besides.
//!
//! With a token, whoever shows it. Without one only this machine can connect; but a page of somebody else in a browser on this machine can
//! too, so then the name that was asked for has to be one of this machine (a name that is made to point here is not), and what a
//! page sends has to come from this server's own.

use super::Shared;
use super::error::{Code, Problem};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use core::net::IpAddr;
use std::sync::Arc;

const BEARER: &str = "Bearer ";

/// Where the page is that asks, as browsers say it of every request.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who may have an answer in his page.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Lets nobody in who has not the token.
pub(super) async fn admit(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match judge(&shared, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(text) => Problem::new(Code::Unauthorized, text).into_response(),
    }
}

fn judge(shared: &Shared, headers: &HeaderMap) -> Result<(), &'static str> {
    let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let shown = shown.and_then(|shown| {
        let (scheme, token) = shown.split_at_checked(BEARER.len())?;
        scheme.eq_ignore_ascii_case(BEARER.as_bytes()).then_some(token)
    });
    if !shared.token.admits(shown) {
        return Err("show the token: Authorization: Bearer TOKEN");
    }
    if shared.token.is_there() {
        return Ok(());
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_here(host) {
        return Err("without a token this server answers to localhost and its address only");
    }
    let of_another = "a page of another server may not ask here";
    match headers.get(header::ORIGIN).map(HeaderValue::as_bytes) {
        Some(origin) if !is_of(origin, host) => return Err(of_another),
        Some(_) | None => {}
    }
    // Browsers say no origin where a page only has something fetched or shown.
    match headers.get(FETCH_SITE).map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") | None => Ok(()),
        Some(_) => Err(of_another),
    }
}

/// Whether a name and port mean this machine.
fn is_here(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_of(origin: &[u8], host: &str) -> bool {
    [&b"http://"[..], b"https://"].iter().any(|scheme| origin.strip_prefix(*scheme) == Some(host.as_bytes()))
}

/// Counts the answer, and says to the browser what it must not do with it.
pub(super) async fn seal(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", |path| super::routes::name(path.as_str()));
    let mut response = next.run(request).await;
    let status = response.status();
    ::metrics::counter!("dtu_http_requests_total", "route" => route, "status" => status.as_str().to_owned())
        .increment(1);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (RESOURCE_POLICY, "same-origin"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_known() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:55180", "[::1]:55180", "[::1]", "127.1.2.3"] {
            assert!(is_here(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:55180", "10.0.0.1:1", "localhost.evil.example", "[::2]:1"] {
            assert!(!is_here(host), "{host}");
        }
    }

    #[test]
    fn an_origin_is_that_of_the_host_or_another() {
        assert!(is_of(b"http://localhost:55180", "localhost:55180"));
        for other in ["null", "http://localhost", "http://evil.example", "http://localhost:551800", "localhost:55180"] {
            assert!(!is_of(other.as_bytes(), "localhost:55180"), "{other}");
        }
    }
}

//! What comes in the path, the query and the body, strictly: what is not understood is refused, with the reason.

use super::error::{Code, Problem};
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use core::time::Duration;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// The longest body, in bytes: a request of 1 KiB in hex digits with blanks between them, and what stands around it.
pub(crate) const BODY_MAX: usize = 16 * 1024;

/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The longest id that a device can have, in bytes; the longest registration of a transparent DTU is shorter.
const ID_MAX: usize = 1024;

/// The id of a device out of the path, its `%XX` undone.
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::bad("the id of the device is no UTF-8; write its bytes as %XX"))?;
        if id.len() > ID_MAX {
            return Err(Problem::unknown_device());
        }
        Ok(Self(id))
    }
}

/// What stands behind the `?`.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(asked) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::bad(format!("the query: {}", cause(&error))))?;
        Ok(Self(asked))
    }
}

/// A body of JSON. No body at all is `T::default()`, where it has one.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        // A form on a page of somebody else can send anything but this.
        if !is_json(&parts) {
            return Err(Problem::new(Code::UnsupportedMediaType, "the body has to be Content-Type: application/json"));
        }
        read(body).await.map(Self)
    }
}

/// As [`Json`], and nothing at all is the default.
pub(crate) struct JsonOrNothing<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for JsonOrNothing<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Json::from_request(request, state).await.map(|Json(body)| Self(body))
    }
}

fn is_json(parts: &Parts) -> bool {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let too_large = || Problem::new(Code::TooLarge, format!("a body has at most {BODY_MAX} bytes"));
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(too_large());
    }
    let bytes = match timeout(BODY_TIME, to_bytes(body, BODY_MAX)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_over_limit(&error) => return Err(too_large()),
        Ok(Err(error)) => return Err(Problem::bad(format!("the body: {}", cause(&error)))),
        Err(_) => return Err(Problem::bad(format!("the body did not come within {} s", BODY_TIME.as_secs()))),
    };
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad(format!("the body: {error}")))
}

fn is_over_limit(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn core::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        source = error.source();
    }
    false
}

/// The innermost cause, which says what is wrong without the crate's own words around it.
fn cause(error: &dyn core::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

//! What went wrong, as every answer that is none says it: `{"error":{"code":"unknown_device","text":"…"}}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// An answer that is none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    pub(crate) error: ErrorText,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorText {
    pub(crate) code: Code,
    /// In words, for people.
    pub(crate) text: String,
}

/// What went wrong, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    BadRequest,
    Unauthorized,
    UnknownDevice,
    NotFound,
    MethodNotAllowed,
    AlreadyClosed,
    TooLarge,
    UnsupportedMediaType,
    Full,
    LineGone,
    TimedOut,
    Expired,
}

impl Code {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::UnknownDevice | Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::AlreadyClosed => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Full => StatusCode::TOO_MANY_REQUESTS,
            Self::LineGone => StatusCode::BAD_GATEWAY,
            Self::TimedOut | Self::Expired => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// The error of a handler.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, text)
    }

    pub(crate) fn unknown_device() -> Self {
        Self::new(Code::UnknownDevice, "no such device has come")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { code, text } = self;
        let mut response = (code.status(), axum::Json(ErrorBody { error: ErrorText { code, text } })).into_response();
        if code == Code::Unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

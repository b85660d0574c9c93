//! What is done to one device: it is asked, or closed.

use super::Shared;
use super::error::{Code, ErrorBody, Problem};
use super::json::{Id, Json, JsonOrNothing};
use crate::fleet::Closing;
use crate::request::ask::{self, Answer, Ask, Outcome};
use crate::request::words::checksum;
use axum::extract::State;
use dtu_proto::hex::Hex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

mod base64;

/// The longest reason for a close, in bytes, as frames have it.
const REASON_MAX: usize = 255;

/// What is asked of a line: `hex` or `base64`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestBody {
    /// The bytes in hex digits; blanks may stand between them.
    hex: Option<String>,
    /// The same in base64.
    base64: Option<String>,
    /// How long the reply may take from when the request has left, up to 600 000.
    timeout_ms: Option<u64>,
    /// Which serial line of a native device; 0 when it is not said.
    channel: Option<u8>,
    /// Appends the CRC of Modbus RTU.
    #[serde(default)]
    crc: bool,
}

/// The reply.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replied {
    device: String,
    /// `replied`; or `sent`, where there is no reply, as to what is for all devices of the line.
    outcome: Outcome,
    /// The reply as it stood on the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
    /// The same in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// The code of an exception of Modbus.
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<u8>,
    /// What the code says.
    #[serde(skip_serializing_if = "Option::is_none")]
    exception_text: Option<&'static str>,
    /// From when it was asked last to its reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<f64>,
    /// How often it was asked, when that is more than once.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
}

/// Why the device is closed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CloseBody {
    /// What the device is told, up to 255 bytes.
    reason: Option<String>,
}

/// The device is closed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Closed {
    device: String,
    closed: bool,
}

impl RequestBody {
    fn bytes(&self) -> Result<Vec<u8>, Problem> {
        let mut bytes = match (&self.hex, &self.base64) {
            (Some(hex), None) => ask::bytes(hex).map_err(|error| Problem::bad(format!("hex: {error}")))?,
            (None, Some(text)) => base64::decode(text).map_err(|error| Problem::bad(format!("base64: {error}")))?,
            (Some(_), Some(_)) | (None, None) => return Err(Problem::bad("the body: give hex or base64, one of them")),
        };
        if self.crc {
            bytes.extend(checksum(&bytes));
        }
        Ok(bytes)
    }
}

/// Sends a request down the line of the device, in turn with the others of that line, and waits for the reply.
#[utoipa::path(post, path = "/devices/{id}/request", tag = "devices",
    params(("id" = String, Path, description = "percent-encoded")), request_body = RequestBody, responses(
    (status = 200, body = Replied),
    (status = 400, body = ErrorBody, description = "bad_request"),
    (status = 404, body = ErrorBody, description = "unknown_device"),
    (status = 413, body = ErrorBody, description = "too_large"),
    (status = 415, body = ErrorBody, description = "unsupported_media_type"),
    (status = 429, body = ErrorBody, description = "full: as many requests wait as may"),
    (status = 502, body = ErrorBody, description = "line_gone: the connection or the session ended first"),
    (status = 504, body = ErrorBody, description = "timed_out: no reply; expired: its turn did not come"),
))]
pub(super) async fn request(
    State(shared): State<Arc<Shared>>,
    Id(id): Id,
    Json(body): Json<RequestBody>,
) -> Result<axum::Json<Replied>, Problem> {
    let bytes = body.bytes()?;
    let default = u64::try_from(shared.fleet.timeout().as_millis()).unwrap_or(u64::MAX);
    let timeout_ms = body.timeout_ms.unwrap_or(default);
    let ask = Ask { device: id, hex: Hex(&bytes).to_string(), channel: body.channel, timeout_ms };
    let answer = shared.ask(&ask).await;
    let Answer { device, outcome, hex, exception, round_trip_ms, attempts, text } = answer;
    let text = text.unwrap_or_default();
    let code = match outcome {
        Outcome::Replied | Outcome::Sent => {
            let base64 = hex.as_deref().and_then(|hex| ask::bytes(hex).ok()).map(|bytes| base64::encode(&bytes));
            let exception_text = exception.map(crate::request::words::exception);
            let replied = Replied { device, outcome, hex, base64, exception, exception_text, round_trip_ms, attempts };
            return Ok(axum::Json(replied));
        }
        Outcome::TimedOut => Code::TimedOut,
        Outcome::Expired => Code::Expired,
        Outcome::LineGone => Code::LineGone,
        Outcome::UnknownDevice => Code::UnknownDevice,
        Outcome::Full => Code::Full,
        Outcome::BadRequest => Code::BadRequest,
    };
    Err(Problem::new(code, text))
}

/// Closes the session with the device. It may come again, and begins a new one then.
#[utoipa::path(post, path = "/devices/{id}/close", tag = "devices",
    params(("id" = String, Path, description = "percent-encoded")), request_body = Option<CloseBody>, responses(
    (status = 200, body = Closed),
    (status = 400, body = ErrorBody, description = "bad_request"),
    (status = 404, body = ErrorBody, description = "unknown_device"),
    (status = 409, body = ErrorBody, description = "already_closed"),
    (status = 413, body = ErrorBody, description = "too_large"),
    (status = 415, body = ErrorBody, description = "unsupported_media_type"),
))]
pub(super) async fn close(
    State(shared): State<Arc<Shared>>,
    Id(id): Id,
    JsonOrNothing(body): JsonOrNothing<CloseBody>,
) -> Result<axum::Json<Closed>, Problem> {
    let reason = body.reason.unwrap_or_default();
    if reason.len() > REASON_MAX {
        return Err(Problem::bad(format!("reason: {} bytes; it has at most {REASON_MAX}", reason.len())));
    }
    match shared.fleet.close(&id, &reason) {
        Closing::Closed => Ok(axum::Json(Closed { device: id, closed: true })),
        Closing::Already => Err(Problem::new(Code::AlreadyClosed, "its session is closed already")),
        Closing::Unknown => Err(Problem::unknown_device()),
    }
}

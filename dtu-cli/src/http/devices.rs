//! The devices: the list, and one of them.

use super::Shared;
use super::error::{ErrorBody, Problem};
use super::json::{Asked, Id};
use crate::fleet::{self, Books, Detail, Field, LastFrame, Millis, Page, Row, Standing, Wanted};
use axum::Json;
use axum::extract::State;
use dtu_proto::hex::Hex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Devices in a part of the list, unless the query says how many.
const LIMIT: usize = 100;

/// Devices in a part of the list at most.
const LIMIT_MAX: usize = 1000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Begins behind this id: the `next` of the part before.
    after: Option<String>,
    /// How many at most, from 1 to 1000; 100 when it is not said.
    limit: Option<usize>,
    /// Those that stand so.
    state: Option<Standing>,
    /// Those with this text in their ids, in small or capital letters.
    search: Option<String>,
}

/// A part of the list, in the order of the ids.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeviceList {
    devices: Vec<Row>,
    /// Where the next part begins; null at the end.
    #[schema(value_type = Option<String>)]
    next: Option<Arc<str>>,
    /// How many there are in all that fit.
    total: usize,
}

/// A part of the sessions, in the order of their devices' ids.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionList {
    sessions: Vec<Books>,
    /// Where the next part begins; null at the end.
    #[schema(value_type = Option<String>)]
    next: Option<Arc<str>>,
    /// How many there are in all that fit.
    total: usize,
}

/// One device, and what it did last, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeviceDetail {
    device: Row,
    /// The last 32 events.
    timeline: Vec<TimelineEvent>,
    /// The last 8 frames.
    frames: Vec<FrameDetail>,
}

/// Something that happened to a device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TimelineEvent {
    at: Millis,
    /// In one word: connected, disconnected, skipped, missing, lost, control, closed.
    event: &'static str,
    text: String,
}

/// A frame that went over a line.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FrameDetail {
    at: Millis,
    /// `up` from the device, `down` to it.
    direction: &'static str,
    channel: u8,
    /// Its number in the device's stream.
    seq: Option<u32>,
    /// Its first 256 bytes.
    hex: String,
    /// How many bytes it has.
    length: usize,
    /// What they mean, as far as it is known.
    fields: Vec<Field>,
}

impl FrameDetail {
    fn of(frame: &LastFrame) -> Self {
        let LastFrame { at, direction, channel, seq, len, bytes } = frame;
        let is_whole = bytes.len() == *len;
        let fields = if is_whole { fleet::annotate(bytes, *direction) } else { Vec::new() };
        let (direction, hex) = (direction.name(), Hex(bytes).to_string());
        Self { at: *at, direction, channel: *channel, seq: *seq, hex, length: *len, fields }
    }
}

impl ListQuery {
    fn wanted(&self) -> Result<Wanted<'_>, Problem> {
        let limit = self.limit.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::bad(format!("the query: limit: {limit} is not from 1 to {LIMIT_MAX}")));
        }
        let (after, search) = (self.after.as_deref(), self.search.as_deref().filter(|text| !text.is_empty()));
        Ok(Wanted { after, limit, state: self.state, search })
    }
}

/// The devices with a session, in the order of their ids, in parts.
#[utoipa::path(get, path = "/devices", tag = "devices", params(ListQuery), responses(
    (status = 200, body = DeviceList),
    (status = 400, body = ErrorBody, description = "bad_request"),
))]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<DeviceList>, Problem> {
    let Page { rows: devices, next, total } = shared.fleet.list(&query.wanted()?);
    Ok(Json(DeviceList { devices, next, total }))
}

/// The books of the sessions with the devices, in the order of their ids, in parts.
#[utoipa::path(get, path = "/sessions", tag = "devices", params(ListQuery), responses(
    (status = 200, body = SessionList),
    (status = 400, body = ErrorBody, description = "bad_request"),
))]
pub(super) async fn sessions(
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<SessionList>, Problem> {
    let Page { rows: sessions, next, total } = shared.fleet.books(&query.wanted()?);
    Ok(Json(SessionList { sessions, next, total }))
}

/// One device: its row, its timeline, and its last frames with what their bytes mean.
#[utoipa::path(get, path = "/devices/{id}", tag = "devices", params(("id" = String, Path, description = "percent-encoded")), responses(
    (status = 200, body = DeviceDetail),
    (status = 404, body = ErrorBody, description = "unknown_device"),
))]
pub(super) async fn one(State(shared): State<Arc<Shared>>, Id(id): Id) -> Result<Json<DeviceDetail>, Problem> {
    let Detail { row, timeline, frames } = shared.fleet.detail(&id).ok_or_else(Problem::unknown_device)?;
    let timeline = timeline
        .into_iter()
        .map(|happened| TimelineEvent { at: happened.at, event: happened.event, text: happened.text.into() })
        .collect();
    Ok(Json(DeviceDetail { device: row, timeline, frames: frames.iter().map(FrameDetail::of).collect() }))
}

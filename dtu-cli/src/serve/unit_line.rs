//! Events of transparent DTUs as lines of JSON.

use super::line::Why;
use dtu_net::driver::transparent::UnitEvent;
use dtu_net::transparent::{Heard, TransparentEvent};
use dtu_net::{State, StateChange};
use dtu_proto::hex::Hex;
use serde::Serialize;
use std::sync::Arc;

/// Something of a transparent DTU to keep.
pub(crate) enum UnitItem {
    Heard { device: Arc<str>, heard: Heard },
    Told(UnitEvent),
}

impl UnitItem {
    /// Whose it is, where somebody said who he is.
    pub(super) fn device(&self) -> Option<&Arc<str>> {
        match self {
            Self::Heard { device, .. } | Self::Told(UnitEvent::Session { device, .. }) => Some(device),
            Self::Told(UnitEvent::Refused(refused)) => refused.device.as_ref(),
            Self::Told(UnitEvent::AcceptFailed(_) | _) => None,
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum UnitLine<'a> {
    Identified {
        device: &'a str,
        epoch: u32,
        registration: Hex<'a>,
    },
    Frame {
        device: &'a str,
        epoch: u32,
        kind: &'static str,
        bytes: Hex<'a>,
    },
    Heartbeat {
        device: &'a str,
        epoch: u32,
    },
    Control {
        device: &'a str,
        epoch: u32,
        kind: u8,
    },
    Skipped {
        device: &'a str,
        epoch: u32,
        bytes: usize,
        cause: &'static str,
        text: String,
    },
    Lost {
        device: &'a str,
        epoch: u32,
        what: &'static str,
        bytes: usize,
    },
    Disconnected {
        device: &'a str,
        epoch: u32,
        #[serde(flatten)]
        why: Why<'a>,
    },
    Closed {
        device: &'a str,
        epoch: u32,
        #[serde(flatten)]
        why: Why<'a>,
    },
    Refused {
        peer: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        device: Option<&'a str>,
        cause: &'static str,
        text: String,
    },
}

impl<'a> UnitLine<'a> {
    /// The name of the event.
    pub(super) const fn event(&self) -> &'static str {
        match self {
            Self::Identified { .. } => "identified",
            Self::Frame { .. } => "frame",
            Self::Heartbeat { .. } => "heartbeat",
            Self::Control { .. } => "control",
            Self::Skipped { .. } => "skipped",
            Self::Lost { .. } => "lost",
            Self::Disconnected { .. } => "disconnected",
            Self::Closed { .. } => "closed",
            Self::Refused { .. } => "refused",
        }
    }

    /// The line of `item`, if it has one.
    pub(super) fn of(item: &'a UnitItem) -> Option<Self> {
        Some(match item {
            UnitItem::Heard { device, heard } => Self::Frame {
                device,
                epoch: heard.epoch.number(),
                kind: heard.kind.name(),
                bytes: Hex(heard.frame.as_bytes()),
            },
            UnitItem::Told(UnitEvent::Session { device, epoch, event }) => {
                return Self::session(device, epoch.number(), event);
            }
            UnitItem::Told(UnitEvent::Refused(refused)) => Self::Refused {
                peer: refused.peer.to_string(),
                device: refused.device.as_deref(),
                cause: refused.cause.name(),
                text: refused.cause.to_string(),
            },
            UnitItem::Told(UnitEvent::AcceptFailed(_) | _) => return None,
        })
    }

    fn session(device: &'a str, epoch: u32, event: &'a TransparentEvent) -> Option<Self> {
        Some(match event {
            TransparentEvent::State(change) => return Self::state(device, epoch, change),
            TransparentEvent::Identified { registration, .. } => {
                Self::Identified { device, epoch, registration: Hex(registration.as_bytes()) }
            }
            TransparentEvent::Heartbeat { .. } => Self::Heartbeat { device, epoch },
            TransparentEvent::Skipped { bytes, cause } => {
                Self::Skipped { device, epoch, bytes: *bytes, cause: cause.name(), text: cause.to_string() }
            }
            TransparentEvent::Control { kind } => Self::Control { device, epoch, kind: *kind },
            TransparentEvent::Overrun { bytes } => Self::Lost { device, epoch, what: "frame", bytes: *bytes },
            TransparentEvent::ReplyDropped { bytes } => Self::Lost { device, epoch, what: "answer", bytes: *bytes },
            TransparentEvent::Unsendable { bytes, .. } => Self::Lost { device, epoch, what: "request", bytes: *bytes },
            TransparentEvent::Settled { .. } | _ => return None,
        })
    }

    fn state(device: &'a str, epoch: u32, change: &'a StateChange) -> Option<Self> {
        let why = || Why::new(change.cause.as_ref(), &change.reason);
        match change.state {
            State::Disconnected => Some(Self::Disconnected { device, epoch, why: why() }),
            State::Closed => Some(Self::Closed { device, epoch, why: why() }),
            // `Identified` tells it.
            State::Connecting | State::Registering | State::Connected | State::Suspect => None,
        }
    }
}

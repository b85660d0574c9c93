//! An entry as a line of JSON.

use super::output::{Content, Origin, TransportName};
use super::walk::{Entry, Inner, widen};
use crate::framings::Way;
use dtu_proto::Message;
use dtu_proto::hex::Hex;
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    origin: Option<OriginFields<'a>>,
    #[serde(flatten)]
    inner: Option<InnerFields>,
    offset: u64,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
struct OriginFields<'a> {
    stream: &'a str,
    transport: TransportName,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<f64>,
}

#[derive(Serialize)]
struct InnerFields {
    layer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<u8>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Frame {
        frame: u64,
        payload: Hex<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        device_stream: Option<String>,
        message: Option<&'a Message<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<ErrorFields>,
    },
    Foreign {
        frame: u64,
        framing: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        direction: Option<Way>,
        header: Hex<'a>,
        payload: Hex<'a>,
        trailer: Hex<'a>,
    },
    Skipped {
        skipped: u64,
        cause: &'static str,
    },
    Gap {
        gap: u64,
    },
    Decided {
        framing: &'a str,
        score: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        lead: Option<i64>,
    },
    NoneFits {
        /// Always `null`.
        framing: Option<&'a str>,
        best: Vec<Score<'a>>,
    },
}

#[derive(Serialize)]
struct Score<'a> {
    framing: &'a str,
    score: i64,
}

#[derive(Serialize)]
struct ErrorFields {
    name: &'static str,
    text: String,
}

/// Writes the line of `entry`; `content` is what its frame says, if it is a native one.
pub(super) fn write(
    writer: &mut impl Write,
    origin: Option<&Origin<'_>>,
    entry: &Entry<'_>,
    content: Option<&Content<'_>>,
) -> io::Result<()> {
    let plain;
    let inner = if let Entry::Inner(Inner { channel, .. }) = entry {
        Some(InnerFields { layer: "inner", channel: *channel })
    } else {
        None
    };
    let (offset, what) = match entry.innermost() {
        Entry::Frame { offset, frame, framing } if !framing.is_native() => {
            plain = framing.payload(frame);
            let (bytes, range) = (frame.as_bytes(), frame.payload_range());
            let what = What::Foreign {
                frame: widen(frame.encoded_len()),
                framing: framing.name(),
                direction: framing.way_of(frame),
                header: Hex(bytes.get(..range.start).unwrap_or_default()),
                payload: Hex(&plain),
                trailer: Hex(bytes.get(range.end..).unwrap_or_default()),
            };
            (*offset, what)
        }
        Entry::Frame { offset, frame, .. } => {
            let message = content.map(|content| &content.message);
            let device_stream = content.and_then(|content| content.device_stream);
            let what = What::Frame {
                frame: widen(frame.encoded_len()),
                payload: Hex(frame.payload()),
                // As hex text, like every opaque 64-bit number: readers that take it for a float would round it.
                device_stream: device_stream.map(|stream| format!("{stream:016x}")),
                message: message.and_then(|message| message.as_ref().ok()),
                error: message
                    .and_then(|message| message.as_ref().err())
                    .map(|error| ErrorFields { name: error.name(), text: error.to_string() }),
            };
            (*offset, what)
        }
        Entry::Skipped(skip) => (skip.offset, What::Skipped { skipped: skip.bytes, cause: skip.cause.name() }),
        Entry::Gap { offset, bytes } => (*offset, What::Gap { gap: *bytes }),
        Entry::Decided { offset, framing, score, lead } => {
            (*offset, What::Decided { framing: framing.name(), score: *score, lead: *lead })
        }
        Entry::NoneFits { offset, best } => {
            let best = best.iter().map(|&(framing, score)| Score { framing, score }).collect();
            (*offset, What::NoneFits { framing: None, best })
        }
        Entry::Inner(_) => unreachable!("there are two layers"),
    };
    let origin = origin.map(|origin| OriginFields {
        stream: origin.stream,
        transport: origin.transport,
        packet: origin.mark.map(|mark| mark.number),
        time: origin.mark.and_then(|mark| mark.time),
    });
    serde_json::to_writer(&mut *writer, &Line { origin, inner, offset, what })?;
    writer.write_all(b"\n")
}

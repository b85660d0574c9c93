//! Where entries go: lines of JSON or an annotated dump, and the tally of both.

use super::decisions::Decisions;
use super::json;
use super::tally::Tally;
use super::text::Text;
use super::walk::{Entry, Mark};
use dtu_proto::Message;
use dtu_proto::message::{Field, MessageError};
use std::io::{self, BufWriter, Write};

/// Bytes that are collected before they are written.
const BUFFER_LEN: usize = 64 << 10;

/// Where in a capture an entry comes from.
#[derive(Debug)]
pub(super) struct Origin<'a> {
    /// Unique among the streams of its transport, but for UDP: there each datagram is a stream of its own.
    pub(super) stream: &'a str,
    pub(super) transport: TransportName,
    pub(super) mark: Mark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TransportName {
    Tcp,
    Udp,
}

impl TransportName {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What the payload of a native frame says.
pub(super) struct Content<'a> {
    /// The device's stream that a datagram begins with.
    pub(super) device_stream: Option<u64>,
    pub(super) message: Result<Message<'a>, MessageError>,
}

impl<'a> Content<'a> {
    fn of(transport: Option<TransportName>, payload: &'a [u8]) -> Self {
        if transport != Some(TransportName::Udp) {
            return Self { device_stream: None, message: Message::decode(payload) };
        }
        match payload.split_first_chunk() {
            Some((stream, rest)) => {
                Self { device_stream: Some(u64::from_be_bytes(*stream)), message: Message::decode(rest) }
            }
            None => {
                let (needed, available) = (size_of::<u64>(), payload.len());
                let error = MessageError::Truncated { field: Field::Stream, needed, available };
                Self { device_stream: None, message: Err(error) }
            }
        }
    }
}

pub(super) struct Output {
    writer: BufWriter<Box<dyn Write>>,
    form: Form,
    tally: Tally,
    decisions: Decisions,
    /// Somebody may be watching: nothing waits in the buffer while input is awaited.
    live: bool,
}

enum Form {
    Json,
    Text(Text),
}

impl Output {
    /// One JSON object a line to standard output.
    pub(super) fn json(live: bool) -> Self {
        Self::new(Box::new(io::stdout().lock()), Form::Json, live)
    }

    /// The annotated dump to standard output, in colour where that is a terminal and wants it. `full` shows long
    /// payloads to their end.
    pub(super) fn text(full: bool, live: bool) -> Self {
        let stdout = io::stdout().lock();
        // Asked once: a stream that takes styles out again would write every piece of text by itself.
        let coloured = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
        Self::new(Box::new(stdout), Form::Text(Text::new(full, coloured)), live)
    }

    fn new(writer: Box<dyn Write>, form: Form, live: bool) -> Self {
        Self {
            writer: BufWriter::with_capacity(BUFFER_LEN, writer),
            form,
            tally: Tally::default(),
            decisions: Decisions::default(),
            live,
        }
    }

    pub(super) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Which framings were found.
    pub(super) const fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    pub(super) const fn is_text(&self) -> bool {
        matches!(self.form, Form::Text(_))
    }

    /// Writes one entry.
    pub(super) fn entry(&mut self, origin: Option<&Origin<'_>>, entry: &Entry<'_>) -> io::Result<()> {
        // What a datagram carries further in does not begin with a stream id.
        let transport = origin.map(|origin| origin.transport).filter(|_| !matches!(entry, Entry::Inner(_)));
        let content = if let Entry::Frame { frame, framing, .. } = entry.innermost()
            && framing.is_native()
        {
            Some(Content::of(transport, frame.payload()))
        } else {
            None
        };
        self.tally.record(entry, content.as_ref());
        self.decisions.record(entry);
        match &mut self.form {
            Form::Json => json::write(&mut self.writer, origin, entry, content.as_ref()),
            Form::Text(text) => text.write(&mut self.writer, origin, entry, content.as_ref()),
        }
    }

    /// Called before input is awaited.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if self.live { self.writer.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

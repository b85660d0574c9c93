//! What became of each connection, and of all.

use super::play::Done;
use super::recording::{Conversation, TransportName};
use core::fmt;
use serde::Serialize;
use std::io;

/// How a connection was played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Played,
    /// The other side went before the end.
    Left(io::ErrorKind),
    Unreachable(io::ErrorKind),
    /// The other side reads nothing.
    Stalled,
    Stopped,
    /// Nobody connects to a server of datagrams whom one could wait for.
    Unplayable,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Played => "played",
            Self::Left(_) => "left",
            Self::Unreachable(_) => "unreachable",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
            Self::Unplayable => "unplayable",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Played => f.write_str("played"),
            Self::Left(io::ErrorKind::UnexpectedEof) => f.write_str("the other side has ended the connection"),
            Self::Left(kind) => write!(f, "the other side has left: {kind}"),
            Self::Unreachable(kind) => write!(f, "no connection: {kind}"),
            Self::Stalled => f.write_str("the other side reads nothing"),
            Self::Stopped => f.write_str("stopped"),
            Self::Unplayable => f.write_str("the server's side of datagrams is not played"),
        }
    }
}

/// One connection.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    connection: usize,
    transport: &'static str,
    device: String,
    server: String,
    outcome: &'static str,
    text: String,
    writes: usize,
    of: usize,
    sent: u64,
    received: u64,
    answered: u64,
    missing: u64,
}

impl Report {
    pub(super) fn new(number: usize, conversation: &Conversation, outcome: Outcome, done: Done) -> Self {
        let Conversation { transport, device, server, parts, answered, missing, .. } = conversation;
        Self {
            connection: number,
            transport: transport.name(),
            device: device.to_string(),
            server: server.to_string(),
            outcome: outcome.name(),
            text: outcome.to_string(),
            writes: done.writes,
            of: parts.len(),
            sent: done.sent,
            received: done.received,
            answered: *answered,
            missing: *missing,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection, transport, device, server, text, writes, of, sent, received, answered, .. } = self;
        let what = if *transport == TransportName::Udp.name() { "datagrams" } else { "writes" };
        write!(
            f,
            "{connection}: {device} -> {server} ({transport}): {text}; {writes} of {of} {what}, {sent} bytes sent, "
        )?;
        write!(f, "{received} received ({answered} in the capture)")
    }
}

/// All of them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    connections: usize,
    played: usize,
    writes: usize,
    sent: u64,
    received: u64,
    answered: u64,
    missing: u64,
}

impl Summary {
    pub(super) fn add(&mut self, report: &Report) {
        self.connections += 1;
        self.played += usize::from(report.outcome == Outcome::Played.name());
        self.writes += report.writes;
        self.sent += report.sent;
        self.received += report.received;
        self.answered += report.answered;
        self.missing += report.missing;
    }

    /// Whether all was played in full.
    pub(super) const fn is_whole(&self) -> bool {
        self.connections == self.played
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, played, writes, sent, received, answered, missing } = self;
        write!(f, "{played} of {connections} connections played in full: {writes} writes, {sent} bytes sent, ")?;
        write!(f, "{received} received ({answered} in the capture)")?;
        if *missing > 0 {
            write!(f, "; {missing} bytes are missing in the capture")?;
        }
        Ok(())
    }
}

//! What a capture has of the side that is played.

use super::Side;
use crate::decode::capture::{Capture, SNIFFED_LEN, Sniffed, sniff};
use crate::decode::packet::{Carried, Direction, Transport, dissect};
use crate::decode::reassembly::{Piece, Reassembly, Segment};
use anyhow::{Context, bail, ensure};
use core::net::SocketAddr;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

/// Connections of one replay.
const MAX_CONVERSATIONS: usize = 65_536;

/// The bytes of one replay; they are all in memory.
const MAX_BYTES: usize = 1 << 30;

/// What was seen of one connection, or between two addresses on UDP.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) transport: TransportName,
    pub(super) device: SocketAddr,
    pub(super) server: SocketAddr,
    /// When its first packet was seen, in seconds.
    pub(super) opened: f64,
    /// What the played side has sent.
    pub(super) parts: Vec<Part>,
    /// How it has ended, and when.
    pub(super) end: Option<(f64, End)>,
    /// How many bytes the other side has sent.
    pub(super) answered: u64,
    /// Bytes of the played side that the capture does not have.
    pub(super) missing: u64,
}

/// What one segment or datagram carried.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    pub(super) at: f64,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It has sent all that it had.
    Finished,
    /// It has thrown the connection away.
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TransportName {
    Tcp,
    Udp,
}

impl TransportName {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A capture that has been read.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) conversations: Vec<Conversation>,
    /// Packets of which one cannot tell who was dialled.
    undecided: u64,
    /// Packets that carry no TCP or UDP that can be read.
    passed_over: u64,
    /// Why the capture could not be read to its end.
    broken: Option<String>,
}

impl Recording {
    /// # Errors
    ///
    /// A file that cannot be read or is no capture; one that is too large to be played.
    pub(super) fn read(path: &Path, side: Side, port: Option<u16>) -> anyhow::Result<Self> {
        let name = path.display();
        let mut file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        let mut head = Vec::new();
        let begun = (&mut file).take(SNIFFED_LEN.try_into()?).read_to_end(&mut head);
        begun.with_context(|| format!("cannot read {name}"))?;
        let Sniffed::Capture(kind) = sniff(&head) else { bail!("{name} is no pcap or pcapng file") };
        let input = BufReader::new(Cursor::new(head).chain(file));
        let mut capture = Capture::open(kind, input).with_context(|| name.to_string())?;
        let mut builder = Builder::new(side, port);
        loop {
            match capture.next_packet() {
                Ok(Some(packet)) => match dissect(&packet) {
                    Ok(carried) => builder.take(packet.mark.time, &carried)?,
                    Err(_) => builder.recording.passed_over += 1,
                },
                Ok(None) => break,
                // What came before it is good.
                Err(error) => {
                    builder.recording.broken = Some(format!("{name}: {error:#}"));
                    break;
                }
            }
        }
        builder.finish()
    }

    /// All times at which something is played.
    pub(super) fn times(&self) -> Vec<f64> {
        let of = |conversation: &Conversation| {
            let parts: Vec<f64> = conversation.parts.iter().map(|part| part.at).collect();
            parts.into_iter().chain([conversation.opened]).chain(conversation.end.map(|(at, _)| at))
        };
        self.conversations.iter().flat_map(of).collect()
    }

    /// What is to be told about it.
    pub(super) fn notes(&self) -> Vec<String> {
        let missing: u64 = self.conversations.iter().map(|conversation| conversation.missing).sum();
        let counted = [
            (missing, "bytes are missing in the capture; what follows them is played"),
            (self.undecided, "packets do not show who was dialled; --port says it"),
            (self.passed_over, "packets are no TCP or UDP that can be read"),
        ];
        let counted =
            counted.into_iter().filter(|&(count, _)| count > 0).map(|(count, what)| format!("{count} {what}"));
        counted.chain(self.broken.clone()).collect()
    }
}

/// Who talks to whom.
type Key = (TransportName, SocketAddr, SocketAddr);

struct Builder {
    side: Side,
    port: Option<u16>,
    recording: Recording,
    open: HashMap<Key, Open>,
    bytes: usize,
    now: f64,
}

struct Open {
    index: usize,
    played: Option<Reassembly>,
    other: Option<Reassembly>,
}

impl Builder {
    fn new(side: Side, port: Option<u16>) -> Self {
        let recording = Recording { conversations: Vec::new(), undecided: 0, passed_over: 0, broken: None };
        Self { side, port, recording, open: HashMap::new(), bytes: 0, now: 0.0 }
    }

    fn take(&mut self, time: Option<f64>, carried: &Carried<'_>) -> anyhow::Result<()> {
        // Packets of several processors are not always in order.
        self.now = time.filter(|time| time.is_finite()).unwrap_or(self.now).max(self.now);
        let Some((key, from_device)) = self.key(carried) else {
            self.recording.undecided += 1;
            return Ok(());
        };
        if self.port.is_some_and(|port| port != key.2.port()) {
            return Ok(());
        }
        let played = from_device == (self.side == Side::Device);
        match carried.transport {
            Transport::Udp => {
                let open = self.open(key, |_| false)?;
                if played {
                    self.push(open, carried.payload.to_vec())?;
                    self.recording.conversations[open].missing += widen(carried.cut);
                } else {
                    self.recording.conversations[open].answered += widen(carried.payload.len());
                }
                Ok(())
            }
            Transport::Tcp { sequence, syn, ack, fin, rst } => {
                let first = sequence.wrapping_add(u32::from(syn));
                // A SYN with another number begins another connection.
                let dials = syn && !ack;
                let begins = |open: &Open| {
                    let half = if played { &open.played } else { &open.other };
                    dials && half.as_ref().is_some_and(|half| half.first() != first)
                };
                let says_nothing = carried.payload.is_empty() && !fin && !syn;
                if says_nothing && !self.open.contains_key(&key) {
                    return Ok(());
                }
                let index = self.open(key, begins)?;
                let payload = if rst { &[] } else { carried.payload };
                let segment = Segment { sequence: first, payload, cut: carried.cut, fin };
                self.segment(key, index, played, first, segment, rst)
            }
        }
    }

    /// The conversation that a packet belongs to, and whether the device has sent it.
    fn key(&self, carried: &Carried<'_>) -> Option<(Key, bool)> {
        let Direction { source, destination } = carried.direction;
        let name = match carried.transport {
            Transport::Udp => TransportName::Udp,
            Transport::Tcp { .. } => TransportName::Tcp,
        };
        let (up, down) = ((name, source, destination), (name, destination, source));
        let opens = match carried.transport {
            Transport::Tcp { syn, ack, .. } => syn.then_some(!ack),
            Transport::Udp => None,
        };
        let by_port = match self.port {
            Some(port) if destination.port() == port && source.port() != port => Some(true),
            Some(port) if source.port() == port && destination.port() != port => Some(false),
            Some(_) | None => None,
        };
        let known = || match (self.open.contains_key(&up), self.open.contains_key(&down)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        let guessed = || match name {
            // Who speaks first has dialled.
            TransportName::Udp => Some(true),
            TransportName::Tcp => (source.port() != destination.port()).then(|| source.port() > destination.port()),
        };
        let from_device = opens.or(by_port).or_else(known).or_else(guessed)?;
        Some((if from_device { up } else { down }, from_device))
    }

    /// The index of a conversation, which begins if there is none or `begins` says so.
    fn open(&mut self, key: Key, begins: impl FnOnce(&Open) -> bool) -> anyhow::Result<usize> {
        match self.open.get(&key) {
            Some(open) if !begins(open) => return Ok(open.index),
            Some(_) | None => {}
        }
        self.close(key)?;
        let index = self.recording.conversations.len();
        ensure!(
            index < MAX_CONVERSATIONS,
            "the capture has more than {MAX_CONVERSATIONS} connections: choose by --port"
        );
        let (transport, device, server) = key;
        let (opened, parts) = (self.now, Vec::new());
        self.recording.conversations.push(Conversation {
            transport,
            device,
            server,
            opened,
            parts,
            end: None,
            answered: 0,
            missing: 0,
        });
        self.open.insert(key, Open { index, played: None, other: None });
        Ok(index)
    }

    fn segment(
        &mut self,
        key: Key,
        index: usize,
        played: bool,
        first: u32,
        segment: Segment<'_>,
        rst: bool,
    ) -> anyhow::Result<()> {
        let open = self.open.get_mut(&key).expect("it was opened for this segment");
        let half = if played { &mut open.played } else { &mut open.other };
        let half = half.get_or_insert_with(|| Reassembly::new(first));
        let mut pieces = Vec::new();
        half.segment(segment, &mut |piece| {
            pieces.push(owned(&piece));
            Ok(())
        })?;
        let (is_closed, awaited) = (half.is_closed(), half.awaited());
        self.keep(index, played, pieces)?;
        if played {
            let end =
                if rst && segment.sequence == awaited { Some(End::Reset) } else { is_closed.then_some(End::Finished) };
            let now = self.now;
            let known = &mut self.recording.conversations[index].end;
            *known = known.or(end.map(|end| (now, end)));
        }
        Ok(())
    }

    fn keep(&mut self, index: usize, played: bool, pieces: Vec<Result<Vec<u8>, u64>>) -> anyhow::Result<()> {
        for piece in pieces {
            match piece {
                Ok(bytes) if played => self.push(index, bytes)?,
                Ok(bytes) => self.recording.conversations[index].answered += widen(bytes.len()),
                Err(missing) if played => self.recording.conversations[index].missing += missing,
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn push(&mut self, index: usize, bytes: Vec<u8>) -> anyhow::Result<()> {
        self.bytes += bytes.len();
        ensure!(
            self.bytes <= MAX_BYTES,
            "the capture has more than {MAX_BYTES} bytes to play: choose by --port, or cut it"
        );
        self.recording.conversations[index].parts.push(Part { at: self.now, bytes });
        Ok(())
    }

    /// Gives out what waits behind holes.
    fn close(&mut self, key: Key) -> anyhow::Result<()> {
        let Some(Open { index, played, other }) = self.open.remove(&key) else { return Ok(()) };
        for (half, played) in [(played, true), (other, false)] {
            let Some(mut half) = half else { continue };
            let mut pieces = Vec::new();
            half.finish(&mut |piece| {
                pieces.push(owned(&piece));
                Ok(())
            })?;
            self.keep(index, played, pieces)?;
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<Recording> {
        for key in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(key)?;
        }
        let has_parts = |conversation: &Conversation| match conversation.transport {
            TransportName::Tcp => true,
            TransportName::Udp => !conversation.parts.is_empty(),
        };
        self.recording.conversations.retain(has_parts);
        Ok(self.recording)
    }
}

/// Bytes, or how many are missing.
fn owned(piece: &Piece<'_>) -> Result<Vec<u8>, u64> {
    match *piece {
        Piece::Bytes(bytes) => Ok(bytes.to_vec()),
        Piece::Gap(missing) => Err(missing),
    }
}

fn widen(length: usize) -> u64 {
    u64::try_from(length).expect("a length has at most 64 bits")
}

#[cfg(test)]
mod tests;

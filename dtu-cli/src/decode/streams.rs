//! The streams of a capture: each direction of a TCP connection is one, and each UDP datagram is one of its own.

use super::nesting::Nesting;
use super::output::{Origin, Output, TransportName};
use super::packet::{Carried, Direction, Transport};
use super::reassembly::{LeftOut, Piece, PieceSink, Reassembly, Segment};
use super::walk::{Mark, PacketMark};
use super::ways::Ways;
use crate::framings::Plan;
use core::net::SocketAddr;
use std::collections::{BTreeMap, HashMap};
use std::io;

/// Directions of TCP connections that are followed at a time; the one that was silent longest is given up for a new one.
const MAX_STREAMS: usize = 65_536;

/// Bytes that all of them may hold together; above it the one that was silent longest is given up.
const MAX_HELD: usize = 256 << 20;

/// How long a hole may wait for a retransmission, in seconds of the capture.
const HOLE_PATIENCE: f64 = 60.0;

/// What the streams of a capture lost or left out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Losses {
    pub(super) left_out: LeftOut,
    /// Streams that were given up because there were too many, or too many bytes in them.
    pub(super) given_up: u64,
}

pub(super) struct Streams<'p> {
    plan: Plan<'p>,
    ways: Ways,
    streams: HashMap<Direction, Stream<'p>>,
    /// The streams by the number of the packet that touched them last.
    by_age: BTreeMap<u64, Direction>,
    /// The sum of what the streams hold, in bytes.
    held: usize,
    losses: Losses,
}

struct Stream<'p> {
    /// `source -> destination`, and which connection between these two it is from the second on.
    label: String,
    connection: u32,
    /// Who opened the connection, where the capture has it.
    opener: Option<SocketAddr>,
    reassembly: Reassembly,
    walk: Nesting<'p>,
    opened: PacketMark,
    touched: PacketMark,
    /// Since when bytes have waited behind a hole.
    hole_since: Option<f64>,
    /// All is said; what comes late is still told from a new connection.
    closed: bool,
}

/// What the first segment of a stream says about it.
#[derive(Debug, Clone, Copy)]
struct Opening {
    /// The sequence number of the stream's first byte.
    first: u32,
    syn: bool,
    ack: bool,
    /// It carries nothing and ends nothing.
    says_nothing: bool,
}

impl<'p> Streams<'p> {
    pub(super) fn new(plan: Plan<'p>, ways: Ways) -> Self {
        let losses = Losses::default();
        Self { plan, ways, streams: HashMap::new(), by_age: BTreeMap::new(), held: 0, losses }
    }

    pub(super) const fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Takes what a packet carries.
    pub(super) fn take(&mut self, mark: PacketMark, carried: &Carried<'_>, out: &mut Output) -> io::Result<()> {
        match carried.transport {
            Transport::Udp => self.datagram(mark, carried, out),
            Transport::Tcp { sequence, syn, ack, fin, rst } => {
                let first = sequence.wrapping_add(u32::from(syn));
                while self.held > MAX_HELD {
                    self.give_up_oldest(out)?;
                }
                let opening = Opening { first, syn, ack, says_nothing: carried.payload.is_empty() && !fin };
                self.begin(mark, carried.direction, opening, out)?;
                // What a reset carries is no part of the stream.
                let payload = if rst { &[] } else { carried.payload };
                let segment = Segment { sequence: first, payload, cut: carried.cut, fin };
                self.segment(mark, carried.direction, segment, rst, out)
            }
        }
    }

    /// Ends every stream, the oldest first.
    pub(super) fn finish(&mut self, out: &mut Output) -> io::Result<()> {
        let mut streams: Vec<Stream<'p>> = self.streams.drain().map(|(_, stream)| stream).collect();
        streams.sort_by_key(|stream| stream.opened.number);
        self.by_age.clear();
        for stream in streams {
            self.end(stream, out)?;
        }
        Ok(())
    }

    fn datagram(&self, mark: PacketMark, carried: &Carried<'_>, out: &mut Output) -> io::Result<()> {
        let label = label(carried.direction, 1);
        let mut walk = Nesting::of_datagram(self.plan, self.ways.of(carried.direction, None));
        let sink = &mut |mark, entry: super::walk::Entry<'_>| {
            out.entry(Some(&Origin { stream: &label, transport: TransportName::Udp, mark }), &entry)
        };
        walk.feed(Some(mark), carried.payload, sink)?;
        match carried.cut {
            0 => walk.finish(Some(mark), sink),
            cut => walk.gap(Some(mark), super::walk::widen(cut), sink),
        }
    }

    /// Sees to it that there is a stream for the segment, if it needs one.
    fn begin(&mut self, mark: PacketMark, direction: Direction, opening: Opening, out: &mut Output) -> io::Result<()> {
        let Opening { first, syn, says_nothing, .. } = opening;
        let connection = match self.streams.get(&direction) {
            None if says_nothing && !syn => return Ok(()),
            None => 1,
            // A SYN that is repeated, or came late, begins nothing.
            Some(stream) if !syn || stream.reassembly.first() == first => return Ok(()),
            Some(stream) => stream.connection + 1,
        };
        self.remove(direction, out)?;
        while self.streams.len() >= MAX_STREAMS {
            self.give_up_oldest(out)?;
        }
        let opener = self.opener(direction, opening);
        let stream = Stream {
            label: label(direction, connection),
            opener,
            connection,
            reassembly: Reassembly::new(first),
            walk: Nesting::new(self.plan, self.ways.of(direction, opener)),
            opened: mark,
            touched: mark,
            hole_since: None,
            closed: false,
        };
        self.held += stream.held();
        self.by_age.insert(mark.number, direction);
        self.streams.insert(direction, stream);
        Ok(())
    }

    /// Who opened the connection: who sent the SYN that answers none.
    fn opener(&self, direction: Direction, Opening { syn, ack, .. }: Opening) -> Option<SocketAddr> {
        match (syn, ack) {
            (true, false) => Some(direction.source),
            (true, true) => Some(direction.destination),
            (false, _) => self.streams.get(&direction.opposite()).and_then(|answers| answers.opener),
        }
    }

    fn segment(
        &mut self,
        mark: PacketMark,
        direction: Direction,
        segment: Segment<'_>,
        rst: bool,
        out: &mut Output,
    ) -> io::Result<()> {
        let Some(stream) = self.streams.get_mut(&direction) else { return Ok(()) };
        self.by_age.remove(&stream.touched.number);
        self.by_age.insert(mark.number, direction);
        stream.touched = mark;
        self.held -= stream.held();
        let ended = rst && segment.sequence == stream.reassembly.awaited() && !stream.reassembly.has_hole();
        // A reset does not say where a stream ends, as a FIN does: what comes behind one is read, and ended anew.
        stream.closed &= segment.payload.is_empty();
        stream.pieces(out, |reassembly, sink| reassembly.segment(segment, sink))?;
        if stream.has_lost_patience() {
            stream.pieces(out, Reassembly::give_up)?;
        }
        if !stream.closed && (ended || stream.reassembly.is_closed()) {
            stream.close(out)?;
        }
        self.held += stream.held();
        Ok(())
    }

    fn give_up_oldest(&mut self, out: &mut Output) -> io::Result<()> {
        let (_, &oldest) = self.by_age.first_key_value().expect("there are streams, and each has its age");
        if self.streams.get(&oldest).is_some_and(|stream| !stream.closed) {
            self.losses.given_up += 1;
        }
        self.remove(oldest, out)
    }

    fn remove(&mut self, direction: Direction, out: &mut Output) -> io::Result<()> {
        let Some(stream) = self.streams.remove(&direction) else { return Ok(()) };
        self.by_age.remove(&stream.touched.number);
        self.held -= stream.held();
        self.end(stream, out)
    }

    fn end(&mut self, mut stream: Stream<'p>, out: &mut Output) -> io::Result<()> {
        if !stream.closed {
            stream.close(out)?;
        }
        let (sum, left_out) = (&mut self.losses.left_out, stream.reassembly.left_out());
        sum.repeated += left_out.repeated;
        sum.before += left_out.before;
        sum.behind += left_out.behind;
        Ok(())
    }
}

impl Stream<'_> {
    fn held(&self) -> usize {
        self.reassembly.held() + self.walk.held()
    }

    /// Hands what `give` makes available to the walk, and its entries to the output.
    fn pieces(
        &mut self,
        out: &mut Output,
        give: impl FnOnce(&mut Reassembly, PieceSink<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mark = Some(self.touched);
        let mut sink = sink(&self.label, out);
        let walk = &mut self.walk;
        give(&mut self.reassembly, &mut |piece| match piece {
            Piece::Bytes(bytes) => walk.feed(mark, bytes, &mut sink),
            Piece::Gap(missing) => walk.gap(mark, missing, &mut sink),
        })
    }

    fn has_lost_patience(&mut self) -> bool {
        if !self.reassembly.has_hole() {
            self.hole_since = None;
            return false;
        }
        let Some(now) = self.touched.time else { return false };
        let since = *self.hole_since.get_or_insert(now);
        let lost = now - since > HOLE_PATIENCE;
        if lost {
            self.hole_since = None;
        }
        lost
    }

    fn close(&mut self, out: &mut Output) -> io::Result<()> {
        self.closed = true;
        self.pieces(out, Reassembly::finish)?;
        self.walk.finish(Some(self.touched), &mut sink(&self.label, out))
    }
}

fn sink(label: &str, out: &mut Output) -> impl FnMut(Mark, super::walk::Entry<'_>) -> io::Result<()> {
    move |mark, entry| out.entry(Some(&Origin { stream: label, transport: TransportName::Tcp, mark }), &entry)
}

fn label(Direction { source, destination }: Direction, connection: u32) -> String {
    match connection {
        1 => format!("{source} -> {destination}"),
        _ => format!("{source} -> {destination} #{connection}"),
    }
}

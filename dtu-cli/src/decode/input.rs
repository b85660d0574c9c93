//! What is decoded: raw bytes, hex text, or a capture.

use super::capture::{Capture, Kind, SNIFFED_LEN, Sniffed, sniff};
use super::hex::HexText;
use super::nesting::Nesting;
use super::output::Output;
use super::packet::{Nothing, dissect};
use super::streams::{Losses, Streams};
use super::ways::Ways;
use crate::framings::{Plan, Source, Way};
use anyhow::Context as _;
use core::fmt;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

/// Bytes that are read at a time.
const CHUNK_LEN: usize = 64 << 10;

/// Why decoding ended before the end of the input.
pub(super) enum Stop {
    /// The input cannot be read further; what came before it has been written.
    Input(anyhow::Error, Option<Notes>),
    /// The output cannot be written.
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// How the input is to be read.
#[derive(Clone, Copy)]
pub(super) struct Chosen<'p> {
    pub(super) plan: Plan<'p>,
    /// Which way the bytes go, if the user says it; in a capture, those of who opened the connection.
    pub(super) way: Option<Way>,
}

impl Chosen<'_> {
    /// What is sniffed shows its way by its frames.
    const fn ways(&self) -> Ways {
        match self.plan.outer {
            Source::Known(_) => Ways::new(self.way),
            Source::Sniffed { .. } => Ways::said(self.way),
        }
    }
}

/// The opened input.
pub(super) struct Input {
    reader: Box<dyn Read>,
    name: PathBuf,
    live: bool,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            let name = PathBuf::from("standard input");
            return Ok(Self { reader: Box::new(io::stdin().lock()), name, live: true });
        }
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let live = file.metadata().map_or(true, |metadata| !metadata.is_file());
        Ok(Self { reader: Box::new(file), name: path.to_owned(), live })
    }

    /// Whether the input may still grow while it is read.
    pub(super) const fn is_live(&self) -> bool {
        self.live
    }

    /// Decodes a capture if the input is one, and raw bytes if not.
    pub(super) fn decode(mut self, chosen: Chosen<'_>, ports: &[u16], out: &mut Output) -> Result<Option<Notes>, Stop> {
        let mut head = Vec::with_capacity(SNIFFED_LEN);
        let kind = loop {
            match sniff(&head) {
                Sniffed::Capture(kind) => break Some(kind),
                Sniffed::Raw => break None,
                Sniffed::Undecided => {}
            }
            let mut byte = [0];
            match read(&mut self.reader, &mut byte) {
                Ok(0) => break None,
                Ok(_) => head.extend(byte),
                Err(error) => return Err(self.broken(error.into(), None)),
            }
        };
        self.reader = Box::new(Cursor::new(head).chain(self.reader));
        match kind {
            Some(kind) => self.decode_capture(kind, chosen, ports, out).map(Some),
            None => self.decode_raw(chosen, out),
        }
    }

    /// Decodes raw bytes.
    pub(super) fn decode_raw(self, chosen: Chosen<'_>, out: &mut Output) -> Result<Option<Notes>, Stop> {
        self.decode_stream(None, chosen, out)
    }

    /// Decodes hex text.
    pub(super) fn decode_hex(self, chosen: Chosen<'_>, out: &mut Output) -> Result<Option<Notes>, Stop> {
        self.decode_stream(Some(HexText::new()), chosen, out)
    }

    fn decode_stream(
        mut self,
        mut hex: Option<HexText>,
        chosen: Chosen<'_>,
        out: &mut Output,
    ) -> Result<Option<Notes>, Stop> {
        let mut chunk = vec![0; CHUNK_LEN];
        let mut decoded = Vec::new();
        let mut walk = Nesting::new(chosen.plan, chosen.way);
        let broken: anyhow::Result<()> = loop {
            out.settle()?;
            let read = match read(&mut self.reader, &mut chunk) {
                Ok(0) => break hex.as_mut().map_or(Ok(()), |hex| hex.finish().map_err(Into::into)),
                Ok(len) => &chunk[..len],
                Err(error) => break Err(error.into()),
            };
            let (bytes, outcome) = match &mut hex {
                None => (read, Ok(())),
                Some(hex) => {
                    decoded.clear();
                    let outcome = hex.push(read, &mut decoded);
                    (&*decoded, outcome)
                }
            };
            walk.feed(None, bytes, &mut |_, entry| out.entry(None, &entry))?;
            if let Err(error) = outcome {
                break Err(error.into());
            }
        };
        walk.finish(None, &mut |_, entry| out.entry(None, &entry))?;
        broken.map(|()| None).map_err(|error| self.broken(error, None))
    }

    fn decode_capture(
        mut self,
        kind: Kind,
        chosen: Chosen<'_>,
        ports: &[u16],
        out: &mut Output,
    ) -> Result<Notes, Stop> {
        let reader = core::mem::replace(&mut self.reader, Box::new(io::empty()));
        let mut notes = Notes::default();
        let mut capture = match Capture::open(kind, BufReader::with_capacity(CHUNK_LEN, reader)) {
            Ok(capture) => capture,
            Err(error) => return Err(self.broken(error, None)),
        };
        let mut streams = Streams::new(chosen.plan, chosen.ways());
        let outcome = loop {
            out.settle()?;
            let packet = match capture.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            match dissect(&packet) {
                Ok(carried) => {
                    let ends = [carried.direction.source.port(), carried.direction.destination.port()];
                    if ports.is_empty() || ends.iter().any(|port| ports.contains(port)) {
                        notes.cut += u64::from(carried.cut > 0);
                        streams.take(packet.mark, &carried, out)?;
                    }
                }
                Err(nothing) => notes.record(nothing),
            }
        };
        streams.finish(out)?;
        notes.losses = *streams.losses();
        notes.obsolete_blocks = capture.obsolete_blocks();
        let unsupported: u64 = notes.links.values().sum();
        match outcome {
            Err(error) => Err(self.broken(error, Some(notes))),
            Ok(()) if unsupported > 0 && unsupported == capture.packets() => {
                let error = anyhow::anyhow!("no packet has a link type that is supported");
                Err(self.broken(error, Some(notes)))
            }
            Ok(()) => Ok(notes),
        }
    }

    fn broken(&self, error: anyhow::Error, notes: Option<Notes>) -> Stop {
        Stop::Input(error.context(self.name.display().to_string()), notes)
    }
}

/// Reads once; an interruption by a signal is no end.
fn read(reader: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// What of a capture could not be put into the streams.
#[derive(Debug, Default)]
pub(super) struct Notes {
    other: u64,
    fragments: u64,
    headers: u64,
    cut: u64,
    links: BTreeMap<i32, u64>,
    obsolete_blocks: u64,
    losses: Losses,
}

impl Notes {
    fn record(&mut self, nothing: Nothing) {
        match nothing {
            Nothing::Link(link) => *self.links.entry(link).or_default() += 1,
            Nothing::Other => self.other += 1,
            Nothing::Fragment => self.fragments += 1,
            Nothing::Headers => self.headers += 1,
        }
    }

    fn items(&self) -> Vec<String> {
        let left_out = &self.losses.left_out;
        let counts = [
            (self.other, "packets neither TCP nor UDP"),
            (self.fragments, "IP fragments left out"),
            (self.headers, "packets with damaged or cut headers"),
            (self.cut, "packets cut short"),
            (self.obsolete_blocks, "obsolete packet blocks left out"),
            (left_out.repeated, "bytes retransmitted"),
            (left_out.before, "bytes out of order before their stream's first"),
            (left_out.behind, "bytes behind their stream's end"),
            (self.losses.given_up, "streams given up for lack of room"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let links = self.links.iter().map(|(link, count)| format!("{count} packets of unsupported link type {link}"));
        links.chain(counts).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items().is_empty()
    }
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.items().join(", "))
    }
}

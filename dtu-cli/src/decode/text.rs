//! An entry as lines for people: what it is in words, then its bytes.

use super::decisions::Said;
use super::output::{Content, Origin};
use super::walk::{Cause, Entry, Inner, SKIP_SHOWN, Skip, widen};
use super::words::{Bytes, Words};
use crate::framings::Named;
use anstyle::{AnsiColor, Style};
use dtu_proto::hex::digits;
use dtu_proto::{Frame, Malformed};
use std::io::{self, Write};

/// Bytes in a row of the dump; with it a row is 80 columns wide.
const ROW_LEN: usize = 16;

/// Payload bytes that are shown of a frame when not all of them are.
const PAYLOAD_SHOWN: usize = 16 * ROW_LEN;

/// How the parts look.
struct Palette {
    stream: Style,
    headline: Style,
    skipped: Style,
    warning: Style,
    header: Style,
    payload: Style,
    checksum: Style,
    dim: Style,
}

const COLOURED: Palette = Palette {
    stream: Style::new().bold().underline(),
    headline: AnsiColor::Green.on_default().bold(),
    skipped: AnsiColor::Red.on_default(),
    warning: AnsiColor::Yellow.on_default().bold(),
    header: AnsiColor::Cyan.on_default(),
    payload: Style::new(),
    checksum: AnsiColor::Magenta.on_default(),
    dim: Style::new().dimmed(),
};

const PLAIN: Palette = {
    let plain = Style::new();
    Palette {
        stream: plain,
        headline: plain,
        skipped: plain,
        warning: plain,
        header: plain,
        payload: plain,
        checksum: plain,
        dim: plain,
    }
};

/// The dump, which names a stream when it changes and counts time from the first packet shown.
pub(super) struct Text {
    full: bool,
    palette: &'static Palette,
    stream: String,
    first_time: Option<f64>,
}

impl Text {
    pub(super) const fn new(full: bool, coloured: bool) -> Self {
        let palette = if coloured { &COLOURED } else { &PLAIN };
        Self { full, palette, stream: String::new(), first_time: None }
    }

    /// Writes the lines of `entry`; `content` is what its frame says, if it is one.
    pub(super) fn write(
        &mut self,
        writer: &mut impl Write,
        origin: Option<&Origin<'_>>,
        entry: &Entry<'_>,
        content: Option<&Content<'_>>,
    ) -> io::Result<()> {
        let packet = match origin {
            Some(origin) => {
                self.name_stream(writer, origin)?;
                self.packet(origin)
            }
            None => String::new(),
        };
        let palette = self.palette;
        let &Palette { headline, skipped, warning, dim, .. } = palette;
        match entry {
            Entry::Inner(Inner { channel: Some(channel), .. }) => write!(writer, "{dim}channel {channel}{dim:#} ")?,
            Entry::Inner(_) => write!(writer, "{dim}inner{dim:#} ")?,
            Entry::Frame { .. } | Entry::Skipped(_) | Entry::Gap { .. } => {}
            Entry::Decided { .. } | Entry::NoneFits { .. } => {}
        }
        let entry = entry.innermost();
        match entry {
            Entry::Frame { offset, frame, framing } => {
                let len = Bytes(frame.encoded_len());
                write!(writer, "{headline}frame{headline:#} at {offset}, {len}: ")?;
                match content {
                    Some(content) => palette.content(writer, content)?,
                    None => foreign(writer, frame, framing)?,
                }
                writeln!(writer, "{dim}{packet}{dim:#}")?;
                self.dump_frame(writer, frame, framing)
            }
            Entry::Skipped(skip) => {
                let Skip { offset, bytes, cause, merged, head, .. } = skip;
                let (len, name) = (Bytes(*bytes), cause.name());
                write!(writer, "{skipped}skipped{skipped:#} at {offset}, {len} ({name}): {cause}")?;
                // How noise is cut into skips says nothing.
                if *merged > 1
                    && !matches!(cause, Cause::NoFraming | Cause::Malformed(Malformed::Magic | Malformed::Fill))
                {
                    write!(writer, " (the first of {merged})")?;
                }
                writeln!(writer, "{dim}{packet}{dim:#}")?;
                palette.dump(writer, "skipped", skipped, 0, head)?;
                palette.more(writer, bytes.saturating_sub(widen(head.len())))
            }
            Entry::Gap { offset, bytes } => {
                write!(writer, "{warning}gap{warning:#} at {offset}, {}: missing from the capture", Bytes(*bytes))?;
                writeln!(writer, "{dim}{packet}{dim:#}")
            }
            Entry::Decided { offset, .. } | Entry::NoneFits { offset, .. } => {
                writeln!(writer, "{headline}framing{headline:#} at {offset}: {}{dim}{packet}{dim:#}", Said(entry))
            }
            Entry::Inner(_) => unreachable!("there are two layers"),
        }
    }

    fn name_stream(&mut self, writer: &mut impl Write, origin: &Origin<'_>) -> io::Result<()> {
        let stream = format!("{} {}", origin.transport.as_str(), origin.stream);
        if self.stream != stream {
            let style = self.palette.stream;
            writeln!(writer, "{style}{stream}{style:#}")?;
            self.stream = stream;
        }
        Ok(())
    }

    fn packet(&mut self, origin: &Origin<'_>) -> String {
        let Some(mark) = origin.mark else { return String::new() };
        match mark.time {
            Some(time) => {
                let since = time - *self.first_time.get_or_insert(time);
                format!("  [packet {}, {since:+.6} s]", mark.number)
            }
            None => format!("  [packet {}]", mark.number),
        }
    }

    fn dump_frame(&self, writer: &mut impl Write, frame: &Frame<'_>, framing: &Named) -> io::Result<()> {
        let palette = self.palette;
        let (bytes, payload) = (frame.as_bytes(), frame.payload_range());
        let (header, trailer) = (bytes.get(..payload.start), bytes.get(payload.end..));
        palette.dump(writer, "header", palette.header, 0, header.unwrap_or_default())?;
        self.dump_payload(writer, "payload", payload.start, frame.payload())?;
        let part = if framing.is_native() { "checksum" } else { "trailer" };
        palette.dump(writer, part, palette.checksum, payload.end, trailer.unwrap_or_default())?;
        if framing.is_native() {
            return Ok(());
        }
        // What the sender meant, where it had to write it otherwise.
        let plain = framing.payload(frame);
        if plain == frame.payload() { Ok(()) } else { self.dump_payload(writer, "meaning", 0, &plain) }
    }

    fn dump_payload(&self, writer: &mut impl Write, part: &str, start: usize, bytes: &[u8]) -> io::Result<()> {
        let shown = if self.full { bytes.len() } else { bytes.len().min(PAYLOAD_SHOWN) };
        self.palette.dump(writer, part, self.palette.payload, start, bytes.get(..shown).unwrap_or_default())?;
        self.palette.more(writer, widen(bytes.len() - shown))
    }
}

/// A frame whose payload is not known further.
fn foreign(writer: &mut impl Write, frame: &Frame<'_>, framing: &Named) -> io::Result<()> {
    write!(writer, "{}", framing.name())?;
    if let Some(way) = framing.way_of(frame) {
        write!(writer, " {}", way.as_str())?;
    }
    match frame.payload().len() {
        0 => write!(writer, ", no payload"),
        len => write!(writer, ", payload {}", Bytes(len)),
    }
}

impl Palette {
    fn content(&self, writer: &mut impl Write, content: &Content<'_>) -> io::Result<()> {
        if let Some(stream) = content.device_stream {
            write!(writer, "device stream {stream:016x}, ")?;
        }
        match &content.message {
            Ok(message) => write!(writer, "{}", Words(message)),
            Err(error) => {
                let warning = self.warning;
                write!(writer, "{warning}no message{warning:#}, {error}")
            }
        }
    }

    /// Rows of `bytes`, which begin at `start` of their frame or skip: offset, part, hex, characters.
    fn dump(&self, writer: &mut impl Write, part: &str, style: Style, start: usize, bytes: &[u8]) -> io::Result<()> {
        let dim = self.dim;
        for (index, row) in bytes.chunks(ROW_LEN).enumerate() {
            let at = start + index * ROW_LEN;
            let part = if index == 0 { part } else { "" };
            write!(writer, "{dim}{at:>5x} {part:<8}{dim:#} {style}")?;
            // One write a row; a call a byte takes most of the time of a long dump.
            let mut columns = [b' '; ROW_LEN * 4];
            let (hex, characters) = columns.split_at_mut(ROW_LEN * 3);
            for ((hex, character), &byte) in hex.chunks_exact_mut(3).zip(characters).zip(row) {
                let [high, low] = digits(byte);
                (hex[0], hex[1]) = (high, low);
                *character = if byte == b' ' || byte.is_ascii_graphic() { byte } else { b'.' };
            }
            writer.write_all(&columns[..ROW_LEN * 3 + row.len()])?;
            writeln!(writer, "{style:#}")?;
        }
        Ok(())
    }

    /// Says how many bytes are not shown.
    fn more(&self, writer: &mut impl Write, bytes: u64) -> io::Result<()> {
        let dim = self.dim;
        if bytes == 0 { Ok(()) } else { writeln!(writer, "{dim}      ... {} more{dim:#}", Bytes(bytes)) }
    }
}

const _: () = assert!(SKIP_SHOWN.is_multiple_of(ROW_LEN), "a skip is shown in full rows");

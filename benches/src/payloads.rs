//! Readings into frames and back, in each format of [`reading`](crate::reading).

use crate::contest::{Entry, Job, Tally};
use crate::encode::writer;
use crate::reading::{FORMATS, Format, Reading, Unit};
use crate::stream::{Random, Size};
use core::hint::black_box;
use dtu_proto::message::Data;
use dtu_proto::{Framing, Message, Native, Step};

/// The two directions.
pub const GROUPS: [&str; 2] = ["reading_encode", "reading_decode"];

const COUNT: usize = 512;

/// Readings of a few meters over some minutes.
#[must_use]
pub fn readings(count: usize) -> Vec<Reading> {
    let mut random = Random(6);
    let units = [Unit::Celsius, Unit::Bar, Unit::CubicMetre, Unit::KilowattHour];
    let reading = |second: u64| Reading {
        meter: 40_000 + u32::try_from(random.below(1000)).expect("it is below 1000"),
        input: u8::try_from(random.below(4)).expect("it is below 4"),
        timestamp_ms: 1_767_225_600_000 + second * 1000,
        // Thousandths, as a display shows them: that is kind to JSON.
        value: f64::from(u32::try_from(random.below(100_000)).expect("it is below 100 000")) / 1000.0,
        unit: units[random.below(units.len())],
        flags: u8::from(random.below(20) == 0),
    };
    (0..count as u64).map(reading).collect()
}

/// Puts the frame around the DATA that carries `reading` at the front of `out` and returns its length in bytes; `body`
/// is used on the way.
///
/// # Panics
///
/// When there is no room for it.
pub fn encode(format: Format, reading: &Reading, body: &mut Vec<u8>, out: &mut [u8]) -> usize {
    body.clear();
    (format.encode)(reading, body);
    let data = Message::Data(Data { seq: 0, channel: reading.input, body });
    Native::new().encode(&data, out).expect("there is room")
}

/// Decodes every reading on `line`: frame, message, reading.
///
/// # Panics
///
/// When there is something else on it.
pub fn decode(format: Format, line: &[u8], mut sink: impl FnMut(Reading)) {
    Native::new().walk(line, |step| match step {
        Step::Frame(frame) => match Message::decode(frame.payload()) {
            Ok(Message::Data(data)) => sink((format.decode)(data.body).expect("the readings are sound")),
            other => panic!("{other:?} instead of DATA"),
        },
        Step::Skipped { bytes, cause } => panic!("{bytes} bytes skipped: {cause}"),
        Step::NeedMore { .. } => {}
    });
}

/// The job of a group of [`GROUPS`]. The struct counts as ours, the others as its peers.
#[must_use]
pub fn job(group: &'static str) -> Job {
    let readings = readings(COUNT);
    let mut struct_len = 0;
    let entries = FORMATS.map(|format| {
        let (mut body, mut frame, mut line) = (Vec::new(), [0; 512], Vec::new());
        for reading in &readings {
            let len = encode(format, reading, &mut body, &mut frame);
            line.extend_from_slice(&frame[..len]);
        }
        if format.name == "struct" {
            struct_len = body.len();
        }
        if group == "reading_encode" {
            let side = if format.name == "struct" { Entry::ours } else { Entry::peer };
            writer(side, format.name, readings.clone(), line, move |reading, out: &mut Vec<u8>, at| {
                encode(format, black_box(reading), &mut body, &mut out[at..])
            })
        } else {
            let side = if format.name == "struct" { Entry::ours } else { Entry::peer };
            let mut tally = Tally::default();
            readings.iter().for_each(|reading| consume(&mut tally, reading));
            side(format.name, tally, move || {
                let mut tally = Tally::default();
                decode(format, black_box(&line), |reading| consume(&mut tally, &reading));
                tally
            })
        }
    });
    let entries = Vec::from(entries);
    Job { group, size: Size::Bytes(struct_len), frames: COUNT, bytes: COUNT * struct_len, entries }
}

fn consume(tally: &mut Tally, reading: &Reading) {
    tally.frames += 1;
    tally.bytes += usize::from(reading.flags) + reading.unit as usize;
    tally.mark = tally.mark.wrapping_add(reading.meter).wrapping_add(reading.value as u32);
}

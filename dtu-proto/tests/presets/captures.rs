//! Traffic that was not made for this project: how many frames each capture gives, and how many bytes are skipped.
//!
//! The captures lie beside the workspace, if they are there at all. The table in `spec/framings.md` has the same numbers, and
//! those of tshark, which is run where it is installed.

use crate::file::from_hex;
use crate::pcap::streams;
use crate::tshark;
use dtu_proto::presets::{Direction, by_name};
use dtu_proto::testing::{Cuts, Merged, merged_steps};
use std::fs;
use std::path::{Path, PathBuf};

/// Frames, bytes skipped, and bytes in all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    frames: usize,
    skipped: usize,
    bytes: usize,
}

impl Found {
    const fn of(frames: usize, skipped: usize, bytes: usize) -> Self {
        Self { frames, skipped, bytes }
    }

    /// Adds what `framing` finds in `stream`, whatever the reads.
    fn add(&mut self, framing: &str, stream: &[u8]) {
        let framing = by_name(framing).expect("a preset").framing(Direction::Up);
        let steps = merged_steps(framing, stream, Cuts::Of(stream.len().max(1)));
        assert_eq!(merged_steps(framing, stream, Cuts::Seeded(5)), steps);
        for step in &steps {
            match step {
                Merged::Frame { .. } => self.frames += 1,
                Merged::Skipped { bytes, .. } => self.skipped += bytes,
            }
        }
        self.bytes += stream.len();
    }
}

/// Where the captures are; says so where they are nowhere.
fn folder() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = [workspace.join("../shared/captures"), workspace.join("../../shared/captures")];
    let found = folder.iter().find(|folder| folder.is_dir()).cloned();
    if found.is_none() {
        tshark::skip("test of captures", &format!("there is no {}", folder[0].display()));
    }
    found
}

fn read(folder: &Path, file: &str) -> Vec<u8> {
    fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What a preset finds in all TCP streams of a capture to or from a port.
fn in_streams(folder: &Path, file: &str, framing: &str, port: u16) -> Found {
    let mut found = Found::default();
    for ((_, from, _, to), stream) in streams(&read(folder, file)) {
        if from == port || to == port {
            found.add(framing, &stream);
        }
    }
    found
}

#[test]
fn captures_of_iec_104() {
    let Some(folder) = folder() else { return };
    assert_eq!(in_streams(&folder, "iec104-torture.pcap", "iec104", 2404), Found::of(57, 187, 748), "torture");
    assert_eq!(in_streams(&folder, "iec104-diverse.pcap", "iec104", 2404), Found::of(86, 0, 1629), "diverse");
}

#[test]
fn captures_of_modbus_tcp() {
    let Some(folder) = folder() else { return };
    let found = |file: &str| in_streams(&folder, file, "modbus_tcp", 502);
    assert_eq!(found("modbus-tcp-part1.pcap"), Found::of(46, 932, 1469), "part 1");
    assert_eq!(found("modbus-mixed-port502.pcap"), Found::of(16, 432, 616), "mixed");
    assert_eq!(found("modbus-fuzz-72.pcap"), Found::of(25, 48, 353), "fuzz");
}

/// How often tshark finds `field` in the packets of a capture that `filter` keeps; more than once in a packet counts as often.
fn tshark_counts(folder: &Path, file: &str, field: &str, filter: &str) -> usize {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let output = tshark::over(&folder.join(file), home)
        .args(["-T", "fields", "-e", field, "-Y", filter])
        .output()
        .expect("it ran a moment ago");
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("numbers");
    text.split([',', '\n']).filter(|number| !number.is_empty()).count()
}

/// What tshark takes for an APDU and is none: an S or U format with bytes behind its octets, or an I format whose ASDU is none.
const FALSE_APDU: &str = "_ws.malformed or (iec60870_104.type in {1, 3} and iec60870_104.apdulen != 4)";

#[test]
fn tshark_takes_eight_false_starts_for_apdus_of_iec_104_and_has_no_other_count() {
    let Some(folder) = folder() else { return };
    if !tshark::is_there("count of APDUs") {
        return;
    }
    let ours = |file: &str| in_streams(&folder, file, "iec104", 2404).frames;
    let theirs = |file: &str, filter: &str| tshark_counts(&folder, file, "iec60870_104.type", filter);
    let torture = "iec104-torture.pcap";
    assert_eq!((ours(torture), theirs(torture, "iec60870_104")), (57, 65));
    assert_eq!(theirs(torture, FALSE_APDU), 8, "octets of no format, or no ASDU where one belongs");
    let diverse = "iec104-diverse.pcap";
    assert_eq!((ours(diverse), theirs(diverse, "iec60870_104")), (86, 86));
    assert_eq!(theirs(diverse, FALSE_APDU), 0);
}

#[test]
fn tshark_counts_the_frames_of_modbus_tcp_but_for_what_the_table_says() {
    let Some(folder) = folder() else { return };
    if !tshark::is_there("count of APDUs") {
        return;
    }
    let both = |file: &str| {
        let ours = in_streams(&folder, file, "modbus_tcp", 502).frames;
        (ours, tshark_counts(&folder, file, "mbtcp.len", "mbtcp"))
    };
    assert_eq!(both("modbus-tcp-part1.pcap"), (46, 45), "it loses the one behind a frame whose length is 3 short");
    let mixed = "modbus-mixed-port502.pcap";
    assert_eq!(both(mixed), (16, 12), "it looks into no stream of another protocol");
    let mut sound = Found::default();
    for ((_, from, _, to), stream) in streams(&read(&folder, mixed)) {
        let mut found = Found::default();
        found.add("modbus_tcp", &stream);
        if (from == 502 || to == 502) && found.skipped == 0 {
            sound.add("modbus_tcp", &stream);
        }
    }
    assert_eq!(sound.frames, 12, "in the streams of which no byte is skipped");
    let fuzz = "modbus-fuzz-72.pcap";
    assert_eq!(
        both(fuzz),
        (25, 17),
        "numbers of segments are damaged, and it leaves out those that seem to be sent again"
    );
}

#[test]
fn logs_of_receivers() {
    let Some(folder) = folder() else { return };
    let found = |file: &str, framing: &str| {
        let mut found = Found::default();
        found.add(framing, &read(&folder, file));
        found
    };
    assert_eq!(found("ubx-nmea-mixed.log", "ubx"), Found::of(300, 288, 37_456));
    assert_eq!(found("ubx-nmea-mixed.log", "nmea0183"), Found::of(8, 37_168, 37_456));
    assert_eq!(found("ubx-nmea-mixed-badck.log", "ubx"), Found::of(1, 314, 414));
    assert_eq!(found("ubx-nmea-mixed-badck.log", "nmea0183"), Found::of(3, 210, 414));
    assert_eq!(found("ubx-badhdr.log", "ubx"), Found::of(2, 100, 452));
    assert_eq!(found("ubx-badhdr.log", "nmea0183"), Found::of(0, 452, 452));
}

#[test]
fn frames_of_meters() {
    let Some(folder) = folder() else { return };
    let text = String::from_utf8(read(&folder, "mbus-frames.hex")).expect("hexadecimal");
    let mut found = Found::default();
    text.lines().for_each(|line| found.add("mbus_long", &from_hex(line)));
    let mut glued = Found::default();
    glued.add("mbus_long", &from_hex(&text));
    assert_eq!(glued, found, "one behind the other");
    assert_eq!(found, Found::of(20, 0, 2254));
}

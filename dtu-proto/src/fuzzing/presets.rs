//! Any bytes through each preset.

use crate::encode::{EncodeError, Sink};
use crate::frame::Frame;
use crate::framing::{Examined, Framing, Malformed, Step, next_step};
use crate::presets::{ALL, Direction, Mavlink2, Preset};
use crate::testing::{Cuts, Merged, merged_steps};
use alloc::vec::Vec;
use arbitrary::Unstructured;
use core::cell::Cell;

type Shared = &'static (dyn Framing + Send + Sync);

/// Any bytes as a stream of one preset: the contract of [`Framing`] holds, the steps do not depend on the reads, no
/// place is judged twice nor by what lies beyond the longest frame, and every frame comes again when it is encoded.
///
/// Input: a preset (u8, its place in [`ALL`]; the highest bit is the direction), a seed for the reads (u32), then the stream.
pub fn presets(input: &[u8]) {
    let mut u = Unstructured::new(input);
    let (Ok(choice), Ok(seed)) = (u.arbitrary::<u8>(), u.arbitrary::<u32>()) else { return };
    let direction = if choice & 0x80 == 0 { Direction::Down } else { Direction::Up };
    let preset = &ALL[usize::from(choice & 0x7F) % ALL.len()];
    let (framing, stream) = (preset.framing(direction), u.take_rest());
    keeps_the_contract(preset, framing, stream);
    if preset.is_datagram() {
        if let Examined::Frame(frame) = framing.examine(stream) {
            comes_again(preset, framing, &frame);
        }
        return;
    }
    let steps = merged_steps(framing, stream, Cuts::Of(usize::MAX));
    for cuts in [Cuts::Of(1), Cuts::Seeded(u64::from(seed))] {
        assert_eq!(merged_steps(framing, stream, cuts), steps, "{preset:?}, {cuts:?}, {stream:02x?}");
    }
    for step in &steps {
        if let Merged::Frame { bytes, .. } = step {
            // The same byte, looked at where no registration can begin.
            let framing = if preset.name() == "fourfaith_prot" && bytes.len() <= 2 {
                preset.framing(Direction::Down)
            } else {
                framing
            };
            let Examined::Frame(frame) = framing.examine(bytes) else { panic!("{preset:?}: no frame by itself") };
            comes_again(preset, framing, &frame);
        }
    }
    each_place_is_judged_once(framing, stream);
}

/// At every place of the stream: the numbers of a verdict are within bounds, with fewer bytes there is none or the same, and a
/// frame starts only where one is looked for.
fn keeps_the_contract(preset: &Preset, framing: Shared, stream: &[u8]) {
    const PLACES: usize = 96;
    let longest = framing.max_frame_len();
    for at in 0..stream.len().min(PLACES) {
        let candidate = &stream[at..];
        let verdict = framing.examine(candidate);
        match verdict {
            Examined::Frame(frame) => {
                assert!((1..=longest).contains(&frame.encoded_len()), "{preset:?}: {frame:?}");
                assert_eq!(frame.as_bytes(), &candidate[..frame.encoded_len()]);
                // A frame that shares its flag with the one before starts where no other would.
                let shares =
                    preset.spec().map_or(preset.name() == "jtt808", |spec| spec.shared) && candidate[0] != 0x7E;
                let ended = preset
                    .spec()
                    .is_some_and(|spec| spec.start[0].is_empty() && !spec.end.is_empty() && spec.length.is_none());
                let is_behind_delimiter = ended || preset.name() == "cobs";
                if !shares && !is_behind_delimiter {
                    assert_eq!(framing.find_start(candidate), 0, "{preset:?} passes over {candidate:02x?}");
                }
            }
            Examined::NeedMore { at_least } => {
                assert!(candidate.len() + at_least.get() <= longest, "{preset:?} asks for more than a frame");
            }
            Examined::Rejected { judged, .. } => {
                assert!((1..=candidate.len()).contains(&judged), "{preset:?} judged {judged} of {}", candidate.len());
            }
        }
        if preset.is_datagram() {
            continue;
        }
        let shorter = (0..candidate.len().min(40)).chain([candidate.len() - 1]);
        for len in shorter {
            match (framing.examine(&candidate[..len]), verdict) {
                (Examined::NeedMore { at_least }, Examined::Frame(frame)) => {
                    // A byte in PROT mode waits until it cannot begin a registration.
                    let longest = if preset.name() == "fourfaith_prot" { longest } else { frame.encoded_len() };
                    assert!(len + at_least.get() <= longest, "{preset:?} asks for more than the frame");
                }
                (Examined::NeedMore { .. }, _) => {}
                // How much noise or preamble was judged is how much there was.
                (
                    Examined::Rejected { cause: then @ (Malformed::Magic | Malformed::Fill), .. },
                    Examined::Rejected { cause: now, .. },
                ) => assert_eq!(then, now, "{preset:?}"),
                (then, now) => assert_eq!(then, now, "{preset:?}, {len} bytes of {candidate:02x?}"),
            }
        }
    }
}

/// Encodes what `frame` carries and compares.
///
/// # Panics
///
/// When other bytes come of it, where the framing leaves no choice; and when they carry something else in any case.
pub fn comes_again(preset: &Preset, framing: Shared, frame: &Frame<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    framing.payload_into(frame, &mut payload);
    let mut header = frame.as_bytes()[..frame.payload_range().start].to_vec();
    if preset.name() == "mavlink2" {
        header.extend(Mavlink2::signature(frame).into_iter().flatten());
    }
    let mut again = Vec::new();
    match framing.encode_into(&header, &payload, &mut again) {
        Ok(()) => {}
        // It came with fewer escapes than a sender of ours would write.
        Err(EncodeError::PayloadTooLong { .. }) if preset.name() == "hdlc_ppp" => return again,
        Err(error) => panic!("{preset:?}: {error} from {frame:?}"),
    }
    let Examined::Frame(second) = framing.examine(&again) else {
        panic!("{preset:?}: {again:02x?} is no frame, made of {frame:?}")
    };
    let mut carried = Vec::new();
    framing.payload_into(&second, &mut carried);
    assert_eq!((second.encoded_len(), carried), (again.len(), payload), "{preset:?}: from {frame:?}");
    let same = match preset.name() {
        // Digits in either case are read.
        "modbus_ascii" | "hj212" | "nmea0183" => again.eq_ignore_ascii_case(frame.as_bytes()),
        // An opening flag that was shared is written.
        "jtt808" => again.ends_with(frame.as_bytes()) && again.len() - frame.encoded_len() <= 1,
        // What is escaped, and whether an empty block follows a full one at the end, is the sender's choice.
        "hdlc_ppp" | "cobs" => true,
        _ => again == frame.as_bytes(),
    };
    assert!(same, "{preset:?}: {again:02x?} from {frame:?}");
    again
}

/// A candidate is judged once for each byte at most, however the stream is made, and by no byte beyond the longest frame.
///
/// What a judgement and the search for the next start cost is not seen here: `benches/instructions.sh` counts that.
fn each_place_is_judged_once(framing: Shared, stream: &[u8]) {
    let counting = Counting { framing, looks: Cell::new(0) };
    let mut rest = stream;
    loop {
        let step = next_step(&counting, rest);
        match step {
            Step::NeedMore { .. } => break,
            Step::Frame(_) | Step::Skipped { .. } => rest = &rest[step.covered()..],
        }
    }
    assert!(counting.looks.get() <= stream.len() + 1, "{} looks at {} bytes", counting.looks.get(), stream.len());
}

struct Counting {
    framing: Shared,
    looks: Cell<usize>,
}

impl Framing for Counting {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        self.looks.set(self.looks.get() + 1);
        // What lies beyond the longest frame cannot matter.
        let seen = &candidate[..candidate.len().min(self.framing.max_frame_len() + 1)];
        let verdict = self.framing.examine(seen);
        if !matches!(verdict, Examined::Rejected { cause: Malformed::Magic | Malformed::Fill, .. }) {
            assert_eq!(verdict, self.framing.examine(candidate), "bytes beyond a frame matter");
        }
        verdict
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        self.framing.find_start(bytes)
    }

    fn max_frame_len(&self) -> usize {
        self.framing.max_frame_len()
    }

    fn evidence(&self) -> u32 {
        self.framing.evidence()
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        self.framing.encode_into(header, payload, sink)
    }
}

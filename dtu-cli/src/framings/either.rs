//! A framing that differs by the way of the bytes, on a line that carries both ways: requests and replies of an RS-485 bus.

use super::named::Shared;
use super::way::Way;
use dtu_proto::encode::{EncodeError, Sink};
use dtu_proto::framing::Malformed;
use dtu_proto::{Examined, Frame, Framing};

/// Takes frames of both ways. Where the same bytes begin a frame of each, the shorter one is it.
pub(crate) struct Either {
    up: Shared,
    down: Shared,
}

impl Either {
    pub(crate) fn new(up: Shared, down: Shared) -> Self {
        Self { up, down }
    }

    /// Which way the frame went; `None` when it is the same frame both ways.
    pub(crate) fn way_of(&self, frame: &Frame<'_>) -> Option<Way> {
        match (is_frame(&*self.up, frame), is_frame(&*self.down, frame)) {
            (true, false) => Some(Way::Up),
            (false, true) => Some(Way::Down),
            (true, true) | (false, false) => None,
        }
    }

    fn of(&self, frame: &Frame<'_>) -> &dyn Framing {
        if is_frame(&*self.down, frame) { &*self.down } else { &*self.up }
    }
}

fn is_frame(framing: &dyn Framing, frame: &Frame<'_>) -> bool {
    matches!(framing.examine(frame.as_bytes()), Examined::Frame(same) if same.encoded_len() == frame.encoded_len())
}

impl Framing for Either {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        match (self.down.examine(candidate), self.up.examine(candidate)) {
            (Examined::Frame(down), Examined::Frame(up)) => {
                Examined::Frame(if up.encoded_len() < down.encoded_len() { up } else { down })
            }
            // What the other still needs bytes for is longer than all that is there, so the verdict stands.
            (frame @ Examined::Frame(_), _) | (_, frame @ Examined::Frame(_)) => frame,
            (Examined::NeedMore { at_least: down }, Examined::NeedMore { at_least: up }) => {
                Examined::NeedMore { at_least: down.min(up) }
            }
            (more @ Examined::NeedMore { .. }, Examined::Rejected { .. })
            | (Examined::Rejected { .. }, more @ Examined::NeedMore { .. }) => more,
            (Examined::Rejected { cause: down, judged }, Examined::Rejected { cause: up, judged: judged_up }) => {
                // A wrong checksum says more than a function that only the other way knows.
                let cause = if matches!(down, Malformed::Unknown { .. }) { up } else { down };
                Examined::Rejected { cause, judged: judged.min(judged_up) }
            }
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        self.up.find_start(bytes).min(self.down.find_start(bytes))
    }

    fn max_frame_len(&self) -> usize {
        self.up.max_frame_len().max(self.down.max_frame_len())
    }

    /// Noise has two chances, but each way knows a part of the functions only, which its own evidence leaves out.
    fn evidence(&self) -> u32 {
        self.up.evidence().min(self.down.evidence())
    }

    fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        self.of(frame).payload_into(frame, sink);
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        self.down.encode_into(header, payload, sink)
    }
}

#[cfg(test)]
mod tests {
    use super::{Either, Way};
    use dtu_proto::framing::{Examined, Framing, Malformed};
    use dtu_proto::presets::{self, Direction, fixed_length};

    /// Frames of two lengths, which nothing else tells apart.
    fn of_lengths(up: usize, down: usize) -> Either {
        Either::new(Box::new(fixed_length(up).declared()), Box::new(fixed_length(down).declared()))
    }

    fn modbus() -> Either {
        let preset = presets::by_name("modbus_rtu").expect("it is known");
        Either::new(Box::new(preset.framing(Direction::Up)), Box::new(preset.framing(Direction::Down)))
    }

    #[test]
    fn the_shorter_of_two_frames_is_it_however_many_bytes_are_there() {
        for (up, down, way) in [(3, 5, Way::Up), (5, 3, Way::Down)] {
            let either = of_lengths(up, down);
            for len in 0..9 {
                match either.examine(&[7; 9][..len]) {
                    Examined::Frame(frame) => {
                        assert_eq!((frame.encoded_len(), either.way_of(&frame)), (3, Some(way)), "{len} bytes");
                        assert!(len >= 3);
                    }
                    Examined::NeedMore { at_least } => assert_eq!(at_least.get(), 3 - len),
                    Examined::Rejected { .. } => panic!("every byte fits"),
                }
            }
        }
    }

    #[test]
    fn a_wrong_checksum_says_more_than_a_function_that_one_way_does_not_know() {
        let damaged_exception = [0x01, 0x83, 0x02, 0x00, 0x00];
        let Examined::Rejected { cause, .. } = modbus().examine(&damaged_exception) else { panic!("it is damaged") };
        assert_eq!(cause.name(), "checksum");
        let unknown = [0x01, 0x41, 0, 0, 0, 0, 0, 0];
        let Examined::Rejected { cause, .. } = modbus().examine(&unknown) else { panic!("nobody knows it") };
        assert!(matches!(cause, Malformed::Unknown { .. }), "{cause:?}");
    }
}

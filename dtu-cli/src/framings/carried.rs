//! What the frames of a framing carry for somebody else.

use super::named::Named;
use dtu_proto::message::Data;
use dtu_proto::{Frame, Message};

/// Where the kind of a frame stands in the vendors' envelopes, in bytes from its start.
const KIND: usize = 1;

/// User data in Hongdian's DDP, from the device and to it.
const DDP_DATA: [u8; 2] = [0x09, 0x89];

/// User data in Alotcer's protocol.
const ALOTCER_DATA: u8 = 0x32;

/// The stream id that a datagram of the native framing begins with, in bytes.
const STREAM_ID_LEN: usize = size_of::<u64>();

/// What of a frame with this payload, its escapes undone, is a piece of the stream within, and of which channel; `None` where
/// it is a registration, a heartbeat and the like. A native frame from a datagram begins with its stream's id.
pub(crate) fn carried<'a>(
    framing: &Named,
    frame: &Frame<'_>,
    payload: &'a [u8],
    from_datagram: bool,
) -> Option<(Option<u8>, &'a [u8])> {
    if framing.is_native() {
        let message = if from_datagram { payload.get(STREAM_ID_LEN..)? } else { payload };
        return match Message::decode(message) {
            Ok(Message::Data(Data { channel, body, .. })) => Some((Some(channel), body)),
            _ => None,
        };
    }
    let kind = frame.as_bytes().get(KIND);
    let is_carried = match framing.name() {
        "hongdian_ddp_tcp" | "hongdian_ddp_udp" => kind.is_some_and(|kind| DDP_DATA.contains(kind)),
        "alotcer_7b7d" => kind == Some(&ALOTCER_DATA),
        // The application's bytes come one by one; what is longer is the registration, what has none a heartbeat.
        "fourfaith_prot" => payload.len() == 1,
        _ => true,
    };
    is_carried.then_some((None, payload))
}

#[cfg(test)]
mod tests {
    use super::carried;
    use crate::framings::choose;
    use dtu_proto::Frame;

    /// Whether a frame of this framing with the kind carries its payload.
    fn carries(framing: &str, kind: u8) -> bool {
        let chosen = choose(framing, u16::MAX).expect("it is known");
        let bytes = [0x7B, kind, 0, 0, 7, 7, 7];
        let frame = Frame::new(&bytes, 4..7).expect("the payload lies in it");
        match carried(chosen.first(), &frame, &[7; 3], false) {
            Some(carried) => {
                assert_eq!(carried, (None, &[7; 3][..]));
                true
            }
            None => false,
        }
    }

    #[test]
    fn envelopes_carry_data_and_keep_the_rest() {
        for framing in ["hongdian_ddp_tcp", "hongdian_ddp_udp"] {
            assert!(carries(framing, 0x09) && carries(framing, 0x89), "{framing}");
            assert!(!carries(framing, 0x01) && !carries(framing, 0x82) && !carries(framing, 0x32), "{framing}");
        }
        assert!(carries("alotcer_7b7d", 0x32) && !carries("alotcer_7b7d", 0x30) && !carries("alotcer_7b7d", 0x09));
        assert!(carries("ubx", 0x09) && carries("ubx", 0x01));
        assert!(!carries("native", 0x09), "the payload is no message");
    }
}

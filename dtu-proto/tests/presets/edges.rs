//! The longest and the shortest frames, and what cannot be encoded.

use dtu_proto::Malformed;
use dtu_proto::encode::EncodeError;
use dtu_proto::framing::{Examined, Framing};
use dtu_proto::presets::{
    Cobs, DdpDatagram, FourFaithProt, Iec104, Jtt808, Mavlink1, Mavlink2, ModbusAscii, common_crc_extra,
};

fn encoded(framing: &dyn Framing, header: &[u8], payload: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut line = Vec::new();
    framing.encode_into(header, payload, &mut line).map(|()| line)
}

/// Encodes a payload and takes it apart again.
fn goes_through(framing: &dyn Framing, header: &[u8], payload: &[u8]) -> usize {
    let line = encoded(framing, header, payload).expect("it can be encoded");
    let Examined::Frame(frame) = framing.examine(&line) else { panic!("{:?}", framing.examine(&line)) };
    let mut carried = Vec::new();
    framing.payload_into(&frame, &mut carried);
    assert_eq!((carried.as_slice(), frame.encoded_len()), (payload, line.len()));
    assert!(line.len() <= framing.max_frame_len());
    line.len()
}

fn cause(framing: &dyn Framing, candidate: &[u8]) -> Malformed {
    match framing.examine(candidate) {
        Examined::Rejected { cause, .. } => cause,
        other @ (Examined::Frame(_) | Examined::NeedMore { .. }) => panic!("{other:?}"),
    }
}

#[test]
fn modbus_ascii_ends_at_513_characters() {
    assert_eq!(goes_through(&ModbusAscii, b":11", &[0x03; 253]), 513);
    assert_eq!(goes_through(&ModbusAscii, &[0x11], &[0x07]), 9);
    assert_eq!(encoded(&ModbusAscii, &[0xAB], &[0xEF]), Ok(b":ABEF66\r\n".to_vec()));
    assert!(matches!(ModbusAscii.examine(b":abef66\r\n"), Examined::Frame(_)), "lower case");
    let endless = [b":".to_vec(), vec![b'0'; 600]].concat();
    for len in 1..512 {
        let Examined::NeedMore { at_least } = ModbusAscii.examine(&endless[..len]) else { panic!("{len}") };
        assert!(len + at_least.get() <= 513);
    }
    let over = Examined::Rejected { cause: Malformed::OverLimit { length: 254, limit: 253 }, judged: 512 };
    for len in [512, 513, 600] {
        assert_eq!(ModbusAscii.examine(&endless[..len]), over);
    }
    assert_eq!(cause(&ModbusAscii, b":1103\r\n"), Malformed::Length { found: 4 });
    assert_eq!(encoded(&ModbusAscii, &[], &[]), Err(EncodeError::PayloadLength { length: 0 }));
    let too_long = EncodeError::PayloadTooLong { length: 254, limit: 253 };
    assert_eq!(encoded(&ModbusAscii, &[], &[0; 254]), Err(too_long));
    assert_eq!(encoded(&ModbusAscii, b":1G", &[7]), Err(EncodeError::Unencodable { at: 0 }), "an address of no digits");
    assert_eq!(encoded(&ModbusAscii, &[1, 2], &[7]), Err(EncodeError::HeaderLength { needed: 1, found: 2 }));
}

#[test]
fn cobs_takes_payloads_up_to_its_longest_frame() {
    for max_len in [2, 3, 10, 255, 256, 257, 258, 300, 511, 512, 513, 1030] {
        let cobs = Cobs::new(max_len);
        let longest = cobs.max_payload();
        for byte in [0x00, 0x01, 0xFF] {
            goes_through(&cobs, &[], &vec![byte; longest]);
        }
        let one_more = encoded(&cobs, &[], &vec![0x01; longest + 1]);
        assert_eq!(one_more, Err(EncodeError::PayloadTooLong { length: longest + 1, limit: longest }));
        let endless = vec![0x01; max_len + 5];
        let Examined::Rejected { cause: Malformed::OverLimit { .. }, judged } = cobs.examine(&endless[..max_len])
        else {
            panic!("{max_len} bytes without an end");
        };
        assert_eq!(judged, max_len);
        assert!(matches!(cobs.examine(&endless[..max_len - 1]), Examined::NeedMore { .. }));
    }
    assert_eq!(Cobs::new(1030).max_payload(), 1024);
    assert_eq!(encoded(&Cobs::new(9), &[1], &[]), Err(EncodeError::HeaderLength { needed: 0, found: 1 }));
    let exactly = encoded(&Cobs::new(6), &[], &[1, 2, 3, 4]);
    assert_eq!(exactly, Ok(vec![5, 1, 2, 3, 4, 0]));
    assert!(encoded(&Cobs::new(5), &[], &[1, 2, 3, 4]).is_err());
}

#[test]
fn control_octets_of_no_format_are_no_apdu() {
    // STARTDT, STOPDT and TESTFR, act and con; an S format; the shortest and the longest I format.
    for function in [0x07, 0x0B, 0x13, 0x23, 0x43, 0x83] {
        assert_eq!(goes_through(&Iec104, &[0x68, 4, function, 0, 0, 0], &[]), 6);
    }
    goes_through(&Iec104, &[0x68, 4, 0x01, 0, 0xFE, 0xFF], &[]);
    goes_through(&Iec104, &[0x68, 0, 0xFE, 0xFF, 0xFE, 0xFF], &[0x2D; 6]);
    assert_eq!(goes_through(&Iec104, &[], &[0x2D; 249]), 255);
    assert_eq!(encoded(&Iec104, &[], &[]), Ok(vec![0x68, 4, 0x43, 0, 0, 0]));
    for (octets, length) in [
        ([0x03, 0, 0, 0], 4),
        ([0x07, 1, 0, 0], 4),
        ([0x07, 0, 1, 0], 4),
        ([0x07, 0, 0, 1], 4),
        ([0x01, 1, 0, 0], 4),
        ([0x01, 0, 1, 0], 4),
        ([0x01, 0, 0, 0], 10),
        ([0x07, 0, 0, 0], 10),
        ([0x00, 0, 0, 0], 4),
        ([0x00, 0, 0, 0], 9),
        ([0x00, 0, 1, 0], 10),
    ] {
        let line = [&[0x68, length][..], &octets, &[0; 300]].concat();
        let judged = cause(&Iec104, &line);
        assert!(matches!(judged, Malformed::Length { .. } | Malformed::Marker { .. }), "{octets:02x?}, {length}");
        assert_eq!(cause(&Iec104, &line[..6]), judged, "before the ASDU has come");
    }
    for length in [0, 3, 254, 255] {
        assert_eq!(cause(&Iec104, &[0x68, length]), Malformed::Length { found: length.into() });
    }
    let too_long = EncodeError::PayloadTooLong { length: 250, limit: 249 };
    assert_eq!(encoded(&Iec104, &[], &[0; 250]), Err(too_long));
    let of_s_format = encoded(&Iec104, &[0x68, 4, 1, 0, 0, 0], &[0x2D; 6]);
    assert_eq!(of_s_format, Err(EncodeError::PayloadLength { length: 6 }));
    assert_eq!(encoded(&Iec104, &[0; 5], &[]), Err(EncodeError::HeaderLength { needed: 6, found: 5 }));
}

/// A message of JT/T 808 with these properties besides the length of its body.
fn message(properties: u16, header_len: usize, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0x5A; header_len];
    let body_len = u16::try_from(body.len()).expect("short");
    message[2..4].copy_from_slice(&(properties | body_len).to_be_bytes());
    message.extend(body);
    message
}

#[test]
fn the_properties_of_jtt808_say_how_long_its_header_is() {
    for (properties, header_len) in [(0, 12), (0x2000, 16), (0x4000, 17), (0x6000, 21), (0x1400, 12)] {
        for body in [&[][..], &[0x7E; 300], &[0x7D; 1023]] {
            goes_through(&Jtt808, &[0x7E], &message(properties, header_len, body));
        }
        for wrong in [header_len - 1, header_len + 1] {
            let message = message(properties, wrong, &[]);
            assert_eq!(encoded(&Jtt808, &[], &message), Err(EncodeError::PayloadLength { length: wrong }));
        }
    }
    assert!(encoded(&Jtt808, &[], &[]).is_err());
}

#[test]
fn mavlink_frames_have_up_to_255_bytes_and_a_signature() {
    assert_eq!(goes_through(&Mavlink1::new(), &[0, 0, 1, 2, 3, 76], &[7; 255]), 263);
    let header = [0, 0, 0, 0, 1, 2, 3, 76, 0, 0];
    assert_eq!(goes_through(&Mavlink2::new(), &header, &[7; 255]), 267);
    let mut signed = header.to_vec();
    signed[2] = 1;
    assert_eq!(encoded(&Mavlink2::new(), &signed, &[]), Err(EncodeError::HeaderLength { needed: 23, found: 10 }));
    signed.extend([9; 13]);
    assert_eq!(goes_through(&Mavlink2::new(), &signed, &[7; 255]), 280);
    let line = encoded(&Mavlink2::new(), &signed, &[7]).expect("it is signed");
    let Examined::Frame(frame) = Mavlink2::new().examine(&line) else { panic!("it is whole") };
    assert_eq!((Mavlink2::signature(&frame), Mavlink2::message_id(&frame)), (Some(&[9; 13]), Some(76)));
    let unsigned = [&header[..], &[9; 13]].concat();
    assert_eq!(encoded(&Mavlink2::new(), &unsigned, &[]), Err(EncodeError::HeaderLength { needed: 10, found: 23 }));
    // Without a header it is a HEARTBEAT, whose id is 0.
    assert_eq!(goes_through(&Mavlink2::new(), &[], &[1; 9]), 21);
    assert_eq!(goes_through(&Mavlink1::new(), &[], &[1; 9]), 17);
    for framing in [&Mavlink1::new() as &dyn Framing, &Mavlink2::new()] {
        let too_long = EncodeError::PayloadTooLong { length: 256, limit: 255 };
        assert_eq!(encoded(framing, &[], &[0; 256]), Err(too_long));
        assert!(matches!(encoded(framing, &[0; 3], &[]), Err(EncodeError::HeaderLength { .. })));
    }
    let own = Mavlink2::with_crc_extra(|id| if id == 0xAB_CDEF { Some(1) } else { common_crc_extra(id) });
    goes_through(&own, &[0, 0, 0, 0, 0, 0, 0, 0xEF, 0xCD, 0xAB], &[1]);
    let unknown = encoded(&Mavlink2::new(), &[0, 0, 0, 0, 0, 0, 0, 0xEF, 0xCD, 0xAB], &[1]);
    assert_eq!(unknown, Err(EncodeError::Unencodable { at: 0 }));
}

#[test]
fn datagrams_of_ddp_carry_up_to_1024_bytes() {
    assert_eq!(goes_through(&DdpDatagram, &[], &[0x7B; 1024]), 1040);
    assert_eq!(goes_through(&DdpDatagram, b"?\x89??13912345678?", &[]), 16);
    let too_long = EncodeError::PayloadTooLong { length: 1025, limit: 1024 };
    assert_eq!(encoded(&DdpDatagram, &[], &[0; 1025]), Err(too_long));
    let mut datagram = encoded(&DdpDatagram, &[], &[0; 1024]).expect("it fits");
    datagram.push(0);
    assert_eq!(cause(&DdpDatagram, &datagram), Malformed::OverLimit { length: 1025, limit: 1024 });
    datagram.truncate(16);
    datagram[15] = 0x7D;
    assert_eq!(cause(&DdpDatagram, &datagram), Malformed::Marker { at: 15 });
}

#[test]
fn a_registration_in_prot_mode_has_digits_and_zeros_where_they_belong() {
    let registration = b"\x78\x56\x34\x1213066668888\x00\xC0\xA8\x01\x42\x00";
    let framing = FourFaithProt::new();
    assert_eq!(goes_through(&framing, &[], registration), 21);
    for at in 4..21 {
        let mut other = *registration;
        other[at] = b'x';
        let is_free = (16..20).contains(&at);
        let first = framing.examine(&other);
        assert_eq!(matches!(first, Examined::Frame(frame) if frame.encoded_len() == 21), is_free, "byte {at}");
        assert_eq!(encoded(&framing, &[], &other).is_ok(), is_free, "byte {at}");
    }
    assert_eq!(encoded(&framing, &[], b"ab"), Err(EncodeError::PayloadLength { length: 2 }));
    let behind = FourFaithProt::behind_registration();
    assert_eq!(encoded(&behind, &[], registration), Err(EncodeError::PayloadLength { length: 21 }));
    for byte in 0..=0xFF {
        goes_through(&behind, &[], &[byte]);
    }
    assert_eq!(goes_through(&behind, &[], &[]), 1);
}

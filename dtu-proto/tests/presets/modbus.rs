//! The lengths of Modbus PDUs, held against the specification's layouts written out once more.

use dtu_proto::Malformed;
use dtu_proto::checksum::Algorithm;
use dtu_proto::encode::EncodeError;
use dtu_proto::framing::{Examined, Framing};
use dtu_proto::presets::{Direction, ModbusRtu};

/// The fields of a PDU by their lengths: `n` is a count of one byte that follows, and `data` so many bytes.
const REQUESTS: [(u8, &[Field]); 19] = {
    use Field::{Bytes, Counted};
    [
        (0x01, &[Bytes(2), Bytes(2)]),
        (0x02, &[Bytes(2), Bytes(2)]),
        (0x03, &[Bytes(2), Bytes(2)]),
        (0x04, &[Bytes(2), Bytes(2)]),
        (0x05, &[Bytes(2), Bytes(2)]),
        (0x06, &[Bytes(2), Bytes(2)]),
        (0x07, &[]),
        (0x08, &[Bytes(2), Bytes(2)]),
        (0x0B, &[]),
        (0x0C, &[]),
        (0x0F, &[Bytes(2), Bytes(2), Counted]),
        (0x10, &[Bytes(2), Bytes(2), Counted]),
        (0x11, &[]),
        (0x14, &[Counted]),
        (0x15, &[Counted]),
        (0x16, &[Bytes(2), Bytes(2), Bytes(2)]),
        (0x17, &[Bytes(2), Bytes(2), Bytes(2), Bytes(2), Counted]),
        (0x18, &[Bytes(2)]),
        (0x2B, &[Field::Identification, Bytes(2)]),
    ]
};

const REPLIES: [(u8, &[Field]); 18] = {
    use Field::{Bytes, Counted};
    [
        (0x01, &[Counted]),
        (0x02, &[Counted]),
        (0x03, &[Counted]),
        (0x04, &[Counted]),
        (0x05, &[Bytes(2), Bytes(2)]),
        (0x06, &[Bytes(2), Bytes(2)]),
        (0x07, &[Bytes(1)]),
        (0x08, &[Bytes(2), Bytes(2)]),
        (0x0B, &[Bytes(2), Bytes(2)]),
        (0x0C, &[Counted]),
        (0x0F, &[Bytes(2), Bytes(2)]),
        (0x10, &[Bytes(2), Bytes(2)]),
        (0x11, &[Counted]),
        (0x14, &[Counted]),
        (0x15, &[Counted]),
        (0x16, &[Bytes(2), Bytes(2), Bytes(2)]),
        (0x17, &[Counted]),
        (0x18, &[Field::CountedByTwo]),
    ]
};

#[derive(Clone, Copy)]
enum Field {
    Bytes(usize),
    Counted,
    CountedByTwo,
    Identification,
}

fn pdu(function: u8, fields: &[Field], count: u8) -> Vec<u8> {
    let mut pdu = vec![function];
    for field in fields {
        match field {
            Field::Bytes(len) => pdu.extend(vec![0x5A; *len]),
            Field::Counted => pdu.extend([&[count][..], &vec![0xA5; count.into()]].concat()),
            Field::CountedByTwo => pdu.extend([&[0, count][..], &vec![0xA5; count.into()]].concat()),
            Field::Identification => pdu.push(0x0E),
        }
    }
    pdu
}

fn adu(pdu: &[u8]) -> Vec<u8> {
    let mut adu = [&[0x11], pdu].concat();
    let crc = Algorithm::named("CRC-16/MODBUS").expect("it is known").checksum(&adu);
    adu.extend(&crc.to_le_bytes()[..2]);
    adu
}

fn examine(direction: Direction, pdu: &[u8]) -> Result<usize, Malformed> {
    let line = adu(pdu);
    match ModbusRtu::new(direction).examine(&line) {
        Examined::Frame(frame) => {
            assert_eq!(frame.payload(), pdu);
            Ok(frame.encoded_len())
        }
        Examined::Rejected { cause, .. } => Err(cause),
        Examined::NeedMore { at_least } => panic!("{at_least} more after {line:02x?}"),
    }
}

#[test]
fn every_function_has_its_length_in_its_direction() {
    for (direction, functions) in [(Direction::Down, &REQUESTS[..]), (Direction::Up, &REPLIES[..])] {
        let framing = ModbusRtu::new(direction);
        let mut known = Vec::new();
        for (function, fields) in functions {
            known.push(*function);
            for count in [0, 1, 2, 6, 100, 200] {
                let pdu = pdu(*function, fields, count);
                assert_eq!(examine(direction, &pdu), Ok(pdu.len() + 3), "{direction:?} {pdu:02x?}");
                let mut encoded = Vec::new();
                assert_eq!(framing.encode_into(&[0x11], &pdu, &mut encoded), Ok(()));
                assert_eq!(encoded, adu(&pdu));
                let longer = [&pdu[..], &[0]].concat();
                let error = EncodeError::PayloadLength { length: longer.len() };
                assert_eq!(framing.encode_into(&[0x11], &longer, &mut encoded), Err(error));
            }
        }
        for function in (0..=0xFF).filter(|function| !known.contains(function) && *function != 0x2B) {
            let pdu = [function, 0x02, 0x00, 0x00, 0x00, 0x00];
            if direction == Direction::Up && function > 0x80 {
                assert_eq!(examine(direction, &pdu[..2]), Ok(5), "an exception of {function:#x}");
            } else {
                let unknown = Malformed::Unknown { code: function.into() };
                assert_eq!(examine(direction, &pdu), Err(unknown));
                let unencodable = Err(EncodeError::Unencodable { at: 0 });
                assert_eq!(framing.encode_into(&[], &pdu, &mut Vec::new()), unencodable);
            }
        }
    }
}

#[test]
fn no_frame_is_longer_than_256_bytes() {
    let longest = pdu(0x03, &[Field::Counted], 251);
    assert_eq!(examine(Direction::Up, &longest), Ok(256));
    let over = pdu(0x03, &[Field::Counted], 252);
    let cause = Malformed::OverLimit { length: 254, limit: 253 };
    assert_eq!(examine(Direction::Up, &over), Err(cause));
    let framing = ModbusRtu::new(Direction::Up);
    assert_eq!(framing.examine(&[0x11, 0x03, 252]), Examined::Rejected { cause, judged: 3 });
    let too_long = Err(EncodeError::PayloadTooLong { length: 254, limit: 253 });
    assert_eq!(framing.encode_into(&[], &over, &mut Vec::new()), too_long);
    let two_addresses = Err(EncodeError::HeaderLength { needed: 1, found: 2 });
    assert_eq!(framing.encode_into(&[1, 2], &longest, &mut Vec::new()), two_addresses);
}

/// A reply to 2B/0E with objects of these lengths.
fn identification(objects: &[u8]) -> Vec<u8> {
    let count = u8::try_from(objects.len()).expect("few objects");
    let mut pdu = vec![0x2B, 0x0E, 0x01, 0x01, 0x00, 0x00, count];
    for (number, length) in (0..).zip(objects) {
        pdu.extend([&[number, *length][..], &vec![b'x'; usize::from(*length)]].concat());
    }
    pdu
}

#[test]
fn objects_of_an_identification_say_its_length_one_by_one() {
    for objects in [&[][..], &[0], &[3, 0, 5], &[1; 60], &[0; 123], &[244], &[100, 142]] {
        let pdu = identification(objects);
        assert_eq!(examine(Direction::Up, &pdu), Ok(pdu.len() + 3), "{objects:?}");
        let line = adu(&pdu);
        for len in 0..line.len() {
            let Examined::NeedMore { at_least } = ModbusRtu::new(Direction::Up).examine(&line[..len]) else {
                panic!("{len} bytes of {objects:?} have a verdict");
            };
            // As many as the headers of the objects to come take at the least.
            assert!(len + at_least.get() <= line.len());
            if len >= 8 {
                assert!(len + at_least.get() >= 8 + 2 * objects.len().min(1) + 2);
            }
        }
    }
    // Their headers alone, or the first values and the other headers, are more than a PDU can be.
    for (objects, judged) in [(&[0; 124][..], 8), (&[245], 10), (&[100, 143], 112), (&[240, 0, 0, 0], 10)] {
        let line = adu(&identification(objects));
        let Examined::Rejected { cause: Malformed::OverLimit { limit: 253, .. }, judged: found } =
            ModbusRtu::new(Direction::Up).examine(&line)
        else {
            panic!("{objects:?}: {:?}", ModbusRtu::new(Direction::Up).examine(&line));
        };
        assert_eq!(found, judged, "{objects:?}");
        let before = ModbusRtu::new(Direction::Up).examine(&line[..judged - 1]);
        assert!(matches!(before, Examined::NeedMore { .. }), "{objects:?}: {before:?}");
    }
}

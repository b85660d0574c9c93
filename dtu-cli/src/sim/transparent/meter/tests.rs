use super::*;

/// A frame with its checksum.
fn frame(bytes: &[u8]) -> Vec<u8> {
    [bytes, &crc(bytes).to_le_bytes()].concat()
}

fn ask(meter: &mut Meter, request: &[u8]) -> Option<Said> {
    meter.handle_bytes(&frame(request));
    meter.poll_reply(true)
}

/// The reply of `meter` without address and checksum.
fn said(meter: &mut Meter, request: &[u8]) -> Vec<u8> {
    match ask(meter, request) {
        Some(Said::Reply(reply) | Said::Exception(reply)) => {
            let (body, check) = reply.split_last_chunk().unwrap();
            assert_eq!((body[0], crc(body)), (request[0], u16::from_le_bytes(*check)));
            body[1..].to_vec()
        }
        other => panic!("{other:?} to {request:02X?}"),
    }
}

#[test]
fn requests_of_the_standard_are_heard() {
    // The poll that was sent through a Hongdian DTU, and a reply to it.
    let mut meter = Meter::new(0);
    meter.handle_bytes(b"\x01\x03\x00\x00\x00\x02\xC4\x0B");
    assert_eq!(meter.poll_reply(false), Some(Said::Reply(frame(&[1, 3, 4, 0, 0, 0, 1]))));
    assert_eq!(meter.poll_reply(true), None);
}

#[test]
fn a_register_says_whose_it_is() {
    let mut meter = Meter::new(7);
    assert_eq!(address(7), 8);
    assert_eq!(said(&mut meter, &[8, 3, 0, 42, 0, 2]), [3, 4, 0x1B, 0x82, 0x1B, 0x83], "7042 and 7043");
    assert_eq!(said(&mut meter, &[8, 4, 0, 42, 0, 1]), [4, 2, 0xE4, 0x7D], "65535 less that");
    // The same register of two devices differs.
    let values: std::collections::HashSet<u16> = (0..8192).map(|number| Meter::new(number).original(999)).collect();
    assert_eq!(values.len(), 8192);
}

#[test]
fn what_is_written_is_read_and_the_rest_stays() {
    let mut meter = Meter::new(1);
    assert_eq!(said(&mut meter, &[2, 6, 0, 5, 0xAB, 0xCD]), [6, 0, 5, 0xAB, 0xCD]);
    assert_eq!(said(&mut meter, &[2, 0x10, 0, 6, 0, 2, 4, 1, 2, 3, 4]), [0x10, 0, 6, 0, 2]);
    assert_eq!(said(&mut meter, &[2, 3, 0, 4, 0, 5]), [3, 10, 0x03, 0xEC, 0xAB, 0xCD, 1, 2, 3, 4, 0x03, 0xF0]);
    assert_eq!(said(&mut meter, &[2, 4, 0, 5, 0, 1]), [4, 2, 0xFC, 0x12], "input registers cannot be written");
}

#[test]
fn what_is_not_there_is_an_exception_with_its_code() {
    let mut meter = Meter::new(0);
    let cases: [(&[u8], [u8; 2]); 12] = [
        (&[1, 3, 0x03, 0xE8, 0, 1], [0x83, ILLEGAL_ADDRESS]),
        (&[1, 3, 0x03, 0xE7, 0, 2], [0x83, ILLEGAL_ADDRESS]),
        (&[1, 4, 0xFF, 0xFF, 0, 2], [0x84, ILLEGAL_ADDRESS]),
        (&[1, 3, 0, 0, 0, 0], [0x83, ILLEGAL_VALUE]),
        (&[1, 3, 0, 0, 0, 126], [0x83, ILLEGAL_VALUE]),
        (&[1, 6, 0x03, 0xE8, 0, 1], [0x86, ILLEGAL_ADDRESS]),
        (&[1, 0x10, 0x03, 0xE7, 0, 2, 4, 1, 2, 3, 4], [0x90, ILLEGAL_ADDRESS]),
        (&[1, 0x10, 0, 0, 0, 1, 4, 1, 2, 3, 4], [0x90, ILLEGAL_VALUE]),
        (&[1, 0x10, 0, 0, 0, 0, 0], [0x90, ILLEGAL_VALUE]),
        (&[1, 1, 0, 0, 0, 1], [0x81, ILLEGAL_FUNCTION]),
        (&[1, 5, 0, 0, 0xFF, 0], [0x85, ILLEGAL_FUNCTION]),
        (&[1, 0x2B, 0x0E, 1, 0], [0xAB, ILLEGAL_FUNCTION]),
    ];
    for (request, expected) in cases {
        assert_eq!(said(&mut meter, request), expected, "{request:02X?}");
    }
    assert_eq!(said(&mut meter, &[1, 3, 0x03, 0xE7, 0, 1])[..2], [3, 2], "the last register is there");
    assert_eq!(said(&mut meter, &[1, 3, 0, 0, 0, 125])[..2], [3, 250], "and as many as fit");
    assert_eq!(meter.strange, 0);
}

#[test]
fn a_request_to_all_is_done_and_not_answered() {
    let mut meter = Meter::new(0);
    assert_eq!(ask(&mut meter, &[0, 6, 0, 1, 0, 9]), Some(Said::Nothing));
    assert_eq!(ask(&mut meter, &[0, 3, 0, 1, 0, 1]), Some(Said::Nothing));
    assert_eq!(said(&mut meter, &[1, 3, 0, 1, 0, 1]), [3, 2, 0, 9]);
}

#[test]
fn what_is_for_others_or_damaged_is_not_answered() {
    let mut meter = Meter::new(0);
    assert_eq!(ask(&mut meter, &[2, 3, 0, 0, 0, 1]), None);
    let mut damaged = frame(&[1, 3, 0, 0, 0, 1]);
    damaged[3] ^= 1;
    meter.handle_bytes(&damaged);
    assert_eq!(meter.poll_reply(true), None);
    assert_eq!(meter.strange, 16);
    assert!(!meter.has_input());
}

#[test]
fn requests_are_found_however_they_are_cut_and_whatever_stands_before_them() {
    let [first, second] = [frame(&[1, 3, 0, 0, 0, 1]), frame(&[1, 0x10, 0, 6, 0, 1, 2, 1, 3])];
    let stream = [&b"PONG\x05"[..], &first, &second].concat();
    for chunk in 1..=stream.len() {
        let mut meter = Meter::new(0);
        let mut said = Vec::new();
        for bytes in stream.chunks(chunk) {
            meter.handle_bytes(bytes);
            said.extend(core::iter::from_fn(|| meter.poll_reply(false)));
        }
        let expected = [&[1, 3, 2, 0, 0][..], &[1, 0x10, 0, 6, 0, 1]].map(|body| Said::Reply(frame(body)));
        assert_eq!((&said[..], meter.strange), (&expected[..], 5), "in pieces of {chunk}");
    }
}

#[test]
fn the_beginning_of_a_request_hides_the_next_one_until_the_line_is_silent() {
    let mut meter = Meter::new(0);
    meter.handle_bytes(&[1, 0x10, 0, 0, 0, 100, 200]);
    meter.handle_bytes(&frame(&[1, 3, 0, 0, 0, 1]));
    assert_eq!(meter.poll_reply(false), None);
    assert_eq!(meter.poll_reply(true), Some(Said::Reply(frame(&[1, 3, 2, 0, 0]))));
    assert_eq!(meter.strange, 7);
}

#[test]
fn the_input_is_bounded() {
    let mut meter = Meter::new(0);
    // It could become the longest of all requests, again and again.
    for _ in 0..1000 {
        meter.handle_bytes(&[1; 100]);
    }
    assert!(meter.input.len() <= INPUT_MAX);
    assert_eq!(meter.strange, 100_000 - INPUT_MAX as u64);
    assert_eq!(meter.poll_reply(true), None);
    assert_eq!((meter.strange, meter.input.len()), (100_000, 0));
}

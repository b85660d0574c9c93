//! By what a reply is known.

use super::rtu::{exception, read, registers, sealed, write};
use dtu_net::line::{Matcher, MatcherError};

#[test]
fn a_reply_has_the_address_the_function_and_the_count_that_were_asked_for() {
    let matcher = Matcher::modbus_rtu(&read(1, 0, 2)).unwrap();
    assert!(matcher.is_reply(&registers(1, &[7, 8])));
    assert!(matcher.is_reply(&exception(1, 3, 2)));
    for other in [
        registers(2, &[7, 8]),
        registers(1, &[7]),
        registers(1, &[7, 8, 9]),
        sealed(&[1, 4, 4, 0, 7, 0, 8]),
        exception(1, 4, 2),
        exception(2, 3, 2),
        sealed(&[1, 0x83, 2, 2]),
        sealed(&[1, 3, 4, 0, 7]),
        vec![],
        vec![1, 3],
    ] {
        assert!(!matcher.is_reply(&other), "{other:02X?}");
    }
}

#[test]
fn every_function_has_the_reply_that_the_specification_gives_it() {
    // Request, reply, no reply; without checksums.
    let table: &[(&[u8], &[u8], &[u8])] = &[
        (&[1, 0x01, 0, 0, 0, 9], &[1, 0x01, 2, 0xFF, 1], &[1, 0x01, 1, 0xFF]),
        (&[1, 0x02, 0, 0, 0, 8], &[1, 0x02, 1, 0xFF], &[1, 0x02, 2, 0xFF, 1]),
        (&[1, 0x04, 0, 0, 0, 1], &[1, 0x04, 2, 0, 1], &[1, 0x04, 4, 0, 1, 0, 1]),
        (&[1, 0x05, 0, 1, 0xFF, 0], &[1, 0x05, 0, 1, 0xFF, 0], &[1, 0x05, 0, 1, 0, 0]),
        (&[1, 0x06, 0, 1, 0, 3], &[1, 0x06, 0, 1, 0, 3], &[1, 0x06, 0, 1, 0, 4]),
        (&[1, 0x07], &[1, 0x07, 0x55], &[1, 0x08, 0x55]),
        (&[1, 0x08, 0, 0, 1, 2], &[1, 0x08, 0, 0, 1, 2], &[1, 0x08, 0, 1, 1, 2]),
        (&[1, 0x0F, 0, 0, 0, 9, 2, 1, 1], &[1, 0x0F, 0, 0, 0, 9], &[1, 0x0F, 0, 0, 0, 8]),
        (&[1, 0x10, 0, 1, 0, 1, 2, 0, 7], &[1, 0x10, 0, 1, 0, 1], &[1, 0x10, 0, 1, 0, 1, 2, 0, 7]),
        (&[1, 0x15, 3, 6, 0, 1], &[1, 0x15, 3, 6, 0, 1], &[1, 0x15, 3, 6, 0, 2]),
        (&[1, 0x16, 0, 4, 0, 0xF2, 0, 0x25], &[1, 0x16, 0, 4, 0, 0xF2, 0, 0x25], &[1, 0x16, 0, 4, 0, 0xF2, 0, 0x24]),
        (&[1, 0x17, 0, 3, 0, 2, 0, 9, 0, 1, 2, 0, 7], &[1, 0x17, 4, 0, 1, 0, 2], &[1, 0x17, 2, 0, 1]),
        (&[1, 0x2B, 0x0E, 1, 0], &[1, 0x2B, 0x0E, 1, 1, 0, 0, 0], &[1, 0x2B, 0x0D, 1, 1, 0, 0, 0]),
        (&[1, 0x41, 9], &[1, 0x41, 1, 2, 3], &[1, 0x42, 1, 2, 3]),
    ];
    for (request, reply, other) in table {
        let matcher = Matcher::modbus_rtu(&sealed(request)).unwrap();
        assert!(matcher.is_reply(&sealed(reply)), "{reply:02X?}");
        assert!(!matcher.is_reply(&sealed(other)), "{other:02X?}");
        assert!(matcher.is_reply(&exception(1, request[1], 4)), "{request:02X?}");
        assert!(!matcher.is_unique());
    }
}

#[test]
fn what_is_no_request_is_refused_with_its_fault() {
    assert_eq!(Matcher::modbus_rtu(&[1, 3, 0]).unwrap_err(), MatcherError::Length { len: 3 });
    assert_eq!(Matcher::modbus_rtu(&[0; 257]).unwrap_err(), MatcherError::Length { len: 257 });
    assert_eq!(Matcher::modbus_rtu(&sealed(&[1, 3, 0, 0])).unwrap_err(), MatcherError::Length { len: 6 });
    // Two hundred registers do not fit into a reply.
    assert_eq!(Matcher::modbus_rtu(&read(1, 0, 200)).unwrap_err(), MatcherError::Length { len: 8 });
    assert_eq!(Matcher::modbus_rtu(&sealed(&[1, 0x83, 2])).unwrap_err(), MatcherError::Function { found: 0x83 });
    assert_eq!(Matcher::modbus_rtu(&sealed(&[1, 0, 2])).unwrap_err(), MatcherError::Function { found: 0 });
    let mut request = write(1, 2, 3);
    request[4] = 1;
    assert!(matches!(Matcher::modbus_rtu(&request), Err(MatcherError::Checksum { .. })));
    // As they stand on the line, and were typed.
    let error = Matcher::modbus_rtu(&[0x01, 0x03, 0x00, 0x00, 0x00, 0x02, 0xC5, 0x0B]).unwrap_err();
    assert_eq!(error.to_string(), "the checksum of the request is C5 0B, its bytes give C4 0B");
    assert_eq!(Matcher::modbus_tcp(&[0; 7]).unwrap_err(), MatcherError::Length { len: 7 });
    assert_eq!(Matcher::modbus_tcp(&[0, 1, 0, 9, 0, 2, 1, 3]).unwrap_err(), MatcherError::Protocol { found: 9 });
    assert_eq!(Matcher::modbus_tcp(&[0, 1, 0, 0, 0, 2, 1, 0x83]).unwrap_err(), MatcherError::Function { found: 0x83 });
}

#[test]
fn modbus_tcp_goes_by_transaction_unit_and_function() {
    let matcher = Matcher::modbus_tcp(&[0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).unwrap();
    assert!(matcher.is_unique());
    assert!(matcher.is_reply(&[0, 7, 0, 0, 0, 5, 1, 3, 2, 0, 9]));
    assert!(matcher.is_reply(&[0, 7, 0, 0, 0, 3, 1, 0x83, 2]));
    assert!(!matcher.is_reply(&[0, 8, 0, 0, 0, 5, 1, 3, 2, 0, 9]));
    assert!(!matcher.is_reply(&[0, 7, 0, 1, 0, 5, 1, 3, 2, 0, 9]));
    assert!(!matcher.is_reply(&[0, 7, 0, 0, 0, 5, 2, 3, 2, 0, 9]));
    assert!(!matcher.is_reply(&[0, 7, 0, 0, 0, 5, 1, 4, 2, 0, 9]));
}

#[test]
fn any_frame_takes_all_and_a_function_what_it_says() {
    assert!(Matcher::AnyFrame.is_reply(b"x"));
    assert!(!Matcher::None.is_reply(b"x"));
    let matcher = Matcher::by(|frame| frame.starts_with(b"OK"));
    assert!(matcher.is_reply(b"OK 1") && !matcher.is_reply(b"NO"));
    assert!(!matcher.is_unique());
}

//! Connections of which it is not known whose they are.

use super::bench::{REG, ms, spec, start};
use dtu_net::Cause;
use dtu_net::transparent::{HeartbeatSpec, Identified, ProfileSpec, Reception, ReceptionEvent, ReplySpec};
use std::sync::Arc;

fn reception(spec: &ProfileSpec) -> Reception {
    Reception::new(Arc::new(spec.build().unwrap()), start())
}

fn with_heartbeat() -> ProfileSpec {
    let mut spec = spec();
    spec.heartbeat.push(HeartbeatSpec { token: "RING".into(), reply: ReplySpec::None });
    spec
}

fn identified(spec: &ProfileSpec, parts: &[&[u8]]) -> Option<Identified> {
    let mut reception = reception(spec);
    let now = start();
    for part in parts {
        reception.handle_bytes(now, part);
    }
    match reception.poll_event() {
        Some(ReceptionEvent::Identified(identified)) => Some(identified),
        Some(other) => unreachable!("{other:?}"),
        None => None,
    }
}

#[test]
fn a_registration_is_found_however_it_is_cut_and_whatever_stands_around_it() {
    let before: &[u8] = b"\x01\x03RINGREG:1380\xFF";
    let line = [before, REG, b"\x01\x03\x02"].concat();
    for cut in 0..=line.len() {
        for second in cut..=line.len() {
            let found = identified(&with_heartbeat(), &[&line[..cut], &line[cut..second], &line[second..]]).unwrap();
            assert_eq!(found.registration.id(), "13800138000");
            assert_eq!(found.registration.as_bytes(), REG);
            assert_eq!((&found.rest[..], found.heartbeats), (&b"\x01\x03\x02"[..], 1));
            assert_eq!((found.before, found.skipped), (before.len(), before.len() - 4));
        }
    }
}

#[test]
fn who_does_not_register_in_time_is_over_and_said_so_once() {
    let mut reception = reception(&spec());
    let began = start();
    reception.handle_timeout(began + ms(9000));
    assert_eq!(reception.poll_event(), None);
    assert!(reception.poll_timeout().unwrap() > began + ms(9000));
    reception.handle_timeout(began + ms(11_000));
    let over = ReceptionEvent::Over(Cause::NotIdentified { limit: ms(10_000) });
    assert_eq!((reception.poll_event(), reception.poll_timeout()), (Some(over), None));
    reception.handle_bytes(began, REG);
    reception.handle_timeout(began + ms(12_000));
    reception.handle_disconnected(Cause::Disconnected);
    assert_eq!(reception.poll_event(), None);
}

#[test]
fn who_leaves_without_a_byte_has_said_nothing() {
    let broken = Cause::Transport(std::io::ErrorKind::ConnectionReset);
    for (said, cause, told) in [
        (&b""[..], Cause::Disconnected, Cause::SaidNothing),
        (b"", broken, broken),
        (b"R", Cause::Disconnected, Cause::Disconnected),
        (b"x", Cause::Disconnected, Cause::Disconnected),
    ] {
        let mut reception = reception(&spec());
        reception.handle_bytes(start(), said);
        reception.handle_disconnected(cause);
        assert_eq!(reception.poll_event(), Some(ReceptionEvent::Over(told)), "{said:?}, {cause:?}");
    }
}

#[test]
fn a_registration_without_an_end_is_bounded() {
    let limit = 1024;
    for endless in [&b"REG:"[..], b"x", b"RING", b"REG:1380013800x"] {
        for chunk in [1, 7, 100_000] {
            let mut reception = reception(&with_heartbeat());
            let line = endless.repeat(5000);
            let mut taken = 0;
            let cause = loop {
                let part = &line[taken..line.len().min(taken + chunk)];
                reception.handle_bytes(start(), part);
                taken += part.len();
                if let Some(event) = reception.poll_event() {
                    break event;
                }
            };
            let ReceptionEvent::Over(Cause::TooMuchBeforeRegister { limit: told, .. }) = cause else {
                unreachable!("{cause:?}")
            };
            assert_eq!(told, limit);
            assert!(taken <= limit + chunk, "{taken} bytes were taken");
        }
    }
}

#[test]
fn a_registration_at_the_end_of_the_bound_is_one_and_behind_it_is_none() {
    let mut spec = spec();
    spec.registration.max_bytes = 40;
    for (noise, is_found) in [(40 - REG.len(), true), (41 - REG.len(), false)] {
        let line = [&b"x".repeat(noise), REG].concat();
        for cut in 0..line.len() {
            let mut reception = reception(&spec);
            reception.handle_bytes(start(), &line[..cut]);
            reception.handle_bytes(start(), &line[cut..]);
            let event = reception.poll_event().unwrap();
            assert_eq!(matches!(event, ReceptionEvent::Identified(_)), is_found, "cut at {cut}: {event:?}");
        }
    }
}

#[test]
fn silence_ends_an_id_of_changing_length() {
    let spec = ProfileSpec::new("modbus_rtu", "{id:digit*4..15}");
    let mut reception = reception(&spec);
    let began = start();
    reception.handle_bytes(began, b"460001");
    assert_eq!(reception.poll_event(), None);
    assert_eq!(reception.poll_timeout(), Some(began + ms(1000)));
    reception.handle_timeout(began + ms(1000));
    let Some(ReceptionEvent::Identified(found)) = reception.poll_event() else { unreachable!("it is silent") };
    assert_eq!(found.registration.id(), "460001");
}

#[test]
fn what_came_with_the_registration_and_behind_it_is_kept_until_the_owner_has_decided() {
    let mut reception = reception(&spec());
    reception.handle_bytes(start(), &[REG, b"a"].concat());
    reception.handle_bytes(start(), b"b");
    let Some(ReceptionEvent::Identified(found)) = reception.poll_event() else { unreachable!("it registered") };
    assert_eq!(found.rest, b"ab");
}

//! When a device comes again.

use crate::pair::{
    DEVICE, SECOND, close, config, dial, events, hear, pass, pieces, refuse, registering, start, states, welcomed,
};
use core::time::Duration;
use dtu_net::backoff::{Backoff, Jitter};
use dtu_net::{Carrier, Cause, DeviceConfig, Link, State, Timer};
use dtu_proto::message::{CloseCode, RefuseCode};
use std::io;

fn steady() -> DeviceConfig {
    let mut config = config();
    config.backoff = Backoff::RECONNECT.jitter(Jitter::None);
    config
}

/// After a refusal: how long the device stays away.
fn away_after(code: RefuseCode, retry_after_ms: u32) -> Duration {
    let now = start();
    let (mut device, epoch) = registering(steady(), Carrier::Stream, now);
    pieces(&mut device, epoch, now);
    hear(&mut device, epoch, now, &refuse(code, retry_after_ms, ""));
    let (deadline, timer) = device.poll_timeout().unwrap();
    assert_eq!(timer, Timer::Reconnect);
    deadline - now
}

#[test]
fn a_refused_device_stays_away_as_long_as_it_is_told() {
    //= spec/session.md#S-2
    assert_eq!(away_after(RefuseCode::BUSY, 0), SECOND, "no hint: the plan");
    assert_eq!(away_after(RefuseCode::BUSY, 45_000), 45 * SECOND);
    assert_eq!(away_after(RefuseCode::PROTOCOL, 45_000), 45 * SECOND);
}

#[test]
fn a_device_without_a_right_stays_away_for_long_whatever_the_hint() {
    assert_eq!(away_after(RefuseCode::UNAUTHORIZED, 0), 60 * SECOND);
    assert_eq!(away_after(RefuseCode::UNAUTHORIZED, 1), 60 * SECOND);
    assert_eq!(away_after(RefuseCode::UNAUTHORIZED, 90_000), 90 * SECOND);
}

#[test]
fn a_device_that_is_replaced_twice_in_a_row_stays_away_for_long() {
    let now = start();
    let (mut device, epoch) = welcomed(steady(), Carrier::Stream, now);
    hear(&mut device, epoch, now, &close(CloseCode::REPLACED, ""));
    assert_eq!(device.poll_timeout(), Some((now + SECOND, Timer::Reconnect)), "it may have been itself");
    let now = now + SECOND;
    let epoch = dial(&mut device, now);
    device.handle_connected(epoch, now, Carrier::Stream);
    hear(&mut device, epoch, now, &close(CloseCode::REPLACED, ""));
    assert_eq!(device.poll_timeout(), Some((now + 60 * SECOND, Timer::Reconnect)));
    let (mut other, epoch) = welcomed(steady(), Carrier::Stream, now);
    hear(&mut other, epoch, now, &close(CloseCode::GOING_DOWN, ""));
    assert_eq!(other.poll_timeout(), Some((now + SECOND, Timer::Reconnect)));
}

#[test]
fn tries_that_fail_are_further_and_further_apart() {
    let mut now = start();
    let mut device = Link::device(steady(), DEVICE, 7, now);
    let mut gaps = Vec::new();
    for _ in 0..4 {
        let epoch = dial(&mut device, now);
        device.handle_disconnected(epoch, now, Cause::Transport(io::ErrorKind::ConnectionRefused));
        let (next, _) = device.poll_timeout().unwrap();
        gaps.push((next - now).as_millis());
        now = next;
    }
    assert_eq!(gaps, [1000, 1500, 2250, 3375]);
    let refused = Some(Cause::Transport(io::ErrorKind::ConnectionRefused));
    let first = states(&mut device)[..2].to_vec();
    assert_eq!(first, [(State::Connecting, None), (State::Disconnected, refused)]);
}

#[test]
fn a_server_that_welcomes_and_drops_is_not_hammered() {
    let mut now = start();
    let (mut device, mut epoch) = welcomed(steady(), Carrier::Stream, now);
    let mut gaps = Vec::new();
    for stable in [0, 0, 10, 0] {
        now += stable * SECOND;
        device.handle_disconnected(epoch, now, Cause::Disconnected);
        let (next, _) = device.poll_timeout().unwrap();
        gaps.push((next - now).as_millis());
        now = next;
        epoch = dial(&mut device, now);
        device.handle_connected(epoch, now, Carrier::Stream);
        pieces(&mut device, epoch, now);
        hear(&mut device, epoch, now, &crate::pair::welcome(crate::pair::FRESH));
    }
    assert_eq!(gaps, [1000, 1500, 1000, 1500], "only a link that held begins anew");
}

#[test]
fn a_device_gives_up_when_its_tries_are_used_up() {
    let mut now = start();
    let mut config = steady();
    config.backoff = config.backoff.max_attempts(2);
    let mut device = Link::device(config, DEVICE, 7, now);
    crate::pair::send(&mut device, "a");
    for _ in 0..3 {
        let epoch = dial(&mut device, now);
        device.handle_disconnected(epoch, now, Cause::Disconnected);
        now = device.poll_timeout().map_or(now, |(next, _)| next);
    }
    assert_eq!(states(&mut device).pop(), Some((State::Closed, Some(Cause::GivenUp { attempts: 2 }))));
    assert_eq!((device.poll_timeout(), device.poll_connect()), (None, None));
    assert_eq!(device.counters().ledger.abandoned, 1);
}

#[test]
fn each_dial_has_its_epoch_and_an_old_one_does_nothing() {
    let now = start();
    let mut device = Link::device(steady(), DEVICE, 7, now);
    let first = dial(&mut device, now);
    assert_eq!((first.number(), device.poll_connect()), (1, None), "it is asked for once");
    device.handle_disconnected(first, now, Cause::Disconnected);
    let second = dial(&mut device, now + SECOND);
    events(&mut device);
    device.handle_connected(first, now + SECOND, Carrier::Stream);
    device.handle_disconnected(first, now + SECOND, Cause::Disconnected);
    assert_eq!((device.state(), events(&mut device)), (State::Connecting, vec![]));
    device.handle_connected(second, now + SECOND, Carrier::Stream);
    device.handle_connected(second, now + SECOND, Carrier::Stream);
    assert_eq!(states(&mut device), [(State::Registering, None)]);
    assert_eq!(pieces(&mut device, first, now + SECOND).len(), 0);
    assert_eq!(pieces(&mut device, second, now + SECOND).len(), 1);
}

#[test]
fn an_application_that_knows_better_shortens_the_wait() {
    let now = start();
    let mut device = Link::device(steady(), DEVICE, 7, now);
    let epoch = dial(&mut device, now);
    device.handle_disconnected(epoch, now, Cause::Disconnected);
    device.reconnect_now(now);
    assert_eq!(device.poll_timeout(), Some((now, Timer::Reconnect)));
    let epoch = dial(&mut device, now);
    device.handle_connected(epoch, now, Carrier::Stream);
    device.reconnect_now(now);
    assert_eq!(device.state(), State::Registering, "there is nothing to shorten");
}

#[test]
fn after_handle_timeout_every_deadline_is_in_the_future() {
    let now = start();
    let mut device = Link::device(config(), DEVICE, 7, now);
    let mut at = now;
    for round in 0..200_u32 {
        device.handle_timeout(at);
        let (next, timer) = device.poll_timeout().unwrap();
        assert!(next > at, "round {round}: {timer:?}");
        device.handle_timeout(next - crate::pair::TICK);
        assert_eq!(device.poll_timeout(), Some((next, timer)), "an early call does nothing");
        if let Some(epoch) = device.poll_connect()
            && round % 3 == 0
        {
            device.handle_connected(epoch, at, Carrier::Datagrams);
        }
        at = next;
    }
    pass(&mut device, at + 3600 * SECOND);
}

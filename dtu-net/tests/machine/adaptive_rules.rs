//! The single rules of the adaptive heartbeat: what is evidence, what is remembered, what can be set.

use crate::nat::{World, up_to};
use crate::pair::{
    DEVICE, FRESH, SECOND, SERVER, config, data, dial, events, hear, hear_datagram, pass, pieces, serving, start,
    states,
};
use core::time::Duration;
use dtu_net::adaptive::{
    AdaptiveError, AdaptiveHeartbeat, AdaptiveOptions, FLOOR, Learned, MAXIMUM, NETWORKS, Network, RESOLUTION, RETRY,
    START,
};
use dtu_net::{Carrier, Cause, Device, Epoch, Event, Limits, Link, State};
use dtu_proto::Message;
use dtu_proto::message::{Resume, Welcome};
use proptest::prelude::*;
use std::io::ErrorKind;
use std::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

fn welcome(heartbeat: Duration) -> Message<'static> {
    let resume = Resume { stream: SERVER, ..FRESH };
    let heartbeat_ms = u32::try_from(heartbeat.as_millis()).unwrap();
    Message::Welcome(Welcome { heartbeat_ms, window: 64, resume })
}

/// A device that searches, on a connection whose server announced an hour.
fn searching(carrier: Carrier, now: Instant) -> (Link<Device>, Epoch) {
    let mut config = config();
    config.adaptive = Some(AdaptiveHeartbeat::default());
    config.limits.receive = 10;
    let mut device = Link::device(config, DEVICE, 7, now);
    let epoch = reconnect(&mut device, carrier, now);
    (device, epoch)
}

/// Dials and is welcomed at once.
fn reconnect(device: &mut Link<Device>, carrier: Carrier, now: Instant) -> Epoch {
    device.reconnect_now(now);
    let epoch = dial(device, now);
    device.handle_connected(epoch, now, carrier);
    pieces(device, epoch, now);
    match carrier {
        Carrier::Stream => hear(device, epoch, now, &welcome(HOUR)),
        Carrier::Datagrams => hear_datagram(device, epoch, now, &welcome(HOUR)),
    }
    pieces(device, epoch, now);
    events(device);
    epoch
}

fn waiting(device: &mut Link<Device>, now: Instant) -> usize {
    let epoch = device.epoch();
    pieces(device, epoch, now).len()
}

/// Waits until the device asks, and returns when.
fn asks(device: &mut Link<Device>) -> Instant {
    let (at, _) = device.poll_timeout().unwrap();
    device.handle_timeout(at);
    assert!(waiting(device, at) > 0);
    at
}

/// Lets the device ask, and answers.
fn answers(device: &mut Link<Device>) -> Instant {
    let at = asks(device);
    device.handle_bytes(device.epoch(), at, b".");
    at
}

/// Lets it ask in vain until it gives up.
fn dies(device: &mut Link<Device>) -> Instant {
    loop {
        let at = device.poll_timeout().unwrap().0;
        device.handle_timeout(at);
        waiting(device, at);
        if device.state() == State::Disconnected {
            return at;
        }
    }
}

fn known(network: u64, good: u64, bad: u64) -> Learned {
    let seconds = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
    Learned { network: Network(network), good: seconds(good), bad: seconds(bad) }
}

fn learned(device: &mut Link<Device>) -> Vec<Learned> {
    events(device)
        .into_iter()
        .filter_map(|event| if let Event::HeartbeatLearned(l) = event { Some(l) } else { None })
        .collect()
}

#[test]
fn an_answer_doubles_the_interval_and_a_loss_is_met_in_the_middle() {
    let (mut device, _) = searching(Carrier::Stream, start());
    answers(&mut device);
    assert_eq!((device.heartbeat_interval(), learned(&mut device)), (2 * START, vec![known(0, 30, 0)]));
    answers(&mut device);
    assert_eq!((device.heartbeat_interval(), learned(&mut device)), (4 * START, vec![known(0, 60, 0)]));
    let at = dies(&mut device);
    assert_eq!(learned(&mut device), [], "whether the network is there is not known yet");
    device.reconnect_now(at);
    let epoch = dial(&mut device, at);
    device.handle_connected(epoch, at, Carrier::Stream);
    pieces(&mut device, epoch, at);
    hear(&mut device, epoch, at, &welcome(HOUR));
    assert_eq!(learned(&mut device), [known(0, 60, 120)]);
    let middle = device.heartbeat_interval();
    assert!((84 * SECOND..85 * SECOND).contains(&middle), "{middle:?}");
}

#[test]
fn what_is_lost_for_another_reason_or_comes_back_later_says_nothing() {
    let peer_closed = Cause::PeerClosed(dtu_proto::message::CloseCode::GOING_DOWN);
    for cause in [Cause::Disconnected, Cause::Transport(ErrorKind::NetworkUnreachable), peer_closed] {
        let (mut device, _) = searching(Carrier::Stream, start());
        answers(&mut device);
        for _ in 0..2 {
            let at = asks(&mut device);
            device.handle_disconnected(device.epoch(), at, cause);
            reconnect(&mut device, Carrier::Stream, at);
            assert_eq!(device.learned(), [known(0, 30, 0)], "{cause:?}");
        }
    }
    // Nobody was asked.
    let (mut device, _) = searching(Carrier::Stream, start());
    let at = answers(&mut device);
    for seconds in [50, 100] {
        let at = at + seconds * SECOND;
        device.handle_disconnected(device.epoch(), at, Cause::Transport(ErrorKind::TimedOut));
        reconnect(&mut device, Carrier::Stream, at);
        assert_eq!(device.learned(), [known(0, 30, 0)]);
    }
    // The first try fails.
    let (mut device, _) = searching(Carrier::Stream, start());
    answers(&mut device);
    for _ in 0..3 {
        let at = dies(&mut device);
        device.reconnect_now(at);
        let failed = dial(&mut device, at);
        device.handle_disconnected(failed, at, Cause::Transport(ErrorKind::ConnectionRefused));
        reconnect(&mut device, Carrier::Stream, at);
        assert_eq!(device.learned(), [known(0, 30, 0)]);
    }
    // The first try takes long: that has to happen twice.
    for (seconds, once, twice) in [(5, known(0, 30, 60), known(0, 30, 42)), (6, known(0, 30, 0), known(0, 30, 60))] {
        let (mut device, _) = searching(Carrier::Stream, start());
        answers(&mut device);
        for expected in [once, twice] {
            let at = dies(&mut device) + seconds * SECOND;
            reconnect(&mut device, Carrier::Stream, at);
            let [learned] = device.learned()[..] else { panic!("one network") };
            let whole = learned.bad.map(|bad| Duration::from_secs(bad.as_secs()));
            assert_eq!(Learned { bad: whole, ..learned }, expected);
        }
    }
}

#[test]
fn what_was_good_is_doubted_twice_in_a_row_before_it_is_given_up() {
    let now = start();
    let (mut device, _) = searching(Carrier::Stream, now);
    device.remember(now, known(0, 100, 105));
    assert_eq!(device.heartbeat_interval(), 90 * SECOND);
    for expected in [known(0, 100, 105), known(0, 100, 105), known(0, 0, 90)] {
        let at = dies(&mut device);
        reconnect(&mut device, Carrier::Stream, at);
        assert_eq!(device.learned(), [expected]);
        if expected == known(0, 100, 105) && at < now + 130 * SECOND {
            // An answer after the same silence: the doubt was wrong.
            answers(&mut device);
        }
    }
    assert_eq!(device.heartbeat_interval(), START);
}

#[test]
fn silences_on_a_machine_that_slept_or_does_not_read_are_no_evidence() {
    let now = start();
    let (mut device, epoch) = searching(Carrier::Stream, now);
    // It slept for an hour: an answer proves what was planned, and no more.
    device.handle_timeout(now + HOUR);
    pieces(&mut device, epoch, now + HOUR);
    device.handle_bytes(epoch, now + HOUR, b".");
    assert_eq!(device.learned(), [known(0, 30, 0)]);
    // No answer proves nothing.
    let at = now + 2 * HOUR;
    device.handle_timeout(at);
    pieces(&mut device, epoch, at);
    let at = dies(&mut device);
    let epoch = reconnect(&mut device, Carrier::Stream, at);
    assert_eq!(device.learned(), [known(0, 30, 0)]);
    // What comes is not read for a while.
    hear(&mut device, epoch, at, &data(0, &[7; 10]));
    assert!(!device.wants_bytes());
    let later = at + 61 * SECOND;
    pass(&mut device, later);
    pieces(&mut device, epoch, later);
    while device.poll_received().is_some() {}
    device.handle_bytes(epoch, later, b".");
    assert_eq!(device.learned(), [known(0, 30, 0)], "it may have come long before");
}

#[test]
fn on_datagrams_the_device_stays_at_the_start() {
    let now = start();
    let (mut device, epoch) = searching(Carrier::Datagrams, now);
    device.remember(now, known(0, 1000, 0));
    let mut last = now;
    for _ in 0..10 {
        let at = asks(&mut device);
        assert_eq!(at - last, START);
        hear_datagram(&mut device, epoch, at, &Message::Ping { nonce: 1 });
        waiting(&mut device, at);
        last = at;
    }
    assert_eq!((device.heartbeat_interval(), device.learned()), (START, vec![known(0, 1000, 0)]));
    let at = dies(&mut device);
    reconnect(&mut device, Carrier::Stream, at);
    assert_eq!(device.heartbeat_interval(), MAXIMUM);
}

#[test]
fn a_device_that_only_listens_is_heard_in_every_announced_heartbeat() {
    let now = start();
    let (mut device, epoch) = searching(Carrier::Stream, now);
    for second in 1..=7200 {
        let at = now + second * SECOND;
        device.handle_bytes(epoch, at, b".");
        device.handle_timeout(at);
        assert_eq!(pieces(&mut device, epoch, at).len(), usize::from(second % 3600 == 0));
    }
    assert_eq!(device.learned(), [], "it never was silent");
}

#[test]
fn each_network_has_its_own_and_the_oldest_of_too_many_is_told_and_forgotten() {
    let now = start();
    let (mut device, _) = searching(Carrier::Stream, now);
    answers(&mut device);
    device.handle_network(now, Network(1));
    assert_eq!(device.heartbeat_interval(), START, "nothing is known there");
    device.handle_network(now, Network(2));
    device.handle_network(now, Network(0));
    assert_eq!(device.heartbeat_interval(), 2 * START);
    assert_eq!(device.learned(), [known(0, 30, 0)], "of the others there is nothing to remember");
    events(&mut device);
    for network in 1..20 {
        device.remember(now, known(network, 40, 44));
    }
    assert_eq!(device.learned().len(), NETWORKS);
    assert_eq!(device.learned().first(), Some(&known(5, 40, 44)));
    assert_eq!(device.learned().last(), Some(&known(0, 30, 0)), "the one of now is not forgotten");
    let forgotten: Vec<_> = (1..5).map(|network| Event::NetworkForgotten { network: Network(network) }).collect();
    assert_eq!(events(&mut device), forgotten);
    device.handle_network(now, Network(5));
    assert_eq!(device.heartbeat_interval(), 36 * SECOND);
    for network in 100..120 {
        device.handle_network(now, Network(network));
    }
    assert_eq!(device.learned().len(), NETWORKS - 1, "those of which nothing was learned take the room of one");
    device.handle_network(now, Network(20));
    answers(&mut device);
    let mut told = events(&mut device);
    told.retain(|event| matches!(event, Event::NetworkForgotten { .. }));
    assert_eq!(told, [Event::NetworkForgotten { network: Network(6) }]);
}

#[test]
fn a_loss_says_nothing_about_a_network_that_was_left() {
    let (mut device, _) = searching(Carrier::Stream, start());
    answers(&mut device);
    let at = dies(&mut device);
    device.handle_network(at, Network(1));
    reconnect(&mut device, Carrier::Stream, at);
    assert_eq!(device.learned(), [known(0, 30, 0)]);
    // In the middle of the silence.
    let at = asks(&mut device);
    device.handle_network(at, Network(2));
    device.handle_bytes(device.epoch(), at, b".");
    assert_eq!(device.learned(), [known(0, 30, 0)]);
}

#[test]
fn a_server_takes_the_pings_of_a_short_nat_in_a_long_heartbeat() {
    //= spec/session.md#S-4
    let now = start();
    let mut limits = Limits::default();
    limits.heartbeat = 24 * HOUR;
    let (mut server, epoch) = serving(limits, Carrier::Stream, now);
    for round in 1..1000 {
        let at = now + round * FLOOR;
        hear(&mut server, epoch, at, &Message::Ping { nonce: 1 });
        pieces(&mut server, epoch, at);
    }
    assert_eq!(states(&mut server), []);
    let at = now + 5 * HOUR;
    for _ in 0..65 {
        hear(&mut server, epoch, at, &Message::Ping { nonce: 1 });
    }
    assert_eq!(server.state(), State::Disconnected);
}

#[test]
fn options_that_do_not_fit_are_named() {
    type Change = fn(&mut AdaptiveOptions);
    let zero = Duration::ZERO;
    let (floor, maximum) = (HOUR, MAXIMUM);
    let day = 24 * HOUR + SECOND;
    let cases: [(Change, AdaptiveError); 12] = [
        (|o| o.floor = Duration::ZERO, AdaptiveError::Floor { floor: zero }),
        (|o| o.maximum = 24 * HOUR + SECOND, AdaptiveError::Maximum { maximum: day }),
        (|o| o.floor = HOUR, AdaptiveError::FloorAboveMaximum { floor, maximum }),
        (|o| o.start = FLOOR / 2, AdaptiveError::Start { start: FLOOR / 2, floor: FLOOR, maximum }),
        (|o| o.start = HOUR, AdaptiveError::Start { start: HOUR, floor: FLOOR, maximum }),
        (|o| o.step = 0, AdaptiveError::Step { step: 0 }),
        (|o| o.step = RESOLUTION - 1, AdaptiveError::Step { step: RESOLUTION - 1 }),
        (|o| o.step = 4_001, AdaptiveError::Step { step: 4_001 }),
        (|o| o.margin = 499, AdaptiveError::Margin { margin: 499 }),
        (|o| o.margin = 1_001, AdaptiveError::Margin { margin: 1_001 }),
        (|o| o.retry = SECOND, AdaptiveError::Retry { retry: SECOND, maximum }),
        (|o| o.trial_timeout = Duration::ZERO, AdaptiveError::TrialTimeout),
    ];
    for (change, error) in cases {
        let mut options = AdaptiveOptions::default();
        change(&mut options);
        assert_eq!(AdaptiveHeartbeat::new(options), Err(error), "{error}");
    }
    assert_eq!(AdaptiveHeartbeat::new(AdaptiveOptions::default()), Ok(AdaptiveHeartbeat::default()));
    let mut edge = AdaptiveOptions::default();
    (edge.step, edge.margin, edge.maximum, edge.retry) = (RESOLUTION, 1_000, RETRY, RETRY);
    (edge.floor, edge.start) = (RETRY, RETRY);
    assert!(AdaptiveHeartbeat::new(edge).is_ok());
}

#[cfg(feature = "serde")]
#[test]
fn what_was_learned_is_kept_as_json() {
    let learned = known(Network::named("262-01").0, 30, 0);
    let text = serde_json::to_string(&learned).unwrap();
    assert_eq!(text, r#"{"network":324328460056706695,"good":{"secs":30,"nanos":0},"bad":null}"#,);
    assert_eq!(serde_json::from_str::<Learned>(&text).unwrap(), learned);
}

proptest! {
    /// Whatever an application remembers, the device asks no more often than at the floor, and no less often than announced.
    #[test]
    fn no_memory_leads_out_of_the_bounds(
        good in proptest::option::of(any::<Duration>()),
        bad in proptest::option::of(any::<Duration>()),
        announced in 1_u64..100_000,
    ) {
        let announced = Duration::from_secs(announced.min(24 * 3600));
        let mut world = World::new(100 * SECOND, announced, Some(up_to(MAXIMUM)));
        world.device.remember(world.now, Learned { good, bad, ..Learned::default() });
        world.run(2 * HOUR);
        let interval = world.device.heartbeat_interval();
        prop_assert!(interval >= FLOOR.min(announced) && interval <= announced.min(MAXIMUM), "{interval:?}");
        prop_assert!(announced < FLOOR || world.pings <= 2 * 3600 / 15 + 4 * 10, "{}", world.pings);
    }
}

#[test]
fn the_next_interval_follows_from_what_is_known() {
    let now = start();
    for (good, bad, seconds) in [
        // As far as nothing is known, a step and no further than the ceiling, which is half an hour here.
        (0, 0, 30),
        (100, 0, 200),
        (1000, 0, 1800),
        (1700, 0, 1800),
        (2000, 0, 1800),
        // Below the start, and above it.
        (0, 400, 30),
        (0, 33, 30),
        (0, 32, 21),
        (0, 16, 15),
        (0, 1, 15),
        // In the middle, until they are a tenth apart; what lies beyond the ceiling is of no interest.
        (100, 400, 200),
        (100, 111, 105),
        (100, 110, 90),
        (1700, 3000, 1530),
        (1600, 3000, 1800),
        (3000, 3100, 1800),
        // Never below the floor, and of a contradiction the safe half.
        (1, 0, 15),
        (15, 16, 15),
        (500, 400, 30),
    ] {
        let (mut device, _) = searching(Carrier::Stream, now);
        device.remember(now, known(0, good, bad));
        assert_eq!(device.heartbeat_interval().as_secs(), seconds, "{good} and {bad}");
    }
}

/// The times from one PING to the next, or to the end, after the first.
fn timeouts(device: &mut Link<Device>) -> Vec<Duration> {
    let mut last = asks(device);
    let mut all = vec![];
    while device.state().is_up() {
        let at = device.poll_timeout().unwrap().0;
        device.handle_timeout(at);
        waiting(device, at);
        all.push(at - last);
        last = at;
    }
    all
}

#[test]
fn a_trial_is_as_patient_as_the_round_trip_needs_and_no_more_than_usual() {
    let now = start();
    // An answer after so long: the timeout is three times that after the first sample.
    for (millis, expected) in [(500, 3 * SECOND), (2_000, 6 * SECOND), (9_000, 10 * SECOND)] {
        for again in [false, true] {
            let (mut device, epoch) = searching(Carrier::Stream, now);
            let at = asks(&mut device);
            let nonce = u64::try_from((at - now).as_micros()).unwrap();
            hear(&mut device, epoch, at + Duration::from_millis(millis), &Message::Pong { nonce });
            if again {
                // It is remembered over the next connection, and over one that was not welcomed.
                let at = at + 20 * SECOND;
                device.handle_disconnected(epoch, at, Cause::Disconnected);
                device.reconnect_now(at);
                let failed = dial(&mut device, at);
                device.handle_connected(failed, at, Carrier::Stream);
                device.handle_disconnected(failed, at, Cause::Disconnected);
                reconnect(&mut device, Carrier::Stream, at);
            }
            assert_eq!(timeouts(&mut device), [expected; 3], "{millis} {again}");
        }
    }
    let (mut device, _) = searching(Carrier::Stream, now);
    assert_eq!(timeouts(&mut device), [10 * SECOND; 3], "the start is no trial");
}

#[test]
fn a_device_that_only_listens_on_datagrams_speaks_at_the_start() {
    let now = start();
    let (mut device, epoch) = searching(Carrier::Datagrams, now);
    let mut spoke = 0;
    for second in 1..=300 {
        let at = now + second * SECOND;
        hear_datagram(&mut device, epoch, at, &Message::Pong { nonce: 0 });
        device.handle_timeout(at);
        spoke += waiting(&mut device, at);
    }
    assert_eq!(spoke, 10);
}

#[test]
fn silences_below_the_floor_are_of_no_interest() {
    let (mut device, _) = searching(Carrier::Stream, start());
    let mut at = answers(&mut device);
    for _ in 0..3 {
        let epoch = device.epoch();
        // Something is said every 5 s, and not answered.
        for _ in 0..4 {
            at += FLOOR / 3;
            crate::pair::send(&mut device, "x");
            assert!(waiting(&mut device, at) > 0);
        }
        device.handle_disconnected(epoch, at, Cause::Transport(ErrorKind::TimedOut));
        reconnect(&mut device, Carrier::Stream, at);
    }
    assert_eq!(device.learned(), [known(0, 30, 0)]);
}

#[test]
fn of_two_doubts_the_longer_silence_is_believed_and_a_timeout_of_the_system_is_as_good_as_an_own_one() {
    let now = start();
    let (mut device, _) = searching(Carrier::Stream, now);
    device.remember(now, known(0, 200, 210));
    let mut at = now;
    for seconds in [150, 100] {
        at += seconds * SECOND;
        crate::pair::send(&mut device, "x");
        assert!(waiting(&mut device, at) > 0);
        device.handle_disconnected(device.epoch(), at, Cause::Transport(ErrorKind::TimedOut));
        assert_eq!(device.learned(), [known(0, 200, 210)]);
        reconnect(&mut device, Carrier::Stream, at);
    }
    assert_eq!(device.learned(), [known(0, 0, 150)]);
    // Above what is good one is enough.
    let (mut device, _) = searching(Carrier::Stream, now);
    device.remember(now, known(0, 100, 0));
    let at = asks(&mut device);
    device.handle_disconnected(device.epoch(), at, Cause::Transport(ErrorKind::TimedOut));
    reconnect(&mut device, Carrier::Stream, at);
    assert_eq!(device.learned(), [known(0, 100, 200)]);
}

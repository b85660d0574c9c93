use super::super::modbus::crc;
use super::*;

const HEARTBEAT: &[u8] = b"PING\r\n";

const READ_40: [u8; 6] = [1, 3, 0, 0, 0, 40];

fn habits(name: &str) -> Habits {
    let profile = Profile::named(name).unwrap();
    Habits { profile, heartbeat: Duration::from_secs(30), noise: 0.0, late: 0.0 }
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    [bytes, &crc(bytes).to_le_bytes()].concat()
}

/// A device on a clock of its own, and what it wrote.
struct World {
    device: Device,
    now: Instant,
    begin: Instant,
    writes: Vec<(Duration, Vec<u8>)>,
}

impl World {
    fn new(habits: Habits, seed: u64) -> Self {
        let begin = Instant::now();
        let mut world = Self { device: Device::new(habits, 0, seed), now: begin, begin, writes: Vec::new() };
        world.device.handle_connected(begin);
        world.drain();
        world
    }

    fn drain(&mut self) {
        while let Some(bytes) = self.device.poll_transmit(self.now) {
            self.writes.push((self.now - self.begin, bytes));
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.device.handle_bytes(self.now, bytes);
        self.drain();
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut steps = 0;
        while let Some(at) = self.device.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.device.handle_timeout(self.now);
            self.drain();
            steps += 1;
            assert!(steps < 100_000, "it goes round and round");
        }
        self.now = until;
    }

    /// All that was written since the last call.
    fn written(&mut self) -> Vec<u8> {
        self.writes.drain(..).flat_map(|(_, bytes)| bytes).collect()
    }

    /// The same without heartbeats of the profile `plain`, and how many of them stood inside something else.
    fn written_without_heartbeats(&mut self) -> (Vec<u8>, usize) {
        let mut written = self.written();
        let mut inside = 0;
        while let Some(at) = written.windows(HEARTBEAT.len()).position(|window| window == HEARTBEAT) {
            written.drain(at..at + HEARTBEAT.len());
            inside += usize::from(!written[..at].ends_with(&reply_40()[80..]) && at > 17);
        }
        // The last one may still be on its way.
        let begun = (1..HEARTBEAT.len()).find(|len| written.ends_with(&HEARTBEAT[..*len]));
        written.truncate(written.len() - begun.unwrap_or(0));
        (written, inside)
    }
}

/// The reply of device 0 to [`READ_40`].
fn reply_40() -> Vec<u8> {
    let registers = (0..40_u16).flat_map(u16::to_be_bytes);
    frame(&[1, 3, 80].into_iter().chain(registers).collect::<Vec<_>>())
}

#[test]
fn it_registers_at_once_beats_and_answers() {
    for seed in 0..50 {
        let mut world = World::new(habits("plain"), seed);
        world.pass(Duration::from_millis(600));
        assert_eq!(world.written_without_heartbeats().0, b"REG:13900000000\r\n", "seed {seed}");
        world.send(&frame(&READ_40));
        world.pass(Duration::from_secs(2));
        assert_eq!(world.written_without_heartbeats().0, reply_40(), "seed {seed}");
        world.pass(Duration::from_mins(10));
        let counters = world.device.counters();
        assert_eq!((counters.registrations, counters.requests, counters.answered), (1, 1, 1), "seed {seed}");
        assert!((19..=21).contains(&counters.heartbeats), "{counters:?}, seed {seed}");
        assert_eq!((counters.late, counters.exceptions, counters.noise_bytes), (0, 0, 0), "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    let run = |seed| {
        let mut world = World::new(Habits { noise: 0.5, late: 0.2, ..habits("prefix") }, seed);
        for _ in 0..50 {
            world.send(&frame(&READ_40));
            world.pass(Duration::from_millis(700));
        }
        (world.writes, world.device.counters())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn replies_are_cut_and_glued_and_no_byte_is_lost() {
    let (mut cut, mut glued, mut inside) = (0, 0, 0_usize);
    for seed in 0..60 {
        let heartbeat = Duration::from_millis(130);
        let mut world = World::new(Habits { heartbeat, ..habits("plain") }, seed);
        for _ in 0..20 {
            world.send(&frame(&READ_40));
            world.pass(Duration::from_millis(400));
        }
        world.pass(Duration::from_secs(5));
        let counters = world.device.counters();
        (cut, glued) = (cut + counters.cut, glued + counters.glued);
        let (written, heartbeats_inside) = world.written_without_heartbeats();
        inside += heartbeats_inside;
        let expected = [b"REG:13900000000\r\n".to_vec(), reply_40().repeat(20)].concat();
        assert!(written == expected, "seed {seed}");
    }
    assert!(cut > 1000 && glued > 500 && inside > 50, "{cut} cuts, {glued} glued, {inside} heartbeats inside");
}

#[test]
fn every_packet_has_its_prefix() {
    for seed in 0..20 {
        let heartbeat = Duration::from_hours(24);
        let mut world = World::new(Habits { heartbeat, ..habits("prefix") }, seed);
        world.send(&frame(&READ_40));
        world.pass(Duration::from_secs(1));
        let written = world.written();
        let prefix = b"#13900000000#";
        let mut packets = 0;
        let mut rest = &written[..];
        let mut payload = Vec::new();
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix(prefix) {
                (packets, rest) = (packets + 1, behind);
            } else {
                payload.push(rest[0]);
                rest = &rest[1..];
            }
        }
        assert_eq!(payload, reply_40(), "seed {seed}");
        // The first one is the registration.
        assert!(packets >= 2, "seed {seed}");
    }
}

#[test]
fn a_share_of_replies_has_noise_around_it_and_a_share_is_late() {
    let mut world = World::new(Habits { noise: 0.25, late: 0.1, ..habits("plain") }, 5);
    let requests = 2000;
    for _ in 0..requests {
        world.send(&frame(&[1, 3, 0, 0, 0, 1]));
        world.pass(Duration::from_secs(10));
    }
    let counters = world.device.counters();
    assert_eq!((counters.requests, counters.answered), (requests, requests));
    assert!((150..250).contains(&counters.late), "{counters:?}");
    // Two places in each, a quarter of them, and 4.5 bytes at each on average.
    assert!((4000..5000).contains(&counters.noise_bytes), "{counters:?}");
}

#[test]
fn a_late_reply_comes_late_and_those_behind_it_wait_for_it() {
    let mut world = World::new(Habits { late: 1.0, ..habits("plain") }, 5);
    world.pass(Duration::from_secs(1));
    world.written();
    world.send(&frame(&[1, 3, 0, 0, 0, 1]));
    world.send(&frame(&[1, 3, 0, 7, 0, 1]));
    world.pass(Duration::from_millis(3199));
    assert_eq!(world.written(), b"");
    world.pass(Duration::from_secs(20));
    let written = world.written();
    let replies = [frame(&[1, 3, 2, 0, 0]), frame(&[1, 3, 2, 0, 7])];
    assert!(written.starts_with(&replies[0]), "{written:02X?}");
    assert!(written.windows(7).any(|window| window == replies[1]), "{written:02X?}");
}

#[test]
fn ddp_wants_its_acknowledgement_and_goes_without_it() {
    let ack = b"\x7B\x81\x00\x1013900000000\x7B";
    let registration = b"\x7B\x01\x00\x1613900000000\x0A\x00\x00\x00\x13\x89\x7B";
    let down = |payload: &[u8]| [b"\x7B\x89\x00\x1813900000000", payload, b"\x7B"].concat();
    let read = down(&frame(&[1, 3, 0, 9, 0, 1]));

    let mut world = World::new(habits("ddp"), 1);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.written(), registration);
    assert!(!world.device.is_registered());
    world.send(&read);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.written(), b"", "who is not registered answers nothing");
    world.send(ack);
    assert!(world.device.is_registered());
    world.send(&read);
    world.pass(Duration::from_millis(900));
    let written = world.written();
    let payload: Vec<u8> = written.chunks(16).map(|_| 0).collect();
    assert!(
        !payload.is_empty() && written.starts_with(b"\x7B\x09\x00") && written.ends_with(b"\x7B"),
        "{written:02X?}"
    );
    assert_eq!(world.device.counters().acknowledged, 1);

    // Heartbeats that nobody acknowledges: the first, two more, and it goes.
    world.pass(Duration::from_mins(2));
    assert!(world.device.is_leaving());
    let counters = world.device.counters();
    assert_eq!((counters.heartbeats, counters.registrations, counters.unanswered), (1, 3, 1), "{counters:?}");
    world.device.handle_disconnected();
    assert!(!world.device.is_registered() && !world.device.is_leaving());
}

#[test]
fn ddp_does_what_it_is_told() {
    let told = |kind: u8| [&[0x7B, kind, 0, 0x10], &b"13900000000"[..], &[0x7B]].concat();
    let mut world = World::new(habits("ddp"), 1);
    world.send(&told(0x81));
    world.send(&told(0x83));
    assert_eq!(world.device.counters().registrations, 2);
    assert!(!world.device.is_leaving());
    world.send(&told(0x82));
    assert!(world.device.is_leaving());
}

#[test]
fn fourfaith_escapes_in_both_directions() {
    let mut world = World::new(habits("fourfaith"), 1);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.written().len(), 21);
    // Write FDFE to register 1: as it is echoed, there are as many escapes up as down.
    let request = frame(&[1, 6, 0, 1, 0xFD, 0xFE]);
    let escaped: Vec<u8> = request
        .iter()
        .flat_map(|byte| match byte {
            0xFD => vec![0xFD, 0xED],
            0xFE => vec![0xFD, 0xEE],
            other => vec![*other],
        })
        .collect();
    assert!(escaped.len() >= request.len() + 2);
    world.send(&escaped);
    world.pass(Duration::from_secs(1));
    let written: Vec<u8> = world.written().into_iter().filter(|byte| *byte != 0xFE).collect();
    assert_eq!(written, escaped);
}

#[test]
fn what_the_meter_says_without_a_connection_is_lost_and_counted() {
    let mut world = World::new(habits("plain"), 1);
    world.pass(Duration::from_secs(1));
    world.written();
    world.send(&frame(&[1, 3, 0, 0, 0, 1]));
    world.device.handle_disconnected();
    world.now += Duration::from_mins(1);
    world.device.handle_connected(world.now);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.written(), b"REG:13900000000\r\n");
    let counters = world.device.counters();
    assert_eq!((counters.connections, counters.registrations), (2, 2));
    assert_eq!(counters.lost_bytes, 7, "{counters:?}");
}

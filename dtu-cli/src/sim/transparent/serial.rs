//! The way from the meter through the serial line into packets: a DTU sends what it has after so many bytes, or when the line has
//! been silent for so long.

use crate::sim::random::Random;
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

/// A byte with start, parity and stop at 9600 baud: 11 bits.
const BYTE: Duration = Duration::from_micros(1146);

/// After how many bytes DTUs send; one of them for each device. The longest replies are longer than the first.
const PACKET_LENGTHS: [usize; 4] = [64, 128, 512, 1024];

/// After how much silence DTUs send, in milliseconds; one of them for each device. A pause of a meter may be longer, or a turn of the line shorter.
const PACKET_GAPS_MS: [u64; 4] = [5, 10, 20, 50];

/// One in so many replies has a pause in it.
const PAUSES: u64 = 8;

/// How long it is, in milliseconds.
const PAUSE_MS: [u64; 2] = [5, 100];

/// The longest noise, in bytes.
const NOISE_MAX: u64 = 8;

/// The line with the DTU's buffer at its end.
#[derive(Debug)]
pub(super) struct Serial {
    random: Random,
    /// How often noise stands before or behind a reply, of `1 << 32`.
    noise: u64,
    packet_length: usize,
    packet_gap: Duration,
    /// Packets and when they are sent.
    packets: VecDeque<(Instant, Vec<u8>)>,
    /// The packet that is not complete.
    open: Vec<u8>,
    /// When the line's last byte has come, or comes.
    last: Option<Instant>,
    /// Times that a reply was cut in two.
    pub(super) cut: u64,
    /// Times that a reply was glued to what came before.
    pub(super) glued: u64,
    /// Bytes of noise.
    pub(super) noise_bytes: u64,
}

impl Serial {
    /// `noise` is the share of replies with noise before them, and as many have it behind them.
    pub(super) fn new(noise: f64, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let [length, gap] = [(); 2].map(|()| random.between(0, 3) as usize);
        Self {
            random,
            noise: (noise * (1_u64 << 32) as f64) as u64,
            packet_length: PACKET_LENGTHS.get(length).copied().expect("it is one of four"),
            packet_gap: Duration::from_millis(PACKET_GAPS_MS.get(gap).copied().expect("it is one of four")),
            packets: VecDeque::new(),
            open: Vec::new(),
            last: None,
            cut: 0,
            glued: 0,
            noise_bytes: 0,
        }
    }

    /// The meter puts a reply on the line at `now`, or when the line is free. Returns when its last byte has come.
    pub(super) fn handle_reply(&mut self, now: Instant, reply: &[u8]) -> Instant {
        let mut at = self.last.map_or(now, |last| last.max(now));
        self.noise(&mut at);
        let pause = self.pause(reply.len());
        for (place, byte) in reply.iter().enumerate() {
            if let Some((before, pause)) = pause
                && before == place
            {
                at += pause;
            }
            let begins_packet = self.push(&mut at, *byte);
            match place {
                0 => self.glued += u64::from(!begins_packet),
                _ => self.cut += u64::from(begins_packet),
            }
        }
        self.noise(&mut at);
        at
    }

    /// The next packet whose time has come.
    #[must_use]
    pub(super) fn poll_packet(&mut self, now: Instant) -> Option<Vec<u8>> {
        if let Some((at, _)) = self.packets.front() {
            return if *at <= now { self.packets.pop_front().map(|(_, packet)| packet) } else { None };
        }
        self.open_until().filter(|until| *until <= now).map(|_| core::mem::take(&mut self.open))
    }

    /// When the next packet is sent.
    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.packets.front().map(|(at, _)| *at).or_else(|| self.open_until())
    }

    fn open_until(&self) -> Option<Instant> {
        self.last.filter(|_| !self.open.is_empty()).map(|last| last + self.packet_gap)
    }

    /// A byte comes after those before. Returns whether it begins a packet.
    fn push(&mut self, at: &mut Instant, byte: u8) -> bool {
        *at += BYTE;
        if let Some(until) = self.open_until().filter(|until| until < at) {
            self.packets.push_back((until, core::mem::take(&mut self.open)));
        }
        let is_first = self.open.is_empty();
        self.last = Some(*at);
        self.open.push(byte);
        if self.open.len() == self.packet_length {
            self.packets.push_back((*at, core::mem::take(&mut self.open)));
        }
        is_first
    }

    fn noise(&mut self, at: &mut Instant) {
        let drawn = self.random.between(0, (1 << 32) - 1);
        let len = self.random.between(1, NOISE_MAX);
        let bytes = self.random.next().to_le_bytes();
        if drawn < self.noise {
            for byte in bytes.into_iter().take(len as usize) {
                self.push(at, byte);
                self.noise_bytes += 1;
            }
        }
    }

    /// Before which byte of a reply the meter pauses, and for how long.
    fn pause(&mut self, len: usize) -> Option<(usize, Duration)> {
        let [least, most] = PAUSE_MS;
        let drawn = self.random.between(1, PAUSES);
        let before = self.random.between(1, (len as u64).max(2) - 1) as usize;
        let pause = Duration::from_millis(self.random.between(least, most));
        (drawn == 1).then_some((before, pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: u32 = 200;

    #[test]
    fn no_byte_is_earlier_than_the_line_carries_it_and_none_is_lost() {
        for seed in 0..64 {
            let begin = Instant::now();
            let mut serial = Serial::new(0.0, seed);
            let replies = [[1; LEN as usize], [2; LEN as usize]];
            let ends = replies.map(|reply| serial.handle_reply(begin, &reply));
            assert!(ends[0] >= begin + LEN * BYTE, "seed {seed}");
            // The second one was ready, and waited for the line.
            assert!(ends[1] >= ends[0] + LEN * BYTE, "seed {seed}");
            let (mut came, mut packets) = (Vec::new(), 0_u64);
            while let Some(at) = serial.poll_timeout() {
                assert_eq!(serial.poll_packet(at - Duration::from_nanos(1)), None, "seed {seed}");
                came.extend(serial.poll_packet(at).expect("its time has come"));
                packets += 1;
                let count = u32::try_from(came.len()).unwrap();
                assert!(at >= begin + count * BYTE, "seed {seed}: {count} bytes after {:?}", at - begin);
            }
            assert_eq!(came, replies.concat(), "seed {seed}");
            assert_eq!(packets, serial.cut + 2 - serial.glued, "seed {seed}");
        }
    }
}

//! The frames of a stream of bytes. A server has one for each device, nearly all of them idle: what only a candidate needs that
//! is not whole, or a line with noise on it, is on the heap, and only then.

use dtu_proto::counters::Counters;
use dtu_proto::framing::next_step;
use dtu_proto::{Deframer, Native, Step};
use std::time::Instant;

/// The receiving side of a connection.
#[derive(Debug)]
pub struct ByteStream {
    native: Native,
    /// Frames that were judged here, and their bytes. The rest was counted by the deframer.
    frames: u64,
    frame_bytes: u64,
    rest: Option<Box<Rest>>,
}

#[derive(Debug)]
struct Rest {
    deframer: Deframer<Native, Vec<u8>>,
    /// Since when the buffer has held a candidate that is not whole.
    since: Option<Instant>,
}

impl ByteStream {
    pub(crate) const fn new(native: Native) -> Self {
        Self { native, frames: 0, frame_bytes: 0, rest: None }
    }

    fn rest(&mut self) -> &mut Rest {
        let native = self.native;
        self.rest.get_or_insert_with(|| Box::new(Rest { deframer: Deframer::new(native), since: None }))
    }

    /// As [`Deframer::push`].
    pub(crate) fn push(&mut self, bytes: &[u8]) -> usize {
        self.rest().deframer.push(bytes)
    }

    /// As [`Deframer::next_step`].
    pub(crate) fn next_step(&mut self) -> Step<'_> {
        self.rest().deframer.next_step()
    }

    /// As [`Deframer::next_step_from`]. [`settle`](Self::settle) it when that has answered [`Step::NeedMore`].
    #[inline]
    pub(crate) fn next_step_from<'a>(&'a mut self, bytes: &'a [u8]) -> (usize, Step<'a>) {
        if self.rest.is_none() {
            match next_step(&self.native, bytes) {
                Step::Frame(frame) => {
                    let length = frame.encoded_len();
                    self.frames = self.frames.wrapping_add(1);
                    self.frame_bytes = self.frame_bytes.wrapping_add(u64::try_from(length).unwrap_or(u64::MAX));
                    return (length, Step::Frame(frame));
                }
                Step::NeedMore { at_least } if bytes.is_empty() => return (0, Step::NeedMore { at_least }),
                Step::NeedMore { .. } | Step::Skipped { .. } => {}
            }
        }
        self.rest().deframer.next_step_from(bytes)
    }

    /// All steps there are were taken; `progress` says whether there was any. What is not needed any more is given back.
    pub(crate) fn settle(&mut self, now: Instant, progress: bool) {
        let Some(rest) = &mut self.rest else { return };
        if rest.deframer.buffered() > 0 {
            let before = rest.since.filter(|_| !progress);
            rest.since = Some(before.unwrap_or(now));
            return;
        }
        rest.since = None;
        let counted = *rest.deframer.counters();
        let Counters { frames, frame_bytes, .. } = counted;
        if counted == (Counters { frames, frame_bytes, ..Counters::default() }) {
            self.frames = self.frames.wrapping_add(frames);
            self.frame_bytes = self.frame_bytes.wrapping_add(frame_bytes);
            self.rest = None;
        }
    }

    /// As [`Deframer::abandon_candidate`].
    pub(crate) fn abandon_candidate(&mut self) -> Option<Step<'_>> {
        self.rest.as_mut()?.deframer.abandon_candidate()
    }

    /// Since when the buffer has held a candidate that is not whole.
    pub(crate) fn candidate_since(&self) -> Option<Instant> {
        self.rest.as_ref().and_then(|rest| rest.since)
    }

    /// The time of the candidate counts from `now` on.
    pub(crate) fn restart_candidate(&mut self, now: Instant) {
        if let Some(rest) = &mut self.rest {
            rest.since = Some(now);
        }
    }

    /// The bytes of a candidate that is not whole.
    pub(crate) fn buffered(&self) -> usize {
        self.rest.as_ref().map_or(0, |rest| rest.deframer.buffered())
    }

    /// What has been delivered and skipped so far.
    pub(crate) fn counters(&self) -> Counters {
        let mut counters = self.rest.as_ref().map(|rest| *rest.deframer.counters()).unwrap_or_default();
        counters.frames = counters.frames.wrapping_add(self.frames);
        counters.frame_bytes = counters.frame_bytes.wrapping_add(self.frame_bytes);
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteStream, Counters, Instant, Native, Step};
    use core::time::Duration;
    use dtu_proto::{Deframer, Message};

    #[expect(clippy::disallowed_methods, reason = "an origin; only differences matter")]
    fn now() -> Instant {
        Instant::now()
    }

    fn frames(count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for nonce in 0..count {
            Native::new().encode_to(&Message::Ping { nonce }, &mut bytes).expect("a PING fits a frame");
        }
        bytes
    }

    /// The steps of what comes, and what waits behind it.
    fn steps(bytes: &[u8], mut take: impl FnMut(&[u8], &mut String) -> (usize, bool)) -> String {
        let (mut rest, mut seen) = (bytes, String::new());
        loop {
            let (count, more) = take(rest, &mut seen);
            rest = &rest[count..];
            if !more {
                return seen;
            }
        }
    }

    #[test]
    fn it_takes_the_steps_of_a_deframer_however_the_bytes_are_cut_and_counts_as_that() {
        let line = [&frames(3)[..], b"noise", &frames(2), &frames(1)[..9], &frames(2)].concat();
        for cut in 1..=line.len() {
            let (mut stream, mut deframer) = (ByteStream::new(Native::new()), Deframer::new(Native::new()));
            for part in line.chunks(cut) {
                let say = |(count, step): (usize, Step<'_>), seen: &mut String| {
                    seen.push_str(&format!("{step:?}\n"));
                    (count, !matches!(step, Step::NeedMore { .. }))
                };
                let ours = steps(part, |bytes, seen| say(stream.next_step_from(bytes), seen));
                stream.settle(now(), true);
                let theirs = steps(part, |bytes, seen| say(deframer.next_step_from(bytes), seen));
                assert_eq!(ours, theirs, "pieces of {cut}");
                assert_eq!((stream.counters(), stream.buffered()), (*deframer.counters(), deframer.buffered()));
            }
        }
    }

    #[test]
    fn an_idle_line_without_noise_has_nothing_on_the_heap_and_one_with_noise_keeps_its_counts() {
        let (mut stream, now, line) = (ByteStream::new(Native::new()), now(), frames(2));
        let (head, tail) = line.split_at(20);
        let drain = |bytes: &[u8], stream: &mut ByteStream| {
            let mut rest = bytes;
            loop {
                let (count, step) = stream.next_step_from(rest);
                let more = !matches!(step, Step::NeedMore { .. });
                rest = &rest[count..];
                if !more {
                    return stream.settle(now, false);
                }
            }
        };
        drain(head, &mut stream);
        assert!(stream.rest.is_some() && stream.candidate_since() == Some(now));
        stream.restart_candidate(now + Duration::from_secs(1));
        assert_eq!(stream.candidate_since(), Some(now + Duration::from_secs(1)));
        drain(tail, &mut stream);
        assert!(stream.rest.is_none() && stream.candidate_since().is_none());
        let length = u64::try_from(line.len()).expect("it is short");
        let clean = Counters { frames: 2, frame_bytes: length, ..Counters::default() };
        assert_eq!(stream.counters(), clean);
        drain(b"noise", &mut stream);
        drain(&line, &mut stream);
        assert!(stream.rest.is_some(), "the noise stays counted");
        assert_eq!((stream.counters().frames, stream.counters().magic.bytes, stream.buffered()), (4, 5, 0));
    }
}

//! Takes a request's own bytes out of what a line gives back.

use bytes::Bytes;
use core::mem;

/// The fewest bytes of the end of a request that count as its echo when the beginning is missing. Fewer could be the
/// beginning of a reply.
pub const PARTIAL_ECHO_MIN: usize = 4;

/// The echo of one request.
///
/// A whole echo is found wherever it stands, also behind noise, and taken out once. An echo without its beginning, as an adapter
/// gives that switches too slowly, is found where it stands first. One without its end cannot be told from a reply that repeats
/// its request; it stays, and the framing skips it as the damaged frame that it is.
#[derive(Debug)]
pub(super) struct Echo {
    request: Bytes,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// All that came so far is the request from some place on.
    Head {
        held: Vec<u8>,
        /// Those places.
        alive: Vec<usize>,
        /// How many of the held bytes are the longest end of the request.
        ended: usize,
    },
    /// Looks for the whole request (Knuth, Morris and Pratt, 1977): so many of its bytes were the last that came.
    Search {
        failure: Vec<usize>,
        matched: usize,
    },
    Done,
}

impl Echo {
    pub(super) fn new(request: Bytes) -> Self {
        let alive = (0..request.len()).collect();
        Self { request, stage: Stage::Head { held: Vec::new(), alive, ended: 0 } }
    }

    /// Whether bytes are held back that may still become the echo.
    pub(super) fn is_holding(&self) -> bool {
        match &self.stage {
            Stage::Head { held, .. } => !held.is_empty(),
            Stage::Search { matched, .. } => *matched > 0,
            Stage::Done => false,
        }
    }

    /// The bytes of memory that it takes. The request, which may be on the line still, counts again.
    pub(super) fn memory(&self) -> usize {
        let place = mem::size_of::<usize>();
        let stage = match &self.stage {
            Stage::Head { held, alive, .. } => held.len().saturating_add(alive.len().saturating_mul(place)),
            Stage::Search { failure, .. } => failure.len().saturating_mul(place),
            Stage::Done => 0,
        };
        self.request.len().saturating_add(stage)
    }

    /// Whether it has come.
    pub(super) const fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Takes bytes of the line and adds those that are not the echo to `out`. Returns how many were.
    pub(super) fn filter(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut echoed = 0;
        for (at, byte) in bytes.iter().enumerate() {
            match &mut self.stage {
                Stage::Head { held, alive, ended } => {
                    let place = held.len();
                    held.push(*byte);
                    alive.retain(|start| self.request.get(start + place) == Some(byte));
                    // The earliest start ends last, so a longer end takes the place of a shorter.
                    if alive.iter().any(|start| start + held.len() == self.request.len())
                        && (held.len() >= PARTIAL_ECHO_MIN || held.len() == self.request.len())
                    {
                        *ended = held.len();
                    }
                    alive.retain(|start| start + held.len() < self.request.len());
                    if alive.is_empty() {
                        echoed += self.leave_head(out);
                    }
                }
                Stage::Search { .. } => echoed += self.search(*byte, out),
                Stage::Done => {
                    out.extend_from_slice(bytes.get(at..).unwrap_or_default());
                    break;
                }
            }
        }
        echoed
    }

    /// The line fell silent, or the wait is over: what is held back is not the echo, but for an end of it.
    pub(super) fn give_up(&mut self, out: &mut Vec<u8>) -> usize {
        let mut echoed = 0;
        if matches!(self.stage, Stage::Head { .. }) && self.is_holding() {
            echoed = self.leave_head(out);
        }
        if let Stage::Search { matched, .. } = &mut self.stage {
            out.extend_from_slice(self.request.get(..*matched).unwrap_or_default());
            *matched = 0;
        }
        echoed
    }

    /// Takes the end of the request from the front of what is held; where there is none, the whole of it is looked for.
    fn leave_head(&mut self, out: &mut Vec<u8>) -> usize {
        let Stage::Head { held, ended, .. } = mem::replace(&mut self.stage, Stage::Done) else { return 0 };
        if ended > 0 {
            out.extend_from_slice(held.get(ended..).unwrap_or_default());
            return ended;
        }
        self.stage = Stage::Search { failure: failure(&self.request), matched: 0 };
        held.into_iter().map(|byte| self.search(byte, out)).sum()
    }

    fn search(&mut self, byte: u8, out: &mut Vec<u8>) -> usize {
        let Stage::Search { failure, matched } = &mut self.stage else {
            out.push(byte);
            return 0;
        };
        while *matched > 0 && self.request[*matched] != byte {
            let kept = failure[*matched - 1];
            out.extend_from_slice(&self.request[..*matched - kept]);
            *matched = kept;
        }
        if self.request[*matched] == byte {
            *matched += 1;
        } else {
            out.push(byte);
        }
        if *matched < self.request.len() {
            return 0;
        }
        self.stage = Stage::Done;
        self.request.len()
    }
}

/// For each prefix the length of the longest shorter one that is also its end.
fn failure(request: &[u8]) -> Vec<usize> {
    let mut failure = vec![0; request.len()];
    let mut matched = 0;
    for at in 1..request.len() {
        while matched > 0 && request[matched] != request[at] {
            matched = failure[matched - 1];
        }
        if request[matched] == request[at] {
            matched += 1;
        }
        failure[at] = matched;
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::Echo;

    const READ: [u8; 8] = [0x01, 0x03, 0x00, 0x00, 0x00, 0x02, 0xC4, 0x0B];
    const REPLY: [u8; 9] = [0x01, 0x03, 0x04, 0x00, 0x0A, 0x00, 0x0B, 0x9B, 0xF6];

    /// Everything that comes through, with every cut of the stream in two, and how many bytes were echo.
    fn through(request: &[u8], line: &[u8]) -> (Vec<u8>, usize) {
        let mut results = (0..=line.len()).map(|cut| {
            let mut echo = Echo::new(request.to_vec().into());
            let mut out = Vec::new();
            let mut echoed = echo.filter(&line[..cut], &mut out);
            echoed += echo.filter(&line[cut..], &mut out);
            echoed += echo.give_up(&mut out);
            assert!(!echo.is_holding());
            (out, echoed)
        });
        let first = results.next().expect("one cut at least");
        assert!(results.all(|result| result == first), "a cut changes what comes through");
        first
    }

    #[test]
    fn a_whole_echo_is_taken_out_wherever_it_stands() {
        for noise in [&[][..], &[0xFF], &[0x01, 0x03], &[0x01, 0x03, 0x00, 0x00, 0x00, 0x02, 0xC4]] {
            let line = [noise, &READ, &REPLY].concat();
            assert_eq!(through(&READ, &line), ([noise, &REPLY].concat(), READ.len()), "{noise:02X?}");
        }
    }

    #[test]
    fn a_reply_that_repeats_its_request_is_what_comes_second() {
        let write = [0x01, 0x06, 0x00, 0x01, 0x00, 0x03, 0x98, 0x0B];
        assert_eq!(through(&write, &[write, write].concat()), (write.to_vec(), write.len()));
        assert_eq!(through(&write, &[&[0x00], &write[..], &write].concat()).0, [&[0x00], &write[..]].concat());
    }

    #[test]
    fn an_echo_without_its_beginning_is_taken_out_when_enough_of_it_is_there() {
        for missing in 1..=4 {
            let line = [&READ[missing..], &REPLY].concat();
            assert_eq!(through(&READ, &line), (REPLY.to_vec(), READ.len() - missing));
        }
        let line = [&READ[5..], &REPLY].concat();
        assert_eq!(through(&READ, &line), (line, 0));
    }

    #[test]
    fn an_echo_without_its_end_and_a_reply_without_an_echo_come_through() {
        for kept in 0..READ.len() {
            let line = [&READ[..kept], &REPLY].concat();
            assert_eq!(through(&READ, &line), (line, 0), "{kept} bytes of echo");
        }
    }

    #[test]
    fn the_longest_end_of_a_request_that_repeats_itself_is_taken() {
        let request = [7; 10];
        assert_eq!(through(&request, &[&[7; 10][..], &[1, 2]].concat()), (vec![1, 2], 10));
        assert_eq!(through(&request, &[&[7; 6][..], &[1, 2]].concat()), (vec![1, 2], 6));
        assert_eq!(through(&request, &[&[1], &[7; 10][..], &[2]].concat()), (vec![1, 2], 10));
        assert_eq!(through(&[1, 2], &[1, 2, 3]), (vec![3], 2));
        assert_eq!(through(&[1, 2, 1, 3], &[9, 1, 2, 1, 2, 1, 3, 4]), (vec![9, 1, 2, 4], 4));
    }
}

//! A question to the line of a device and its answer: one line of JSON each on the control socket of `dtu serve`.

use super::profile::Replies;
use core::ops::RangeInclusive;
use core::time::Duration;
use dtu_net::State;
use dtu_net::backoff::Backoff;
use dtu_net::driver::transparent::{TransparentSession, Unanswered};
use dtu_net::line::{DEADLINE, Reply, Request, RequestError, TIMEOUT};
use dtu_net::retry::Policy;
use dtu_proto::hex::Hex;
use serde::{Deserialize, Serialize};

/// The longest question, in bytes: twice the longest request, and what stands around it.
pub(crate) const LINE_MAX: usize = 4096;

/// The longest answer, in bytes: twice the longest frame of any framing, and what stands around it.
pub(crate) const ANSWER_MAX: u64 = 256 * 1024;

/// The longest time for a reply.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_mins(10);

/// The functions of Modbus that read, and change nothing: coils, inputs, holding registers, input registers.
const READS: RangeInclusive<u8> = 0x01..=0x04;

/// The bit of a function of Modbus that makes the reply an exception.
const EXCEPTION: u8 = 0x80;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    pub(crate) device: String,
    /// The request as it goes on the line.
    pub(crate) hex: String,
    /// Which serial line of a native device; the first when it is not said. A transparent DTU has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<u8>,
    /// How long the reply may take from when the request has left; its wait for its turn is not in it.
    #[serde(default = "timeout")]
    pub(crate) timeout_ms: u64,
}

const fn timeout() -> u64 {
    TIMEOUT.as_millis() as u64
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) device: String,
    pub(crate) outcome: Outcome,
    /// The reply as it stood on the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hex: Option<String>,
    /// The code of an exception of Modbus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exception: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) round_trip_ms: Option<f64>,
    /// How often it was asked, when that is more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<u32>,
    /// What went wrong, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Replied,
    /// It has no reply, as it is for all devices of the line.
    Sent,
    TimedOut,
    /// Its turn did not come.
    Expired,
    LineGone,
    UnknownDevice,
    /// The queue of the line has no room.
    Full,
    /// It is no request.
    BadRequest,
}

impl Outcome {
    /// As it stands in an answer.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Replied => "replied",
            Self::Sent => "sent",
            Self::TimedOut => "timed_out",
            Self::Expired => "expired",
            Self::LineGone => "line_gone",
            Self::UnknownDevice => "unknown_device",
            Self::Full => "full",
            Self::BadRequest => "bad_request",
        }
    }
}

impl Answer {
    pub(crate) fn failed(device: &str, outcome: Outcome, text: impl ToString) -> Self {
        let text = Some(text.to_string());
        Self { device: device.into(), outcome, hex: None, exception: None, round_trip_ms: None, attempts: None, text }
    }

    /// `bytes` are the reply as it stood on the line.
    pub(crate) fn replied(device: &str, replies: Replies, bytes: &[u8], reply: &Reply) -> Self {
        let exception = match replies {
            Replies::ModbusRtu => bytes.get(1..3),
            Replies::ModbusTcp => bytes.get(7..9),
            Replies::AnyFrame => None,
        };
        Self {
            device: device.into(),
            outcome: Outcome::Replied,
            hex: Some(Hex(bytes).to_string()),
            exception: exception.filter(|pair| pair[0] & EXCEPTION != 0).map(|pair| pair[1]),
            round_trip_ms: Some((reply.round_trip.as_secs_f64() * 10_000.0).round() / 10.0),
            attempts: Some(reply.attempts).filter(|attempts| *attempts > 1),
            text: None,
        }
    }

    pub(crate) fn unanswered(device: &str, unanswered: &Unanswered, state: State) -> Self {
        let outcome = match unanswered {
            Unanswered::NoReply => Outcome::Sent,
            Unanswered::TimedOut { .. } => Outcome::TimedOut,
            Unanswered::Expired => Outcome::Expired,
            Unanswered::Refused(RequestError::Full { .. }) => Outcome::Full,
            Unanswered::Refused(RequestError::Length { .. }) => Outcome::BadRequest,
            Unanswered::Cancelled | Unanswered::LineGone | Unanswered::Refused(_) | _ => Outcome::LineGone,
        };
        Self::failed(device, outcome, why(unanswered, state))
    }
}

/// Asks the line of a session.
pub(crate) async fn put(session: &TransparentSession, replies: Replies, ask: &Ask, repeats: Repeats) -> Answer {
    let device = &*ask.device;
    if ask.channel.is_some() {
        return Answer::failed(device, Outcome::BadRequest, "channel: a transparent DTU has one line, and no channels");
    }
    let request = match request(replies, ask, repeats) {
        Ok(request) => request,
        Err(text) => return Answer::failed(device, Outcome::BadRequest, text),
    };
    match session.request(request).await {
        Ok(reply) => Answer::replied(device, replies, reply.frame.as_bytes(), &reply),
        Err(unanswered) => Answer::unanswered(device, &unanswered, session.state().state),
    }
}

/// Why there is no reply; a turn does not come either where the device itself does not.
fn why(unanswered: &Unanswered, state: State) -> String {
    match (unanswered, state) {
        (Unanswered::Expired, State::Disconnected) => "it is away, and did not come back in time".to_owned(),
        _ => unanswered.to_string(),
    }
}

/// The request that is asked for.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn request(replies: Replies, ask: &Ask, repeats: Repeats) -> Result<Request, String> {
    let timeout = Duration::from_millis(ask.timeout_ms);
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err(format!("timeout_ms: {} is not from 1 to {}", ask.timeout_ms, TIMEOUT_MAX.as_millis()));
    }
    let bytes = bytes(&ask.hex).map_err(|error| format!("hex: {error}"))?;
    let matcher = replies.to(&bytes).map_err(|error| format!("hex: {error}"))?;
    let policy = repeats.policy(replies, &bytes);
    // The others in the queue, and then its own reply.
    let request = Request::new(bytes, matcher).timeout(timeout).deadline(DEADLINE + timeout);
    Ok(match policy {
        Some(policy) => request.policy(policy),
        None => request,
    })
}

/// How often a request that only reads is asked once more when it has no reply, and after how long.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Repeats {
    pub(crate) count: u32,
    pub(crate) pause: Duration,
}

impl Repeats {
    fn policy(self, replies: Replies, request: &[u8]) -> Option<Policy> {
        let function = match replies {
            Replies::ModbusRtu => request.get(1),
            Replies::ModbusTcp => request.get(7),
            Replies::AnyFrame => None,
        };
        let is_read = function.is_some_and(|function| READS.contains(function));
        let backoff = Backoff::fixed(self.pause).max_attempts(self.count);
        (is_read && self.count > 0).then(|| Policy::new(backoff).idempotent())
    }
}

/// The bytes of a text of hex digits; blanks may stand between them.
///
/// # Errors
/// What is wrong, in words for who typed it.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digit = |character: char| {
        let digit = character.to_digit(16).ok_or_else(|| format!("`{character}` is no hex digit"))?;
        // It is below 16.
        Ok(digit as u8)
    };
    let digits: Vec<u8> =
        text.chars().filter(|character| !character.is_whitespace()).map(digit).collect::<Result<_, String>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    match rest {
        [] if pairs.is_empty() => Err("there are no digits".to_owned()),
        [] => Ok(pairs.iter().map(|[high, low]| (high << 4) | low).collect()),
        _ => Err(format!("{} digits are no whole bytes", digits.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_with_blanks_and_what_is_none_is_told() {
        assert_eq!(bytes("01 03\t0a fF"), Ok(vec![1, 3, 10, 255]));
        assert_eq!(bytes("013"), Err("3 digits are no whole bytes".to_owned()));
        assert_eq!(bytes("0x01"), Err("`x` is no hex digit".to_owned()));
        assert_eq!(bytes(" "), Err("there are no digits".to_owned()));
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_field() {
        let ask = |hex: &str, timeout_ms| Ask { device: "a".into(), hex: hex.into(), channel: None, timeout_ms };
        let once = Repeats::default();
        let wrong = |ask: &Ask| request(Replies::ModbusRtu, ask, once).unwrap_err();
        assert!(request(Replies::ModbusRtu, &ask("010300000002c40b", 600_000), once).is_ok());
        assert!(request(Replies::AnyFrame, &ask("01", 1), once).is_ok());
        assert_eq!(wrong(&ask("010300000002c40b", 0)), "timeout_ms: 0 is not from 1 to 600000");
        assert!(wrong(&ask("010300000002c40b", 600_001)).starts_with("timeout_ms: "));
        assert!(wrong(&ask("010300000002c40c", 1)).starts_with("hex: the checksum of the request is C4 0C"));
        assert!(wrong(&ask("01", 1)).starts_with("hex: "));
        assert!(wrong(&ask("zz", 1)).starts_with("hex: `z`"));
    }

    #[test]
    fn only_what_reads_is_asked_again() {
        let repeats = Repeats { count: 2, pause: Duration::from_millis(100) };
        let is_repeated = |replies, request: &[u8]| repeats.policy(replies, request).is_some();
        for function in 0..=255 {
            let is_read = (1..=4).contains(&function);
            assert_eq!(is_repeated(Replies::ModbusRtu, &[1, function, 0, 0]), is_read, "{function}");
            assert_eq!(is_repeated(Replies::ModbusTcp, &[0, 0, 0, 0, 0, 6, 1, function]), is_read, "{function}");
            assert!(!is_repeated(Replies::AnyFrame, &[1, function, 0, 0, 0, 0, 0, function]));
        }
        assert!(!is_repeated(Replies::ModbusRtu, &[3]));
        assert!(Repeats::default().policy(Replies::ModbusRtu, &[1, 3]).is_none());
    }

    #[test]
    fn a_turn_that_did_not_come_is_told_from_a_device_that_did_not() {
        assert_eq!(why(&Unanswered::Expired, State::Disconnected), "it is away, and did not come back in time");
        assert_eq!(why(&Unanswered::Expired, State::Connected), Unanswered::Expired.to_string());
        assert_eq!(why(&Unanswered::LineGone, State::Disconnected), Unanswered::LineGone.to_string());
    }

    #[test]
    fn the_longest_request_fits_a_line() {
        let hex = "ab".repeat(dtu_net::line::limits::MAX_REQUEST);
        let line =
            serde_json::to_string(&Ask { device: "\u{1}".repeat(64), hex, channel: Some(255), timeout_ms: u64::MAX })
                .unwrap();
        assert!(line.len() < LINE_MAX, "{}", line.len());
    }
}

//! Requests to the lines of devices.

use super::device::{Device, Hand, LINES};
use super::serial::{self, Serial};
use super::{Fleet, Millis};
use crate::request::ask::{self, Answer, Ask, Outcome};
use crate::request::profile::Replies;
use core::time::Duration;
use dtu_net::driver::Session;
use dtu_net::driver::transparent::TransparentSession;
use std::sync::Arc;
use std::time::Instant;

/// Requests that are asked at a time, in all lines; more are refused.
pub(super) const ASKED: usize = 4096;

impl Fleet {
    /// Asks the line of a device, whichever kind it is of, and waits for the reply. `None` when it is not here.
    pub(super) async fn ask_here(&self, ask: &Ask) -> Option<Answer> {
        let device = self.find(&ask.device)?;
        Some(self.ask_device(&device, ask).await)
    }

    async fn ask_device(&self, device: &Arc<Device>, ask: &Ask) -> Answer {
        let failed = |outcome, text: &str| Answer::failed(&ask.device, outcome, text);
        let Ok(_asked) = self.asked.try_acquire() else {
            return failed(Outcome::Full, "as many requests are asked as may be at a time");
        };
        let began = Instant::now();
        let answer = match &device.hand {
            Hand::Native(session) => self.ask_native(session, device, ask).await,
            Hand::Unit(session, replies) => self.ask_unit(session, *replies, device, ask).await,
            #[cfg(test)]
            Hand::Played(_) => failed(Outcome::TimedOut, "it is played"),
        };
        if answer.outcome == Outcome::Replied {
            self.meters.request_seconds.record(began.elapsed());
        }
        self.mark(device);
        answer
    }

    async fn ask_unit(&self, session: &TransparentSession, replies: Replies, device: &Device, ask: &Ask) -> Answer {
        let answer = ask::put(session, replies, ask, self.repeats).await;
        if was_sent(answer.outcome)
            && let Ok(request) = ask::bytes(&ask.hex)
        {
            let since = answer.round_trip_ms.map_or(0, |time| time as u64);
            let ago = if answer.outcome == Outcome::TimedOut { ask.timeout_ms } else { since };
            device.sent(Millis(Millis::now().0.saturating_sub(ago)), 0, &request);
            self.meters.down(request.len());
        }
        if let Some(reply) = answer.hex.as_deref().and_then(|hex| ask::bytes(hex).ok()) {
            device.received(Millis::now(), 0, None, &reply);
            self.meters.up(1, reply.len());
        }
        answer
    }

    async fn ask_native(&self, session: &Session, device: &Arc<Device>, ask: &Ask) -> Answer {
        let replies = self.lines.replies;
        let request = match ask::request(replies, ask, self.repeats) {
            Ok(request) => request,
            Err(text) => return Answer::failed(&ask.device, Outcome::BadRequest, text),
        };
        let (len, most) = (request.bytes().len(), session.max_body());
        let (channel, timeout) = (ask.channel.unwrap_or_default(), Duration::from_millis(ask.timeout_ms));
        let outcome = if len > most {
            Err(serial::too_long(len, most))
        } else {
            loop {
                let make = || Serial::new(channel, &self.lines, self.queue, seed(), Instant::now());
                let Some((line, is_new)) = device.open_line(channel, make) else {
                    let text = format!("replies are awaited on {LINES} serial lines of it already");
                    return Answer::failed(&ask.device, Outcome::Full, text);
                };
                if is_new {
                    tokio::spawn(Arc::clone(&line).run(session.clone(), Arc::clone(device)));
                }
                match line.ask(request.clone(), timeout).await {
                    Ok(outcome) => break outcome,
                    Err(serial::Over) => device.close_line(&line),
                }
            }
        };
        let answer = match outcome {
            Ok(reply) => {
                let bytes = if self.lines.is_raw { reply.frame.payload() } else { reply.frame.as_bytes() };
                Answer::replied(&ask.device, replies, bytes, &reply)
            }
            Err(unanswered) => Answer::unanswered(&ask.device, &unanswered, session.state().state),
        };
        if was_sent(answer.outcome) {
            self.meters.down(len);
        }
        answer
    }
}

/// Whether what was asked has left, as far as it is known.
const fn was_sent(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Replied | Outcome::Sent | Outcome::TimedOut | Outcome::LineGone)
}

/// Spreads the repeats of a line.
fn seed() -> u64 {
    // Without a random number repeats are spread less, and nothing else is lost.
    getrandom::u64().unwrap_or_default()
}

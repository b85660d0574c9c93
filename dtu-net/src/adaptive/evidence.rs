//! What a device's connections tell about the NAT between.

use super::memory::{Learned, Memory, Network};
use super::options::{AdaptiveHeartbeat, AdaptiveOptions};
use super::search::{Plan, plan};
use crate::error::Cause;
use crate::event::Event;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Instant;

/// A silence is news only when it is longer than the best one by more than this part of it.
const NEWS_PART: u32 = 64;

/// How soon after a loss a device is welcomed again where only the NAT had forgotten the connection: the first delay of the
/// backoff, and a few round trips. What takes longer may have been the end of an outage, and has to happen twice.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The adaptive heartbeat of one device.
#[derive(Debug)]
pub(crate) struct Adaptive {
    options: AdaptiveOptions,
    memory: Memory,
    /// The longest interval allowed.
    ceiling: Duration,
    plan: Plan,
    /// The connection of now, or the last one, is a stream of bytes: it has one mapping.
    ordered: bool,
    /// It is up, and can tell something.
    live: bool,
    /// When the last byte went either way; `None` where that cannot be known.
    quiet_since: Option<Instant>,
    /// The longest silence before something that has left, and nothing has come since.
    question: Option<Duration>,
    /// How the connection before was lost, until the first try to connect again has its end.
    suspicion: Option<Suspicion>,
    /// The longest time that answers were given on a connection before.
    patience: Duration,
}

/// A connection that was lost after a silence.
#[derive(Debug, Clone, Copy)]
struct Suspicion {
    lost: Instant,
    silence: Duration,
    /// There was no answer at all. A reset may come from the NAT, and from a server that was started again.
    clear: bool,
}

impl Adaptive {
    pub(crate) fn new(config: &AdaptiveHeartbeat) -> Self {
        let options = *config.options();
        Self {
            options,
            memory: Memory::new(),
            ceiling: options.maximum,
            plan: Plan { interval: options.start, trial: false },
            ordered: true,
            live: false,
            quiet_since: None,
            question: None,
            suspicion: None,
            patience: Duration::ZERO,
        }
    }

    /// After how much silence of the server a device asks.
    pub(crate) const fn interval(&self) -> Duration {
        self.plan.interval
    }

    /// After how much silence of its own it does: on a stream the server's bytes keep the NAT awake as well as its own do.
    pub(crate) fn keep(&self, announced: Duration) -> Duration {
        if self.ordered { announced } else { self.plan.interval }
    }

    /// How long the answer to a PING may take.
    pub(crate) fn probe_timeout(&self, usual: Duration, measured: Duration) -> Duration {
        if self.plan.trial { self.options.trial_timeout.max(measured).max(self.patience).min(usual) } else { usual }
    }

    /// The server has welcomed this device: a connection begins.
    pub(crate) fn handle_welcomed(
        &mut self,
        now: Instant,
        announced: Duration,
        ordered: bool,
        events: &mut VecDeque<Event>,
    ) {
        self.ceiling = announced.min(self.options.maximum);
        (self.ordered, self.live) = (ordered, ordered);
        (self.quiet_since, self.question) = (Some(now), None);
        match self.suspicion.take() {
            Some(Suspicion { lost, silence, clear }) if ordered => {
                let at_once = now.saturating_duration_since(lost) <= AT_ONCE;
                self.failed(now, silence, clear && at_once, events);
            }
            Some(_) | None => {}
        }
        self.replan(now);
    }

    /// Something leaves.
    pub(crate) fn handle_sent(&mut self, now: Instant) {
        if let Some(since) = self.quiet_since.filter(|_| self.live) {
            // Not everything is answered: what came before may have been an ACK.
            self.question = self.question.max(Some(now.saturating_duration_since(since)));
            self.quiet_since = Some(now);
        }
    }

    /// A byte has come.
    pub(crate) fn handle_heard(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        if !self.live {
            return;
        }
        let silence = self.quiet_since.map(|since| now.saturating_duration_since(since));
        let news = self.question.take().or(silence).is_some_and(|silence| self.survived(silence, events));
        self.quiet_since = Some(now);
        if news || !self.plan.trial && self.is_retry_due(now) {
            self.replan(now);
        }
    }

    /// Bytes are not read at the moment: when they came will not be known.
    pub(crate) const fn handle_unread(&mut self) {
        (self.quiet_since, self.question) = (None, None);
    }

    /// A connection is over, or a try to connect. `round_trip` is how long its answers were given, `slack` how late a
    /// deadline may be acted upon and still count.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other cause, also one to come, says nothing about a NAT")]
    pub(crate) fn handle_lost(&mut self, now: Instant, cause: Cause, round_trip: Duration, slack: Duration) {
        let (live, question) = (self.live, self.question.take());
        (self.live, self.quiet_since, self.suspicion) = (false, None, None);
        if !live {
            return;
        }
        self.patience = round_trip;
        let clear = match cause {
            Cause::Silent { .. } | Cause::Transport(ErrorKind::TimedOut) => true,
            Cause::Transport(ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe) => {
                false
            }
            _ => return,
        };
        // After a sleep of the machine many things may be the reason.
        let counts = |silence: &Duration| *silence <= self.plan.interval.saturating_add(slack);
        let suspicion = |silence: Duration| Suspicion { lost: now, silence: silence.min(self.plan.interval), clear };
        self.suspicion = question.filter(counts).map(suspicion);
    }

    /// The application says which network this is.
    pub(crate) fn handle_network(&mut self, now: Instant, network: Network, events: &mut VecDeque<Event>) {
        if self.memory.now().learned.network != network {
            (self.quiet_since, self.question, self.suspicion) = (None, None, None);
            let forgotten = self.memory.switch(network);
            self.tell_forgotten(now, forgotten, events);
        }
    }

    pub(crate) fn remember(&mut self, now: Instant, learned: Learned, events: &mut VecDeque<Event>) {
        let forgotten = self.memory.remember(learned);
        self.tell_forgotten(now, forgotten, events);
    }

    pub(crate) fn learned(&self) -> impl Iterator<Item = Learned> {
        self.memory.learned()
    }

    fn tell_forgotten(&mut self, now: Instant, forgotten: Option<Network>, events: &mut VecDeque<Event>) {
        events.extend(forgotten.map(|network| Event::NetworkForgotten { network }));
        self.replan(now);
    }

    /// The connection was still there after so much silence. Returns whether that is news.
    fn survived(&mut self, silence: Duration, events: &mut VecDeque<Event>) -> bool {
        // Of a longer one, on a machine that slept, nobody knows what else went over the line.
        let silence = silence.min(self.plan.interval);
        let entry = self.memory.now();
        entry.doubt = entry.doubt.filter(|doubt| *doubt > silence + silence / NEWS_PART);
        let news = entry.learned.good.is_none_or(|good| silence > good.saturating_add(good / NEWS_PART));
        if silence < self.options.floor || !news {
            return false;
        }
        entry.learned.good = Some(silence);
        entry.learned.bad = entry.learned.bad.filter(|bad| *bad > silence);
        events.push_back(Event::HeartbeatLearned(entry.learned));
        true
    }

    /// The connection was gone after so much silence, and the network was there.
    fn failed(&mut self, now: Instant, mut silence: Duration, clear: bool, events: &mut VecDeque<Event>) {
        if silence < self.options.floor {
            return;
        }
        let entry = self.memory.now();
        let contradicts = entry.learned.good.is_some_and(|good| silence <= good);
        if contradicts || !clear {
            let Some(before) = entry.doubt else {
                entry.doubt = Some(silence);
                return;
            };
            silence = silence.max(before);
        }
        (entry.doubt, entry.settled) = (None, Some(now));
        let bad = entry.learned.bad.map_or(silence, |bad| bad.min(silence));
        let learned = Learned { good: entry.learned.good.filter(|good| *good < bad), bad: Some(bad), ..entry.learned };
        if entry.learned != learned {
            entry.learned = learned;
            events.push_back(Event::HeartbeatLearned(learned));
        }
    }

    fn replan(&mut self, now: Instant) {
        let entry = self.memory.now();
        self.plan = plan(&entry.learned, &self.options, self.ceiling, false);
        if self.plan.trial {
            entry.settled = None;
        } else {
            entry.settled.get_or_insert(now);
            if self.is_retry_due(now) {
                self.plan = plan(&self.memory.now().learned, &self.options, self.ceiling, true);
            }
        }
        if !self.ordered {
            self.plan = plan(&Learned::default(), &self.options, self.ceiling, false);
        }
    }

    fn is_retry_due(&mut self, now: Instant) -> bool {
        let settled = self.memory.now().settled;
        settled.is_some_and(|settled| now.saturating_duration_since(settled) >= self.options.retry)
    }
}

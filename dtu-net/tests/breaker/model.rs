//! A breaker that keeps every result it was ever given and works all out anew, for comparison.

use crate::start;
use core::time::Duration;
use dtu_net::breaker::{Breaker, BreakerConfig, BreakerState, FailureRate, Permit};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Milliseconds since the beginning.
type Time = u64;

#[derive(Debug, Clone, Copy)]
struct Rules {
    consecutive: Option<u32>,
    /// Window in milliseconds, permille, least calls.
    rate: Option<(u64, u16, u32)>,
    open_for: Time,
    probes: u32,
    probe_deadline: Time,
}

impl Rules {
    fn config(&self) -> BreakerConfig {
        let ms = Duration::from_millis;
        let mut config = BreakerConfig::DEFAULT;
        if let Some((window, permille, min_calls)) = self.rate {
            config = config.rate(FailureRate { window: ms(window), permille, min_calls }).unwrap();
        }
        config = match self.consecutive {
            Some(failures) => config.consecutive(failures).unwrap(),
            None => config.without_consecutive().unwrap(),
        };
        config = config.open_for(ms(self.open_for)).unwrap().probes(self.probes).unwrap();
        config.probe_deadline(ms(self.probe_deadline)).unwrap()
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Era {
    /// Results with their times.
    Closed(Vec<(Time, bool)>),
    Open {
        until: Time,
    },
    /// When each probe went, and its result.
    HalfOpen(Vec<(Time, Probe)>),
    ForcedOpen,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Probe {
    Out,
    Succeeded,
    Returned,
}

/// A permit: the era in which it was given, and which probe of that era it is.
type Ticket = (usize, Option<usize>);

struct Naive {
    rules: Rules,
    /// All eras, the last of which runs.
    eras: Vec<Era>,
    stale: u64,
    refused: u64,
}

impl Naive {
    fn era(&mut self) -> &mut Era {
        self.eras.last_mut().unwrap()
    }

    fn settle(&mut self, now: Time) {
        let (deadline, open_for) = (self.rules.probe_deadline, self.rules.open_for);
        if let Era::HalfOpen(probes) = self.era() {
            let last = probes.iter().map(|(at, _)| *at).max().unwrap();
            if probes.iter().any(|(_, probe)| *probe == Probe::Out) && now >= last + deadline {
                self.eras.push(Era::Open { until: last + deadline + open_for });
            }
        }
    }

    fn acquire(&mut self, now: Time) -> Option<Ticket> {
        self.settle(now);
        if matches!(self.era(), Era::Open { until } if now >= *until) {
            self.eras.push(Era::HalfOpen(vec![]));
        }
        let (index, most) = (self.eras.len() - 1, self.rules.probes as usize);
        let admitted = match self.era() {
            Era::Closed(_) => Some((index, None)),
            Era::HalfOpen(probes) if probes.iter().filter(|(_, probe)| *probe != Probe::Returned).count() < most => {
                probes.push((now, Probe::Out));
                Some((index, Some(probes.len() - 1)))
            }
            Era::HalfOpen(_) | Era::Open { .. } | Era::ForcedOpen => None,
        };
        self.refused += u64::from(admitted.is_none());
        admitted
    }

    fn result(&mut self, (index, probe): Ticket, is_failure: bool, now: Time) {
        self.settle(now);
        if index != self.eras.len() - 1 {
            self.stale += 1;
            return;
        }
        let rules = self.rules;
        let open = Era::Open { until: now + rules.open_for };
        let next = match self.era() {
            Era::Closed(results) => {
                results.push((now, is_failure));
                let row = results.iter().rev().take_while(|(_, failed)| *failed).count();
                let is_row = rules.consecutive.is_some_and(|most| row >= most as usize);
                let is_rate = is_failure
                    && rules.rate.is_some_and(|(window, permille, min_calls)| {
                        // The window is counted from when the era began, which for the model is kept as time zero of it.
                        let part = window / 10;
                        let began = results[0].0;
                        let tick = |at: Time| (at - began) / part;
                        let within = || results[1..].iter().filter(|(at, _)| tick(*at) + 10 > tick(now));
                        let (calls, failures) = (within().count(), within().filter(|(_, failed)| *failed).count());
                        calls >= min_calls as usize && failures * 1000 >= calls * usize::from(permille)
                    });
                (is_row || is_rate).then_some(open)
            }
            Era::HalfOpen(_) if is_failure => Some(open),
            Era::HalfOpen(probes) => {
                probes[probe.unwrap()].1 = Probe::Succeeded;
                let succeeded = probes.iter().filter(|(_, probe)| *probe == Probe::Succeeded).count();
                (succeeded == rules.probes as usize).then(|| closed(now))
            }
            Era::Open { .. } | Era::ForcedOpen => unreachable!("no ticket is given here"),
        };
        self.eras.extend(next);
    }

    fn give_back(&mut self, (index, probe): Ticket) {
        if let (Some(probe), Some(Era::HalfOpen(probes))) = (probe, self.eras.get_mut(index)) {
            probes[probe].1 = Probe::Returned;
        }
    }

    fn state(&self, now: Time) -> &'static str {
        let mut then = Self { rules: self.rules, eras: self.eras.clone(), stale: 0, refused: 0 };
        then.settle(now);
        match then.era() {
            Era::Closed(_) => "closed",
            Era::Open { until } if now < *until => "open",
            Era::Open { .. } | Era::HalfOpen(_) => "half-open",
            Era::ForcedOpen => "forced",
        }
    }
}

/// The first entry only marks when the era began; a success, which neither rule counts.
fn closed(now: Time) -> Era {
    Era::Closed(vec![(now, false)])
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Acquire,
    Succeed(prop::sample::Index),
    Fail(prop::sample::Index),
    Drop(prop::sample::Index),
    Leak(prop::sample::Index),
    Pass(u64),
    ForceOpen,
    Reset,
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => Just(Op::Acquire),
        6 => any::<prop::sample::Index>().prop_map(Op::Succeed),
        7 => any::<prop::sample::Index>().prop_map(Op::Fail),
        2 => any::<prop::sample::Index>().prop_map(Op::Drop),
        1 => any::<prop::sample::Index>().prop_map(Op::Leak),
        6 => prop_oneof![0_u64..50, 0_u64..600, Just(100), Just(1000)].prop_map(Op::Pass),
        1 => prop_oneof![1 => Just(Op::ForceOpen), 2 => Just(Op::Reset)],
    ]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let rate =
        (1_u64..10, 1_u16..=1000, 1_u32..8).prop_map(|(window, permille, calls)| (window * 100, permille, calls));
    let either = prop_oneof![
        (1_u32..4).prop_map(|failures| (Some(failures), None)),
        rate.clone().prop_map(|rate| (None, Some(rate))),
        (1_u32..6, rate).prop_map(|(failures, rate)| (Some(failures), Some(rate))),
    ];
    (either, 1_u64..500, 1_u32..4, 1_u64..500).prop_map(|((consecutive, rate), open_for, probes, probe_deadline)| {
        Rules { consecutive, rate, open_for, probes, probe_deadline }
    })
}

fn name(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open { .. } => "open",
        BreakerState::HalfOpen => "half-open",
        BreakerState::ForcedOpen => "forced",
        _ => "unknown",
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000, rng_seed: RngSeed::Fixed(0xBB), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn it_does_what_the_naive_model_does(rules in any_rules(), ops in prop::collection::vec(any_op(), 1..120)) {
        let began = start();
        let breaker = Breaker::new(rules.config(), began);
        let mut naive = Naive { rules, eras: vec![closed(0)], stale: 0, refused: 0 };
        let mut time: Time = 0;
        let mut held: Vec<(Permit<&Breaker>, Ticket)> = vec![];
        for op in ops {
            let now = began + Duration::from_millis(time);
            let take = |held: &mut Vec<_>, index: prop::sample::Index| {
                (!held.is_empty()).then(|| held.swap_remove(index.index(held.len())))
            };
            match op {
                Op::Acquire => {
                    let (permit, ticket) = (breaker.acquire(now), naive.acquire(time));
                    prop_assert_eq!(permit.as_ref().ok().map(Permit::is_probe), ticket.map(|(_, probe)| probe.is_some()));
                    held.extend(permit.ok().zip(ticket));
                }
                Op::Succeed(index) => if let Some((permit, ticket)) = take(&mut held, index) {
                    permit.succeed(now);
                    naive.result(ticket, false, time);
                }
                Op::Fail(index) => if let Some((permit, ticket)) = take(&mut held, index) {
                    permit.fail(now);
                    naive.result(ticket, true, time);
                }
                Op::Drop(index) => if let Some((permit, ticket)) = take(&mut held, index) {
                    drop(permit);
                    naive.give_back(ticket);
                }
                Op::Leak(index) => if let Some((permit, _)) = take(&mut held, index) {
                    core::mem::forget(permit);
                }
                Op::Pass(milliseconds) => time += milliseconds,
                Op::ForceOpen => {
                    breaker.force_open(now);
                    if *naive.era() != Era::ForcedOpen {
                        naive.eras.push(Era::ForcedOpen);
                    }
                }
                Op::Reset => {
                    breaker.reset(now);
                    naive.eras.push(closed(time));
                }
            }
            let now = began + Duration::from_millis(time);
            prop_assert_eq!(name(breaker.state(now)), naive.state(time));
            let counters = breaker.counters();
            prop_assert_eq!((counters.stale, counters.refused), (naive.stale, naive.refused));
        }
        // None sticks: whatever was leaked, after both times a call is admitted, or someone holds the breaker open.
        time += rules.open_for + rules.probe_deadline;
        let now = began + Duration::from_millis(time);
        prop_assert!(breaker.acquire(now).is_ok() || breaker.state(now) == BreakerState::ForcedOpen);
    }
}

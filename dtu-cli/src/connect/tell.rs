//! What happens on the link, one line each on stderr.

use super::server::Addrs;
use core::time::Duration;
use dtu_net::adaptive::Learned;
use dtu_net::driver::{LinkEvent, Session};
use dtu_net::{Cause, Device, Event, LinkCounters, State, StateChange};
use dtu_proto::message::RefuseCode;
use std::io;
use tokio::time::Instant;

/// Tells what happened on the link of `session` to the server `endpoint`. What it says of the end is left to the end.
pub(super) fn event(addrs: &Addrs, endpoint: usize, session: &Session<Device>, event: &LinkEvent) {
    let (epoch, event) = match event {
        LinkEvent::Link { epoch, event, .. } => (epoch, event),
        LinkEvent::LookupFailed { endpoint, error, kept } => return lookup_failed(addrs.of(*endpoint), *error, *kept),
        LinkEvent::Refused(_) | LinkEvent::AcceptFailed(_) | LinkEvent::Dropped(_) | _ => return,
    };
    match event {
        Event::State(change) => state(addrs, endpoint, session, change),
        Event::Endpoint { index, before: Some(before) } => {
            eprintln!("failover: from {} to {}", addrs.of(*before), addrs.of(*index));
        }
        Event::Resumed(resumption) if !resumption.sending && epoch.number() > 1 => {
            eprintln!("the server does not remember this device: what is sent again may come twice there");
        }
        Event::Skipped { bytes, cause } => eprintln!("dtu: {bytes} bytes from the server skipped: {cause}"),
        Event::HeartbeatLearned(Learned { good, bad, .. }) => eprintln!(
            "heartbeat: the network keeps {}, and not {}; now {:.0} s",
            seconds(*good),
            seconds(*bad),
            session.heartbeat_interval().as_secs_f64()
        ),
        Event::Resumed(_) | Event::Endpoint { .. } | Event::Settled { .. } | _ => {}
    }
}

fn seconds(silence: Option<Duration>) -> String {
    silence.map_or_else(|| "what is not known".to_owned(), |silence| format!("{:.0} s", silence.as_secs_f64()))
}

pub(super) fn missed(count: u64) {
    eprintln!("dtu: {count} events of the link were missed");
}

fn lookup_failed(addr: &str, error: io::ErrorKind, kept: usize) {
    if kept > 0 {
        eprintln!("dtu: {addr} is not looked up: {error}; its {kept} addresses of the last time are used");
    } else {
        eprintln!("dtu: {addr} is not looked up: {error}");
    }
}

fn state(addrs: &Addrs, endpoint: usize, session: &Session<Device>, change: &StateChange) {
    let addr = addrs.of(endpoint);
    match change.state {
        State::Connecting => eprintln!("connecting to {addr}"),
        State::Connected => eprintln!("connected to {addr}"),
        State::Suspect => eprintln!("suspect: the server does not answer; a little more patience"),
        State::Disconnected => match change.cause {
            Some(Cause::Refused { code: RefuseCode::UNAUTHORIZED, .. }) => eprintln!(
                "dtu: NOT LET IN: {}; check --id, --token and --key-file against the server's keys; {}",
                why(change),
                next_try(session)
            ),
            Some(Cause::NoKey) => {
                eprintln!("dtu: NOT LET IN: {}; give it with --key-file; {}", why(change), next_try(session))
            }
            Some(Cause::MovedBack { endpoint }) => {
                eprintln!("{} is back: leaving {addr} for it; {}", addrs.of(endpoint), next_try(session));
            }
            _ => eprintln!("disconnected: {}; {}", why(change), next_try(session)),
        },
        State::Registering | State::Closed => {}
    }
}

fn next_try(session: &Session<Device>) -> String {
    match session.next_try() {
        Some(at) => {
            let seconds = Instant::from_std(at).saturating_duration_since(Instant::now()).as_secs_f64();
            format!("next try in {seconds:.1} s")
        }
        // It has begun already.
        None => "trying again".to_owned(),
    }
}

/// The cause of a loss, and what the server said about it.
pub(super) fn why(change: &StateChange) -> String {
    let cause = change.cause.map_or_else(|| "no cause is known".to_owned(), |cause| cause.to_string());
    if change.reason.is_empty() { cause } else { format!("{cause} ({})", change.reason) }
}

/// The books at the end.
pub(super) fn counters(counters: &LinkCounters) {
    let LinkCounters { ledger, connected, received, repeated, resent, .. } = counters;
    eprintln!(
        "sent {}: acked {}, expired {}, refused {}, abandoned {}; received {received}; connections {connected}, sent \
         again {resent}, came again {repeated}",
        ledger.taken, ledger.acked, ledger.expired, ledger.refused, ledger.abandoned,
    );
}

//! The summary at the end, for people and as JSON.

use super::counters::{Both, Snapshot};
use core::fmt;
use serde::Serialize;

/// What the proxy did.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) seed: u64,
    /// How long it ran.
    pub(super) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tcp: Option<Snapshot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) udp: Option<Snapshot>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {:.1} s", self.seed, self.seconds)?;
        if let Some(tcp) = &self.tcp {
            writeln!(f, "TCP")?;
            links(f, tcp, "refused by the upstream", "cuts")?;
            bytes(f, tcp)?;
        }
        if let Some(udp) = &self.udp {
            writeln!(f, "UDP")?;
            links(f, udp, "refused or unreachable", "changes of port")?;
            let Both { up, down } = udp.datagrams;
            directions(f, "datagrams")?;
            row(f, "read", up.read, down.read)?;
            row(f, "duplicated", up.duplicated, down.duplicated)?;
            row(f, "passed", up.passed, down.passed)?;
            row(f, "lost", up.lost, down.lost)?;
            row(f, "overflowed", up.overflowed, down.overflowed)?;
            row(f, "discarded", up.discarded, down.discarded)?;
            row(f, "reordered", up.reordered, down.reordered)?;
            bytes(f, udp)?;
        }
        Ok(())
    }
}

/// The figures of the links; those that are seldom over 0 only when they are.
fn links(f: &mut fmt::Formatter<'_>, snapshot: &Snapshot, refused: &str, cuts: &str) -> fmt::Result {
    let links = &snapshot.links;
    for (name, figure, is_seldom) in [
        ("connections", links.connections, false),
        ("turned away", links.turned_away, true),
        ("failed to be accepted", links.accept_failed, true),
        (refused, links.refused, false),
        (cuts, links.cuts, false),
        ("half-open", links.half_open, true),
        ("broken by one side", links.broken, true),
        ("stalls", links.stalls, false),
    ] {
        if figure > 0 || !is_seldom {
            writeln!(f, "  {name:<24}{figure:>14}")?;
        }
    }
    Ok(())
}

fn bytes(f: &mut fmt::Formatter<'_>, snapshot: &Snapshot) -> fmt::Result {
    let Both { up, down } = snapshot.bytes;
    directions(f, "bytes")?;
    row(f, "read", up.read, down.read)?;
    // Only datagrams are doubled.
    if up.duplicated + down.duplicated > 0 {
        row(f, "duplicated", up.duplicated, down.duplicated)?;
    }
    row(f, "passed", up.passed, down.passed)?;
    row(f, "dropped", up.dropped, down.dropped)?;
    row(f, "discarded", up.discarded, down.discarded)?;
    row(f, "bits flipped", up.flipped_bits, down.flipped_bits)
}

fn directions(f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
    writeln!(f, "  {what:<24}{:>14}{:>16}", "up", "down")
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, up: u64, down: u64) -> fmt::Result {
    writeln!(f, "    {name:<22}{up:>14}{down:>16}")
}

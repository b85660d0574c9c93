//! What a fleet of transparent DTUs has done.

use core::fmt;
use serde::Serialize;

/// What happened, of one device or of all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Counters {
    pub(super) connections: u64,
    pub(super) registrations: u64,
    pub(super) heartbeats: u64,
    /// Registrations and heartbeats that the server has acknowledged.
    pub(super) acknowledged: u64,
    /// Connections that were left because it did not.
    pub(super) unanswered: u64,
    /// Requests that were for the meter.
    pub(super) requests: u64,
    /// Those that it answered, with exceptions, and too late.
    pub(super) answered: u64,
    pub(super) exceptions: u64,
    pub(super) late: u64,
    /// Times that something was cut in two, or glued to what was before.
    pub(super) cut: u64,
    pub(super) glued: u64,
    /// Bytes of noise put in.
    pub(super) noise_bytes: u64,
    /// Bytes from the server that were no request for the meter.
    pub(super) strange_bytes: u64,
    /// Bytes from the meter while there was no connection.
    pub(super) lost_bytes: u64,
}

impl Counters {
    pub(super) const fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.registrations += other.registrations;
        self.heartbeats += other.heartbeats;
        self.acknowledged += other.acknowledged;
        self.unanswered += other.unanswered;
        self.requests += other.requests;
        self.answered += other.answered;
        self.exceptions += other.exceptions;
        self.late += other.late;
        self.cut += other.cut;
        self.glued += other.glued;
        self.noise_bytes += other.noise_bytes;
        self.strange_bytes += other.strange_bytes;
        self.lost_bytes += other.lost_bytes;
    }
}

/// A run, as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) profile: &'static str,
    pub(super) seed: u64,
    pub(super) seconds: f64,
    pub(super) devices: u32,
    /// Devices that were registered at the end.
    pub(super) up: u32,
    #[serde(flatten)]
    pub(super) counters: Counters,
}

impl Summary {
    /// Whether every device is there at the end.
    pub(super) const fn holds(&self) -> bool {
        self.up == self.devices
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profile, seed, seconds, devices, up, counters } = self;
        writeln!(f, "{devices} devices as `{profile}` for {seconds:.1} s, seed {seed}")?;
        writeln!(f, "  up          {up}")?;
        let Counters { connections, registrations, heartbeats, acknowledged, unanswered, .. } = counters;
        writeln!(f, "  connections {connections}")?;
        writeln!(f, "  said        {registrations} registrations, {heartbeats} heartbeats")?;
        // Most kinds want no acknowledgement.
        if acknowledged + unanswered > 0 {
            writeln!(f, "  acks        {acknowledged}; {unanswered} connections left for want of them")?;
        }
        let Counters { requests, answered, exceptions, late, .. } = counters;
        writeln!(f, "  requests    {requests}, answered {answered}")?;
        writeln!(f, "  of those    {exceptions} exceptions, {late} late")?;
        let Counters { cut, glued, noise_bytes, .. } = counters;
        writeln!(f, "  dirt        {cut} cuts, {glued} glued, {noise_bytes} bytes of noise")?;
        let Counters { strange_bytes, lost_bytes, .. } = counters;
        writeln!(f, "  bytes       {strange_bytes} that were no request, {lost_bytes} lost unconnected")?;
        f.write_str(if self.holds() { "every device is registered" } else { "NOT EVERY DEVICE IS REGISTERED" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_fits_80_columns_and_tells_whether_all_are_there() {
        let most = 999_999_999;
        let counters = Counters {
            connections: most,
            registrations: most,
            heartbeats: most,
            acknowledged: most,
            unanswered: most,
            requests: most,
            answered: most,
            exceptions: most,
            late: most,
            cut: most,
            glued: most,
            noise_bytes: most,
            strange_bytes: most,
            lost_bytes: most,
        };
        let mut summary =
            Summary { profile: "fourfaith", seed: u64::MAX, seconds: 86_400.0, devices: 2, up: 2, counters };
        for line in summary.to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(summary.holds() && summary.to_string().ends_with("\nevery device is registered"));
        summary.up = 1;
        assert!(!summary.holds() && summary.to_string().ends_with("\nNOT EVERY DEVICE IS REGISTERED"));
    }
}

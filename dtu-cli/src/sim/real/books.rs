//! What the whole fleet writes into while it runs.

use crate::progress::Figure;
use crate::times::Times;
use core::time::Duration;
use dtu_net::Cause;
use dtu_proto::message::RefuseCode;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How often something happened, by its cause.
pub(super) type ByCause = BTreeMap<Cow<'static, str>, u64>;

#[derive(Debug, Default)]
pub(super) struct Books(Mutex<Pages>);

#[derive(Debug, Default)]
pub(super) struct Pages {
    /// From the start to the first WELCOME of a device.
    pub(super) first_up: Times,
    /// From the loss of a link to the next WELCOME.
    pub(super) recovery: Times,
    /// From sending to the acknowledgement.
    pub(super) acked: Times,
    /// Links that were up.
    pub(super) lost: ByCause,
    /// Dials that came to nothing, the refused ones not among them.
    pub(super) failed: ByCause,
    /// Refusals by the server, by their code.
    pub(super) refused: ByCause,
}

impl Books {
    pub(super) fn open(&self) -> MutexGuard<'_, Pages> {
        // Poison is no concern: no entry panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link that was up is lost.
    pub(super) fn lost(&self, cause: Option<&Cause>) {
        count(&mut self.open().lost, cause.map_or("unknown", Cause::name));
    }

    /// A dial, or the registration behind it, came to nothing.
    pub(super) fn failed(&self, cause: Option<&Cause>) {
        if let Some(Cause::Refused { code, .. }) = cause {
            count(&mut self.open().refused, code_name(*code));
        } else {
            count(&mut self.open().failed, cause.map_or("unknown", Cause::name));
        }
    }

    /// A time, in the column that `column` chooses.
    pub(super) fn time(&self, column: impl FnOnce(&mut Pages) -> &mut Times, time: Duration) {
        column(&mut self.open()).add(time);
    }
}

fn count(by_cause: &mut ByCause, cause: impl Into<Cow<'static, str>>) {
    *by_cause.entry(cause.into()).or_default() += 1;
}

fn code_name(code: RefuseCode) -> Cow<'static, str> {
    match code {
        RefuseCode::PROTOCOL => "protocol".into(),
        RefuseCode::UNAUTHORIZED => "unauthorized".into(),
        RefuseCode::BUSY => "busy".into(),
        RefuseCode(code) => format!("code_{code}").into(),
    }
}

/// Figures for the line on a terminal.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Links that came up, and that were lost again.
    pub(super) up: Figure,
    pub(super) lost: Figure,
    pub(super) dials: Figure,
    pub(super) acked: Figure,
}

impl Live {
    /// The figures as a line; it fits 80 columns up to eight digits each.
    pub(super) fn line(&self, devices: u32) -> String {
        let [up, lost, dials, acked] = [&self.up, &self.lost, &self.dials, &self.acked].map(Figure::read);
        let up = up.saturating_sub(lost);
        format!("up {up}/{devices}  lost {lost}  dials {dials}  acked {acked}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_how_many_are_up_and_fits_80_columns() {
        let live = Live::default();
        (0..3).for_each(|_| live.up.count());
        live.lost.count();
        assert_eq!(live.line(5), "up 2/5  lost 1  dials 0  acked 0");
        (0..7).for_each(|_| live.lost.count());
        assert_eq!(live.line(5), "up 0/5  lost 8  dials 0  acked 0", "they are read one after the other");
        let grown = 4 * "0000000".len();
        assert!("9999.9 s  ".len() + live.line(1_000_000).len() + grown <= 80);
    }
}

//! Who was refused for want of room: no line an event, as there are most of them when there is least time.

use core::time::Duration;
use dtu_net::driver::{Bound, TurnedAway};

/// How often it is told while there are more.
pub(crate) const EVERY: Duration = Duration::from_secs(10);

/// Tells on stderr when there are more than the last time.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    told: TurnedAway,
}

impl Busy {
    pub(crate) fn tell(&mut self, now: TurnedAway) {
        if let Some(text) = text(self.told, now) {
            crate::log::fail(text);
        }
        self.told = now;
    }
}

/// `None` when there are no more than before.
fn text(before: TurnedAway, now: TurnedAway) -> Option<String> {
    let more = now.total().checked_sub(before.total()).filter(|more| *more > 0)?;
    let mut text = format!("{more} refused as busy:");
    let by_bound = Bound::ALL.map(|bound| (bound.name(), now.by(bound).saturating_sub(before.by(bound))));
    for (place, (bound, count)) in by_bound.iter().filter(|(_, count)| *count > 0).enumerate() {
        text += &format!("{} {bound} {count}", if place == 0 { "" } else { "," });
    }
    Some(text)
}

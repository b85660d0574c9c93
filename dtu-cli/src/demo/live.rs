//! Figures that change while the demo runs.

use crate::progress::Figure;

#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) sent: Figure,
    pub(super) acked: Figure,
    pub(super) delivered: Figure,
    pub(super) connects: Figure,
}

impl Live {
    /// The figures as a line; it fits 80 columns up to eight digits each.
    pub(super) fn line(&self) -> String {
        let [sent, acked, delivered, connects] =
            [&self.sent, &self.acked, &self.delivered, &self.connects].map(Figure::read);
        format!("sent {sent}  delivered {delivered}  acked {acked}  connects {connects}")
    }
}

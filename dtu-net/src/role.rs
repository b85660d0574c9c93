//! What a link leaves to its role: what only a device does, or only a server.

/// Which end a [`Link`](crate::Link) is: [`Server`](crate::Server) or [`Device`](crate::Device).
pub trait Role: sealed::Role {}

pub(crate) mod sealed {
    use crate::error::{Cause, Violation};
    use crate::event::Timer;
    use crate::state::Core;
    use crate::wire::Wire;
    use dtu_proto::Message;
    use std::time::Instant;

    pub trait Role {
        /// Takes a message that only this role gets, or that comes before the link is connected. The error ends the
        /// connection.
        fn handle_message(
            &mut self,
            core: &mut Core,
            now: Instant,
            ordered: bool,
            message: &Message<'_>,
        ) -> Result<(), Cause>;

        /// Which rule a message breaks that the connected link does not take.
        fn judge(&self, message: &Message<'_>) -> Violation;

        /// Appends what opens a connection, when it is due.
        fn transmit(&mut self, core: &mut Core, now: Instant, wire: &Wire, out: &mut Vec<u8>) -> bool;

        /// The deadline of the role's own states.
        fn timer(&self, core: &Core) -> Option<(Instant, Timer)>;

        /// Acts upon it. The error ends the connection.
        fn handle_timer(&mut self, core: &mut Core, now: Instant, timer: Timer) -> Result<(), Cause>;

        /// A byte has come; the heartbeat does not know of it yet.
        fn heard(&mut self, _core: &mut Core, _now: Instant) {}

        /// Something has left.
        fn sent(&mut self, _core: &mut Core, _now: Instant) {}

        /// What comes is not read for now.
        fn unread(&mut self) {}

        /// When the silence of the peer has to be acted upon.
        fn silence_deadline(&self, core: &Core) -> Instant;

        /// Acts upon it. The error ends the connection.
        fn handle_silence(&mut self, core: &mut Core, now: Instant) -> Result<(), Cause>;

        /// Why the role ends the connection now, when it does.
        fn leaves(&self, _: &Core) -> Option<Cause> {
            None
        }

        /// The connection is over: decides what follows. The error ends the link.
        fn lost(&mut self, core: &mut Core, now: Instant, cause: Cause) -> Result<(), Cause>;
    }
}

//! What must be true of one end at every step.

use super::scene::{End, Scene};
use super::side::Side;
use core::time::Duration;
use dtu_net::link::Role;
use dtu_net::{Carrier, Cause, Received, State, Violation};
use dtu_proto::message::CloseCode;

/// The memory of one entry besides its body: in the outbox, in the queue for the application, out of order.
const OUTBOX_ENTRY: usize = 96;
const QUEUE_ENTRY: usize = size_of::<Received>();
const EARLY_ENTRY: usize = 48;
/// The bytes of a frame that carries DATA besides its body.
const DATA_FRAME: usize = 10 + 6;

impl<R: Role> Side<R> {
    fn silence(&self) -> Duration {
        match self.end {
            End::Device => self.link.limits().device_silence(),
            End::Server => self.link.limits().server_silence(),
        }
    }

    /// Doubt and death come exactly when they have to. Where nothing was read for the application, they come later.
    pub(crate) fn judge_silence(&self, now: u64, state: State, cause: Option<Cause>) {
        let limits = self.link.limits();
        let since = Duration::from_micros(now - self.heard);
        let due = match (state, cause) {
            (State::Suspect, _) => limits.heartbeat + limits.probe_timeout,
            (_, Some(Cause::Silent { limit })) => {
                assert_eq!(limit, self.silence());
                limit
            }
            _ => return,
        };
        assert!(since == due || self.unread && since > due, "{state:?} after {since:?} of silence instead of {due:?}");
    }

    pub(crate) fn check(&mut self, scene: &Scene) {
        let ledger = self.link.counters().ledger;
        assert!(ledger.balances(), "{ledger:?}");
        assert_eq!(ledger, self.expected, "{:?}: the ledger is that of the outcomes", self.end);
        self.unread |= !self.link.wants_bytes();
        let since = Duration::from_micros(scene.now - self.heard);
        assert!(
            !self.link.state().is_up() || self.unread || since <= self.silence(),
            "{:?} is up after {since:?} of silence",
            self.end
        );
        let (memory, bound) = (self.link.memory(), self.memory_bound(scene));
        assert!(memory <= bound, "{:?} holds {memory} bytes of at most {bound}", self.end);
    }

    /// The outbox: its bytes, and an entry for each frame. On a stream: `receive`, then what one more read can bring, with
    /// the frame before that it ends, in the shortest DATA there is; and the next frame, incomplete. On datagrams: `receive`,
    /// then a window that one datagram sets free, and another that waits for it.
    fn memory_bound(&self, scene: &Scene) -> usize {
        let limits = self.link.limits();
        let outbox = limits.outbox.bytes.min(self.pending_bytes) + limits.outbox.frames * OUTBOX_ENTRY;
        let frame = usize::from(limits.max_payload) + 10;
        let inbox = match scene.config.carrier {
            Carrier::Stream => {
                let read = frame + scene.config.piece.max(64);
                limits.receive + read + (read / DATA_FRAME + 1) * QUEUE_ENTRY + frame
            }
            Carrier::Datagrams => {
                let window = usize::from(limits.window);
                limits.receive + QUEUE_ENTRY + window * (2 * limits.max_body() + QUEUE_ENTRY + EARLY_ENTRY)
            }
        };
        outbox + inbox
    }
}

/// Between two honest ends only damaged bytes break a rule, and only by what is missing.
pub(crate) fn judge(scene: &Scene, cause: &Cause) {
    let dirty = scene.is_ordered() && !scene.config.intact;
    let is_missing = matches!(cause, Cause::Violation(Violation::Gap { .. } | Violation::FirstMessage { .. }));
    let is_said = *cause == Cause::PeerClosed(CloseCode::PROTOCOL);
    assert!(dirty && (is_missing || is_said) || !is_said && !matches!(cause, Cause::Violation(_)), "{cause}");
}

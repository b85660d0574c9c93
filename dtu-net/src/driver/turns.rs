//! How the task of a connection takes its turns on the link, whatever carries it, and sleeps in between.

use super::now;
use super::rota::{Rota, Watched};
use super::shared::{Inner, Shared};
use crate::event::Epoch;
use crate::limits::after;
use crate::link::Role;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::time::Instant;
use tokio::time::{Sleep, sleep_until};

/// What came of one turn.
pub(crate) struct Turn {
    /// The transport may give more at once.
    pub(crate) more: bool,
    /// The transport has taken everything that was to leave.
    pub(crate) left: bool,
}

#[derive(Default)]
pub(crate) struct Turns {
    alarm: Alarm,
    /// When the connection is over: until when its last words may leave. A peer that takes nothing does not hold it for ever.
    leave_by: Option<Instant>,
}

impl Turns {
    /// Takes turns until there is nothing to do at the moment. Ready when the connection is over and its last words have left,
    /// or had their time.
    pub(crate) fn poll<R: Role>(
        &mut self,
        context: &mut Context<'_>,
        shared: &Arc<Shared<R>>,
        epoch: Epoch,
        rota: Option<&Rota<R>>,
        mut turn: impl FnMut(&mut Context<'_>, &mut Inner<R>, Instant) -> Turn,
    ) -> Poll<()> {
        loop {
            let (more, over, deadline, watched) = shared.task(|inner, now| {
                let Turn { more, left } = turn(context, inner, now);
                if inner.link.is_live(epoch) {
                    inner.sleep(context.waker());
                    let deadline = inner.link.poll_timeout().map(|(deadline, _)| deadline);
                    let watched = rota.zip(deadline).map(|(rota, deadline)| rota.watches(inner, now, deadline));
                    return (more, false, deadline, watched.unwrap_or(Watched::No));
                }
                let leave_by = *self.leave_by.get_or_insert(after(now, inner.link.limits().linger));
                (more, left || leave_by <= now, Some(leave_by), Watched::No)
            });
            if over {
                return Poll::Ready(());
            }
            let rang = match (watched, rota) {
                (Watched::From(round), Some(rota)) => {
                    rota.take(Arc::clone(shared), round);
                    self.alarm.rest(context)
                }
                (Watched::Already, _) => self.alarm.rest(context),
                (Watched::From(_) | Watched::No, _) => self.alarm.poll(context, deadline),
            };
            if !more && !rang {
                return Poll::Pending;
            }
        }
    }
}

/// The one timer of a connection. It is set again only when it has to ring earlier, or has rung.
#[derive(Default)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// There is no deadline that it has to ring for: one that rings in vain is not set anew. Returns `false`, as it does not count.
    fn rest(&mut self, context: &mut Context<'_>) -> bool {
        self.sleep.take_if(|sleep| sleep.as_mut().poll(context).is_ready());
        false
    }

    /// Returns whether `deadline` has come; otherwise the task is woken then.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else { return false };
        let deadline = tokio::time::Instant::from_std(deadline);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if sleep.deadline() >= deadline || deadline.into_std() <= now() {
                // It has rung: it is set anew for the next deadline.
                self.sleep = None;
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
        false
    }
}

//! A connection from its acceptance to its end: who is it, may it in, whose session is it.

use super::super::entrance::{Entrance, Place};
use super::super::linger::linger;
use super::super::now;
use super::super::tap::Tap;
use super::carriage::Carriage;
use super::hub::Hub;
use super::registry::{Admitted, Refusal, Registry};
use super::server::Known;
use super::session::TransparentSession;
use crate::error::Cause;
use crate::limits::LINGER;
use crate::transparent::{Identified, Profile, Reception, ReceptionEvent, Unknown};
use core::future::poll_fn;
use core::mem::MaybeUninit;
use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, ready};
use dtu_proto::message::RefuseCode;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

/// Bytes that are read at once from a peer that has not been identified.
const READ: usize = 1024;

/// What all connections of a server share.
pub(super) struct House {
    pub(super) profile: Arc<Profile>,
    pub(super) entrance: Arc<Entrance>,
    pub(super) registry: Registry,
    pub(super) known: Option<Known>,
    pub(super) tap: Option<Arc<dyn Tap>>,
    pub(super) hub: Hub,
    /// New sessions, for the application.
    pub(super) accepted: mpsc::Sender<TransparentSession>,
    pub(super) refused: AtomicU64,
    pub(super) cancel: CancellationToken,
}

impl House {
    /// A connection from its acceptance to its end. `opened` gives the stream, or the reason why there is none.
    pub(super) async fn receive<S>(
        self: Arc<Self>,
        opened: impl Future<Output = io::Result<S>> + Send,
        peer: SocketAddr,
        mut place: Place,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        place.begin();
        let entering = async {
            let mut stream = opened.await.map_err(|error| {
                let is_gone = error.kind() == io::ErrorKind::UnexpectedEof;
                (None, if is_gone { Cause::Disconnected } else { Cause::Transport(error.kind()) })
            })?;
            match self.identify(&mut stream).await {
                Ok(identified) => Ok((stream, identified)),
                Err(cause) => Err((Some(stream), cause)),
            }
        };
        let going_down = Err((None, Cause::TurnedAway(RefuseCode::BUSY)));
        let (stream, identified) = match self.cancel.run_until_cancelled(entering).await.unwrap_or(going_down) {
            Ok(entered) => entered,
            Err((stream, cause)) => {
                self.refuse(peer, None, cause);
                return self.leave(stream, place).await;
            }
        };
        let device: Arc<str> = identified.registration.id().into();
        match self.admit(identified, peer) {
            Ok(admitted) => self.carry(stream, admitted, place).await,
            Err(Refusal { cause, bound }) => {
                if let Some(bound) = bound {
                    self.entrance.turn_away(bound);
                }
                self.refuse(peer, Some(device), cause);
                self.leave(Some(stream), place).await;
            }
        }
    }

    fn refuse(&self, peer: SocketAddr, device: Option<Arc<str>>, cause: Cause) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.hub.refused(peer, device, cause);
    }

    async fn leave<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: Option<S>, mut place: Place) {
        place.refuse();
        if let Some(stream) = stream {
            linger(stream, LINGER).await;
        }
    }

    /// Finds out whose connection it is, within the deadline and the bytes that a stranger has.
    async fn identify<S: AsyncRead + Unpin>(&self, stream: &mut S) -> Result<Identified, Cause> {
        let mut reception = Reception::new(Arc::clone(&self.profile), now());
        loop {
            match reception.poll_event() {
                Some(ReceptionEvent::Identified(identified)) => return Ok(identified),
                Some(ReceptionEvent::Over(cause)) => return Err(cause),
                None => {}
            }
            let deadline = reception.poll_timeout().unwrap_or_else(now);
            tokio::select! {
                biased;
                () = poll_fn(|context| poll_reception(stream, &mut reception, context)) => {}
                () = sleep_until(deadline.into()) => reception.handle_timeout(now()),
            }
        }
    }

    fn admit(&self, identified: Identified, peer: SocketAddr) -> Result<Admitted, Refusal> {
        let is_known = |id: &str| self.known.as_ref().is_some_and(|known| known(id));
        if self.profile.unknown() == Unknown::Refuse && !is_known(identified.registration.id()) {
            return Err(Refusal::new(Cause::UnknownDevice));
        }
        self.registry.admit(identified, peer)
    }

    async fn carry<S>(&self, stream: S, admitted: Admitted, mut place: Place)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Admitted { shared, epoch, new } = admitted;
        if let Some(session) = new {
            place.wait();
            // An application that accepts no more has dropped the server, and the session closes with its hand.
            let _dropped = self.cancel.run_until_cancelled(self.accepted.send(session)).await;
        }
        place.admit();
        let mut carriage = Carriage::new(stream, shared, epoch);
        (&mut carriage).await;
        if let Some(stream) = carriage.into_stream() {
            linger(stream, LINGER).await;
        }
    }
}

/// Reads once. The bytes are on the stack: thousands wait here at a time.
fn poll_reception<S>(stream: &mut S, reception: &mut Reception, context: &mut Context<'_>) -> Poll<()>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = [MaybeUninit::uninit(); READ];
    let mut bytes = ReadBuf::uninit(&mut bytes);
    match ready!(Pin::new(stream).poll_read(context, &mut bytes)) {
        Ok(()) if bytes.filled().is_empty() => reception.handle_disconnected(Cause::Disconnected),
        Ok(()) => reception.handle_bytes(now(), bytes.filled()),
        Err(error) => reception.handle_disconnected(Cause::Transport(error.kind())),
    }
    Poll::Ready(())
}

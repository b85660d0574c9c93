//! A connection from its acceptance to its end: who is it, may it in, whose session is it.

use super::carriage::Carriage;
use super::hub::Hub;
use super::linger::linger;
use super::now;
use super::registry::{Admitted, Registry};
use super::session::Session;
use super::shared::Shared;
use super::udp::drops::Drops;
use crate::auth::NONCE_LEN;
use crate::error::Cause;
use crate::event::Epoch;
use crate::handshake::{Handshake, HandshakeEvent, Registration};
use crate::keys::KeyStore;
use crate::limits::Limits;
use crate::server::Server;
use crate::wire::Carrier;
use core::mem;
use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, ready};
use core::time::Duration;
use dtu_proto::message::{DeviceId, RefuseCode};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// What a device is told when there is no room for it or its connection, or when its key cannot be looked up.
pub(crate) const BUSY_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Bytes that are read at once from a peer that has not been identified.
const READ: usize = 1024;

/// Who may in besides the key: sees each registration, on the task of its connection, and must not block.
pub type Admission = Arc<dyn Fn(&Registration) -> Result<(), RefuseCode> + Send + Sync>;

/// What all connections of a server share.
pub(crate) struct House {
    pub(crate) limits: Arc<Limits>,
    pub(crate) keys: Option<Arc<dyn KeyStore>>,
    pub(crate) admission: Option<Admission>,
    pub(crate) registry: Registry,
    pub(crate) hub: Hub,
    /// New sessions, for the application.
    pub(crate) accepted: mpsc::Sender<Session>,
    pub(crate) refused: AtomicU64,
    /// The end of the server.
    pub(crate) cancel: CancellationToken,
    /// Datagrams that did nothing.
    pub(crate) drops: Drops,
}

impl House {
    /// Answers a registration: asks for the key, so that nothing is said of a device that has not proved itself; without keys
    /// judges it at once. Returns whether the device is in.
    pub(crate) fn answer(&self, handshake: &mut Handshake, registration: &Registration) -> bool {
        let now = now();
        let Some(keys) = &self.keys else { return self.judge(handshake, registration) };
        let mut nonce = [0; NONCE_LEN];
        let id = DeviceId::new(&registration.device).expect("the handshake took it from a REGISTER");
        match (keys.key(id), getrandom::fill(&mut nonce)) {
            (Ok(key), Ok(())) => handshake.challenge(now, nonce, key),
            (Err(error), _) => {
                tracing::error!(device = %registration.device, %error, "the key cannot be looked up");
                handshake.refuse(now, RefuseCode::BUSY, BUSY_RETRY_AFTER);
            }
            (_, Err(error)) => {
                tracing::error!(%error, "the system gives no random number");
                handshake.refuse(now, RefuseCode::BUSY, BUSY_RETRY_AFTER);
            }
        }
        false
    }

    /// Judges a device that has proved itself as far as it had to: lets it in, or refuses it. Returns whether it is in.
    pub(crate) fn judge(&self, handshake: &mut Handshake, registration: &Registration) -> bool {
        let now = now();
        if let Some(Err(code)) = self.admission.as_ref().map(|admission| admission(registration)) {
            handshake.refuse(now, code, self.limits.unwanted);
            return false;
        }
        if !self.registry.has_room_for(&registration.device) {
            handshake.refuse(now, RefuseCode::BUSY, BUSY_RETRY_AFTER);
            return false;
        }
        true
    }

    /// Gives an identified connection to its session. `None` when that was closed meanwhile.
    pub(crate) fn admit(&self, device: &str, handshake: Handshake) -> Option<Admitted> {
        match self.registry.admit(device, handshake) {
            Ok(admitted) => admitted,
            Err(error) => {
                tracing::error!(%error, "the system gives no random number");
                None
            }
        }
    }

    pub(crate) fn refuse(&self, peer: SocketAddr, device: Option<&str>, cause: Cause) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.hub.refused(peer, device.map(Into::into), cause);
    }

    /// Finds out whose connection it is, as far as it comes before the end of the server. `None` when there is no stream.
    async fn enter<S>(&self, opened: impl Future<Output = io::Result<S>>, peer: SocketAddr) -> Option<Entered<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limit = self.limits.identify;
        let identified = async {
            match timeout(limit, opened).await {
                Ok(Ok(stream)) => Ok(self.identify(stream, peer).await),
                Ok(Err(error)) => Err(Cause::Transport(error.kind())),
                Err(_) => Err(Cause::NotIdentified { limit }),
            }
        };
        let going_down = Err(Cause::TurnedAway(RefuseCode::BUSY));
        match self.cancel.run_until_cancelled(identified).await.unwrap_or(going_down) {
            Ok(entered) => Some(entered),
            Err(cause) => {
                self.refuse(peer, None, cause);
                None
            }
        }
    }

    /// Finds out whose connection it is, within the deadline and the bytes that a stranger has.
    async fn identify<S>(&self, mut stream: S, peer: SocketAddr) -> Entered<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut handshake = Handshake::new(Arc::clone(&self.limits), Carrier::Stream, 0, now());
        let (mut out, mut bytes) = (Vec::new(), [0; READ]);
        let mut claimed: Option<Registration> = None;
        loop {
            let admitted = match handshake.poll_event() {
                Some(HandshakeEvent::Register(registration)) => {
                    let admitted = self.answer(&mut handshake, &registration);
                    claimed = Some(registration);
                    admitted
                }
                Some(HandshakeEvent::Proven) => {
                    claimed.as_ref().is_some_and(|registration| self.judge(&mut handshake, registration))
                }
                Some(HandshakeEvent::Over(cause)) => {
                    self.refuse(peer, claimed.as_ref().map(|registration| &*registration.device), cause);
                    false
                }
                None => false,
            };
            if admitted {
                return (stream, claimed.map(|registration| (registration.device, handshake)));
            }
            out.clear();
            if handshake.poll_transmit(&mut out) {
                // A few bytes, which an empty socket buffer takes; a peer that lets none through has the same deadline.
                let limit = self.limits.identify;
                let written = timeout(limit, async {
                    stream.write_all(&out).await?;
                    stream.flush().await
                });
                match written.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => handshake.handle_disconnected(Cause::Transport(error.kind())),
                    Err(_) => handshake.handle_disconnected(Cause::NotIdentified { limit }),
                }
                continue;
            }
            if handshake.is_over() {
                return (stream, None);
            }
            let deadline = handshake.poll_timeout().map(|(deadline, _)| deadline.into());
            tokio::select! {
                read = stream.read(&mut bytes) => match read {
                    Ok(0) => handshake.handle_disconnected(Cause::Disconnected),
                    Ok(count) => handshake.handle_bytes(now(), bytes.get(..count).unwrap_or_default()),
                    Err(error) => handshake.handle_disconnected(Cause::Transport(error.kind())),
                },
                () = sleep_until(deadline.unwrap_or_else(|| now().into())), if deadline.is_some() => {
                    handshake.handle_timeout(now());
                }
            }
        }
    }
}

/// The stream of a connection; and whose it is, when that device may in.
type Entered<S> = (S, Option<(Box<str>, Handshake)>);

/// A connection from its acceptance to its end. It is what the task of an idle session holds, so what is long and short-lived
/// is on the heap.
pub(crate) struct Connection<S> {
    house: Arc<House>,
    _seat: OwnedSemaphorePermit,
    stage: Stage<S>,
}

/// A future on the heap.
type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

enum Stage<S> {
    Entering(Later<Option<Entered<S>>>),
    /// The application has to make room for a new session.
    Offering(Later<(S, Arc<Shared<Server>>, Epoch)>),
    Carried(Carriage<S, Server>),
    Leaving(Later<()>),
    Over,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<S> {
    /// `opened` gives the stream, or the reason why there is none.
    pub(crate) fn new(
        house: Arc<House>,
        seat: OwnedSemaphorePermit,
        opened: impl Future<Output = io::Result<S>> + Send + 'static,
        peer: SocketAddr,
    ) -> Self {
        let host = Arc::clone(&house);
        let entered = Box::pin(async move { host.enter(opened, peer).await });
        Self { house, _seat: seat, stage: Stage::Entering(entered) }
    }

    /// Gives the connection to its session, and a new session to the application.
    fn admit(&self, stream: S, device: &str, handshake: Handshake) -> Stage<S> {
        let Some(Admitted { shared, epoch, new }) = self.house.admit(device, handshake) else {
            return self.leaving(stream);
        };
        let Some(session) = new else { return Stage::Carried(Carriage::new(stream, shared, epoch)) };
        match self.house.accepted.try_send(session) {
            // An application that accepts no more has dropped the server, and the session closes with its hand.
            Ok(()) | Err(TrySendError::Closed(_)) => Stage::Carried(Carriage::new(stream, shared, epoch)),
            Err(TrySendError::Full(session)) => {
                let house = Arc::clone(&self.house);
                Stage::Offering(Box::pin(async move {
                    let _dropped = house.cancel.run_until_cancelled(house.accepted.send(session)).await;
                    (stream, shared, epoch)
                }))
            }
        }
    }

    fn leaving(&self, stream: S) -> Stage<S> {
        Stage::Leaving(Box::pin(linger(stream, self.house.limits.linger)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            self.stage = match &mut self.stage {
                Stage::Entering(entered) => {
                    let entered = ready!(entered.as_mut().poll(context));
                    // What that took on the heap is free before the session takes its place there.
                    self.stage = Stage::Over;
                    match entered {
                        Some((stream, Some((device, handshake)))) => self.admit(stream, &device, handshake),
                        Some((stream, None)) => self.leaving(stream),
                        None => Stage::Over,
                    }
                }
                Stage::Offering(offered) => {
                    let (stream, shared, epoch) = ready!(offered.as_mut().poll(context));
                    Stage::Carried(Carriage::new(stream, shared, epoch))
                }
                Stage::Carried(carriage) => {
                    ready!(Pin::new(carriage).poll(context));
                    let Stage::Carried(carriage) = mem::replace(&mut self.stage, Stage::Over) else { continue };
                    match carriage.into_stream() {
                        (stream, true) => self.leaving(stream),
                        (_, false) => Stage::Over,
                    }
                }
                Stage::Leaving(left) => {
                    ready!(left.as_mut().poll(context));
                    Stage::Over
                }
                Stage::Over => return Poll::Ready(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Carriage, Connection, Server, Session, Shared};
    use crate::link::Link;
    use tokio::net::TcpStream;
    use tokio::time::Sleep;

    /// What an idle session of a TCP device takes here, in bytes, besides the buffers of the runtime. The task of its
    /// connection has a quarter of a KiB, 104 bytes of which are the runtime's own.
    #[test]
    fn an_idle_session_takes_few_bytes() {
        let sizes = [
            ("link", size_of::<Link<Server>>(), 832),
            ("what tasks and handles share", size_of::<Shared<Server>>(), 984),
            ("carriage", size_of::<Carriage<TcpStream, Server>>(), 104),
            ("connection", size_of::<Connection<TcpStream>>(), 136),
            ("timer", size_of::<Sleep>(), 112),
            ("recv", future_size(|session: &'static Session| session.recv()), 32),
        ];
        for (what, size, bound) in sizes {
            println!("{what}: {size} bytes, at most {bound}");
        }
        assert!(sizes.iter().all(|(_, size, bound)| size <= bound), "{sizes:?}");
    }

    fn future_size<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }
}

//! A connection from its acceptance to its end: who is it, may it in, whose session is it.

use super::carriage::Carriage;
use super::entrance::{Entrance, FULL_RETRY_AFTER, Place};
use super::hub::Hub;
use super::linger::linger;
use super::now;
use super::registry::{Admitted, Registry};
use super::session::Session;
use super::shared::Shared;
use super::tap::{Tap, Way};
use super::udp::drops::Drops;
use crate::auth::NONCE_LEN;
use crate::error::Cause;
use crate::event::Epoch;
use crate::handshake::{Handshake, HandshakeEvent, Registration};
use crate::keys::KeyStore;
use crate::limits::Limits;
use crate::server::Server;
use crate::wire::Carrier;
use core::future::poll_fn;
use core::mem::{self, MaybeUninit};
use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, ready};
use dtu_proto::message::{DeviceId, RefuseCode};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Bytes that are read at once from a peer that has not been identified.
const READ: usize = 1024;

/// Who may in besides the key: sees each registration, on the task of its connection, and must not block.
pub type Admission = Arc<dyn Fn(&Registration) -> Result<(), RefuseCode> + Send + Sync>;

/// What all connections of a server share.
pub(crate) struct House {
    pub(crate) limits: Arc<Limits>,
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) keys: Option<Arc<dyn KeyStore>>,
    pub(crate) admission: Option<Admission>,
    pub(crate) tap: Option<Arc<dyn Tap>>,
    pub(crate) registry: Registry,
    pub(crate) hub: Hub,
    /// New sessions, for the application.
    pub(crate) accepted: mpsc::Sender<Session>,
    pub(crate) refused: AtomicU64,
    /// The end of the server.
    pub(crate) cancel: CancellationToken,
    /// The same for connections that are not identified.
    pub(crate) ends: Ends,
    /// Datagrams that did nothing.
    pub(crate) drops: Drops,
}

/// The end of the server for those of whom thousands wait for it in a storm. Each token keeps who waits in one list under one
/// lock, for which all processors would contend.
pub(crate) struct Ends([CancellationToken; 16]);

impl Ends {
    pub(crate) fn new(cancel: &CancellationToken) -> Self {
        Self(core::array::from_fn(|_| cancel.child_token()))
    }

    fn of(&self, peer: SocketAddr) -> &CancellationToken {
        let Self(ends) = self;
        // Ports are dealt out in steps of two.
        let number = usize::from(peer.port() / 2) % ends.len();
        ends.get(number).expect("a remainder is below its divisor")
    }
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
                tracing::error!(device = &*registration.device, %error, "the key cannot be looked up");
                handshake.refuse(now, RefuseCode::BUSY, FULL_RETRY_AFTER);
            }
            (_, Err(error)) => {
                tracing::error!(%error, "the system gives no random number");
                handshake.refuse(now, RefuseCode::BUSY, FULL_RETRY_AFTER);
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
        if let Err(full) = self.registry.judge(&registration.device, now) {
            self.entrance.turn_away(full.bound);
            handshake.refuse(now, RefuseCode::BUSY, full.retry_after);
            return false;
        }
        true
    }

    /// Gives an identified connection to its session. `None` when that was closed meanwhile.
    pub(crate) fn admit(&self, device: &str, peer: SocketAddr, handshake: Handshake) -> Option<Admitted> {
        match self.registry.admit(device, peer, handshake) {
            Ok(admitted) => admitted,
            Err(error) => {
                tracing::error!(%error, "the system gives no random number");
                None
            }
        }
    }

    /// Shows a datagram to the tap, where there is one.
    pub(crate) fn tap_datagram(&self, socket: &UdpSocket, peer: SocketAddr, way: Way, bytes: &[u8]) {
        if let Some(tap) = &self.tap
            && let Ok(local) = socket.local_addr()
        {
            tap.datagram(peer, local, way, bytes);
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
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Cause::Disconnected),
                Ok(Err(error)) => Err(Cause::Transport(error.kind())),
                Err(_) => Err(Cause::NotIdentified { limit }),
            }
        };
        let going_down = Err(Cause::TurnedAway(RefuseCode::BUSY));
        match self.ends.of(peer).run_until_cancelled(identified).await.unwrap_or(going_down) {
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
        let mut out = Vec::new();
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
                return (stream, claimed.map(|registration| (registration.device, peer, handshake)));
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
                // Most have said who they are when they have their turn, and need no timer.
                biased;
                () = poll_fn(|context| poll_handshake(&mut stream, &mut handshake, context)) => {}
                () = sleep_until(deadline.unwrap_or_else(|| now().into())), if deadline.is_some() => {
                    handshake.handle_timeout(now());
                }
            }
        }
    }
}

/// Reads once. The bytes are on the stack: thousands wait here at a time.
fn poll_handshake<S>(stream: &mut S, handshake: &mut Handshake, context: &mut Context<'_>) -> Poll<()>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = [MaybeUninit::uninit(); READ];
    let mut bytes = ReadBuf::uninit(&mut bytes);
    match ready!(Pin::new(stream).poll_read(context, &mut bytes)) {
        Ok(()) if bytes.filled().is_empty() => handshake.handle_disconnected(Cause::Disconnected),
        Ok(()) => handshake.handle_bytes(now(), bytes.filled()),
        Err(error) => handshake.handle_disconnected(Cause::Transport(error.kind())),
    }
    Poll::Ready(())
}

/// The stream of a connection; and whose it is and where it comes from, when that device may in.
type Entered<S> = (S, Option<(Box<str>, SocketAddr, Handshake)>);

/// A connection from its acceptance to its end. It is what the task of an idle session holds, so what is long and short-lived
/// is on the heap.
pub(crate) struct Connection<S> {
    house: Arc<House>,
    place: Place,
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
        place: Place,
        opened: impl Future<Output = io::Result<S>> + Send + 'static,
        peer: SocketAddr,
    ) -> Self {
        let host = Arc::clone(&house);
        let entered = Box::pin(async move { host.enter(opened, peer).await });
        Self { house, place, stage: Stage::Entering(entered) }
    }

    /// Gives the connection to its session, and a new session to the application.
    fn admit(&mut self, stream: S, device: &str, peer: SocketAddr, handshake: Handshake) -> Stage<S> {
        let Some(Admitted { shared, epoch, new }) = self.house.admit(device, peer, handshake) else {
            return self.leaving(stream);
        };
        let offered = new.map_or(Ok(()), |session| self.house.accepted.try_send(session));
        match offered {
            // An application that accepts no more has dropped the server, and the session closes with its hand.
            Ok(()) | Err(TrySendError::Closed(_)) => self.carried(stream, shared, epoch),
            Err(TrySendError::Full(session)) => {
                self.place.wait();
                let house = Arc::clone(&self.house);
                Stage::Offering(Box::pin(async move {
                    let _dropped = house.cancel.run_until_cancelled(house.accepted.send(session)).await;
                    (stream, shared, epoch)
                }))
            }
        }
    }

    fn carried(&mut self, stream: S, shared: Arc<Shared<Server>>, epoch: Epoch) -> Stage<S> {
        self.place.admit();
        let rota = Some(Arc::clone(self.house.registry.rota()));
        Stage::Carried(Carriage::new(stream, shared, epoch, rota))
    }

    fn leaving(&mut self, stream: S) -> Stage<S> {
        self.place.refuse();
        Stage::Leaving(Box::pin(linger(stream, self.house.limits.linger)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            this.stage = match &mut this.stage {
                Stage::Entering(entered) => {
                    this.place.begin();
                    let entered = ready!(entered.as_mut().poll(context));
                    // What that took on the heap is free before the session takes its place there.
                    this.stage = Stage::Over;
                    match entered {
                        Some((stream, Some((device, peer, handshake)))) => this.admit(stream, &device, peer, handshake),
                        Some((stream, None)) => this.leaving(stream),
                        None => Stage::Over,
                    }
                }
                Stage::Offering(offered) => {
                    let (stream, shared, epoch) = ready!(offered.as_mut().poll(context));
                    this.carried(stream, shared, epoch)
                }
                Stage::Carried(carriage) => {
                    ready!(Pin::new(carriage).poll(context));
                    let Stage::Carried(carriage) = mem::replace(&mut this.stage, Stage::Over) else { continue };
                    let (shared, stream, may_read) = carriage.into_parts();
                    this.house.registry.left(&shared);
                    if may_read { this.leaving(stream) } else { Stage::Over }
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

    /// What an idle session of a TCP device takes here, in bytes, besides the buffers of the runtime. The task of its
    /// connection has a quarter of a KiB, 104 bytes of which are the runtime's own.
    #[test]
    fn an_idle_session_takes_few_bytes() {
        let sizes = [
            ("link", size_of::<Link<Server>>(), 376),
            ("what tasks and handles share", size_of::<Shared<Server>>(), 560),
            ("carriage", size_of::<Carriage<TcpStream, Server>>(), 112),
            ("connection", size_of::<Connection<TcpStream>>(), 144),
            ("ready", future_size(|session: &'static Session| session.ready()), 24),
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

//! A device on streams that the application dials itself.

use super::client::{Client, ClientConfig, Connect, carry, in_time, keep};
use super::shared::Shared;
use crate::device::Device;
use crate::event::Epoch;
use core::marker::PhantomData;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

impl Client {
    /// As [`start`](Self::start) on streams of the application's own: through a proxy or a tunnel, within a process, or over a
    /// network that a simulator cuts.
    ///
    /// `dial` is called for each try, when its time has come by the backoff; the future is dropped when the dial takes longer
    /// than [`Limits::connect`](crate::Limits::connect) or the link is closed. An error is the end of that try.
    /// [`local_ip`](ClientConfig::local_ip) means nothing here.
    ///
    /// # Errors
    ///
    /// When the system gives no random number.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use dtu_net::DeviceConfig;
    /// use dtu_net::driver::{Client, ClientConfig};
    /// use tokio::net::UnixStream;
    /// use tokio_util::sync::CancellationToken;
    ///
    /// # fn start() -> Result<Client, Box<dyn core::error::Error>> {
    /// let config = ClientConfig::new(DeviceConfig::new("meter-7")?);
    /// let client = Client::start_on(|| UnixStream::connect("/run/tunnel"), config, CancellationToken::new())?;
    /// # Ok(client)
    /// # }
    /// ```
    pub fn start_on<D, F, S>(dial: D, config: ClientConfig, cancel: CancellationToken) -> io::Result<Self>
    where
        D: FnMut() -> F + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (client, shared) = Self::new(config, None)?;
        let way = OwnStreams { dial, streams: PhantomData::<fn() -> F> };
        client.tasks().spawn(keep(shared, cancel, way, client.tasks().clone()));
        client.tasks().close();
        Ok(client)
    }
}

struct OwnStreams<D, F> {
    dial: D,
    streams: PhantomData<fn() -> F>,
}

impl<D, F, S> Connect for OwnStreams<D, F>
where
    D: FnMut() -> F + Send,
    F: Future<Output = io::Result<S>> + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    async fn connect(&mut self, shared: &Arc<Shared<Device>>, epoch: Epoch, tasks: &TaskTracker) -> io::Result<()> {
        if let Some(stream) = in_time(shared, epoch, (self.dial)()).await? {
            carry(shared, epoch, stream, tasks).await;
        }
        Ok(())
    }
}

//! How a client reaches an address: from which of its own, and which of the target's are of use.

use super::now;
use super::turns::Alarm;
use crate::dial::{Attempt, Race};
use core::fmt;
use core::future::poll_fn;
use core::mem;
use core::net::{IpAddr, SocketAddr};
use core::pin::Pin;
use core::task::Poll;
use std::io;
use tokio::net::{TcpSocket, TcpStream};

/// Why nothing could be dialled, although there was an answer. It comes inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address at all.
    NoAddress,
    /// The target has addresses, and none is of the family of `local_ip`.
    OtherFamily {
        /// [`ClientConfig::local_ip`](super::ClientConfig::local_ip).
        local_ip: IpAddr,
        /// How many addresses the target has.
        addresses: usize,
    },
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("the name has no address"),
            Self::OtherFamily { local_ip, addresses } => {
                write!(f, "none of its {addresses} addresses is of the family of local_ip {local_ip}")
            }
        }
    }
}

impl core::error::Error for DialError {}

impl From<DialError> for io::Error {
    fn from(error: DialError) -> Self {
        let kind = match error {
            DialError::NoAddress => io::ErrorKind::NotFound,
            DialError::OtherFamily { .. } => io::ErrorKind::AddrNotAvailable,
        };
        Self::new(kind, error)
    }
}

/// Those of a target's addresses that can be reached from `local_ip`; all of them without one.
pub(crate) fn of_family(mut all: Vec<SocketAddr>, local_ip: Option<IpAddr>) -> Result<Vec<SocketAddr>, DialError> {
    let addresses = all.len();
    if addresses == 0 {
        return Err(DialError::NoAddress);
    }
    if let Some(local_ip) = local_ip {
        all.retain(|address| address.is_ipv4() == local_ip.is_ipv4());
        if all.is_empty() {
            return Err(DialError::OtherFamily { local_ip, addresses });
        }
    }
    Ok(all)
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Connects by TCP to the first of `addresses` that is there; attempts that lose are dropped. Without one, the error is
/// that of the last attempt to fail.
pub(crate) async fn race(addresses: Vec<SocketAddr>, local_ip: Option<IpAddr>) -> io::Result<TcpStream> {
    let mut race = Race::new(addresses, now());
    let mut running: Vec<(Attempt, Connecting)> = Vec::new();
    let mut alarm = Alarm::default();
    let mut failed = io::Error::from(DialError::NoAddress);
    poll_fn(|context| {
        loop {
            while let Some((attempt, address)) = race.poll_attempt(now()) {
                running.push((attempt, Box::pin(connect(address, local_ip))));
            }
            let mut won = None;
            running.retain_mut(|(attempt, connecting)| match connecting.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(Ok(stream)) => {
                    won = Some(stream);
                    false
                }
                Poll::Ready(Err(error)) => {
                    race.handle_failed(*attempt, now());
                    failed = error;
                    false
                }
            });
            if let Some(stream) = won {
                return Poll::Ready(Ok(stream));
            }
            if race.is_lost() {
                return Poll::Ready(Err(mem::replace(&mut failed, DialError::NoAddress.into())));
            }
            if !alarm.poll(context, race.poll_timeout()) {
                return Poll::Pending;
            }
        }
    })
    .await
}

async fn connect(address: SocketAddr, local_ip: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(local_ip) = local_ip {
        socket.bind(SocketAddr::new(local_ip, 0))?;
    }
    let stream = socket.connect(address).await?;
    // Small frames leave at once. A socket that refuses the wish is slower, not wrong.
    let _slower = stream.set_nodelay(true);
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_address_leaves_only_targets_of_its_family() {
        let (four, six): (SocketAddr, SocketAddr) =
            ("192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap());
        let local = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(of_family(vec![six, four], None), Ok(vec![six, four]));
        assert_eq!(of_family(vec![six, four], local("192.0.2.9")), Ok(vec![four]));
        assert_eq!(of_family(vec![six, four], local("::1")), Ok(vec![six]));
        let local_ip = "::1".parse().unwrap();
        let other = DialError::OtherFamily { local_ip, addresses: 1 };
        assert_eq!(of_family(vec![four], Some(local_ip)), Err(other));
        assert_eq!(of_family(vec![], Some(local_ip)), Err(DialError::NoAddress));
        let told = io::Error::from(other);
        assert_eq!(told.to_string(), "none of its 1 addresses is of the family of local_ip ::1");
        assert_eq!(told.kind(), io::ErrorKind::AddrNotAvailable);
    }
}

//! A relay between devices and a server that cuts their connections.

use core::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How the connections of now are cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Both sides see the end.
    Whole,
    /// Only the device sees it; to the server the connection is open and silent.
    DeviceOnly,
}

pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    cut: watch::Sender<Option<Cut>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(crate::loopback()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let cut = watch::Sender::new(None);
        let mut tasks = JoinSet::new();
        let cuts = cut.clone();
        tasks.spawn(async move {
            let mut relayed = JoinSet::new();
            loop {
                let (device, _) = listener.accept().await.unwrap();
                relayed.spawn(relay(device, server, cuts.subscribe()));
            }
        });
        Self { addr, cut, _tasks: tasks }
    }

    /// Cuts the connections there are.
    pub(crate) fn cut(&self, how: Cut) {
        self.cut.send_replace(Some(how));
    }
}

async fn relay(mut device: TcpStream, server: SocketAddr, mut cut: watch::Receiver<Option<Cut>>) {
    let mut upstream = TcpStream::connect(server).await.unwrap();
    tokio::select! {
        _ = copy_bidirectional(&mut device, &mut upstream) => {}
        changed = cut.changed() => {
            let half_open = changed.is_ok() && *cut.borrow() == Some(Cut::DeviceOnly);
            if half_open {
                drop(device);
                // Open as long as the relay is.
                core::future::pending::<()>().await;
            }
        }
    }
}

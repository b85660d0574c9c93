//! Plays the connections, each in its task.

use super::Side;
use super::play::{Done, Scene};
use super::recording::{Conversation, TransportName};
use super::report::{Outcome, Report};
use anyhow::Context;
use core::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
pub(super) struct Player {
    pub(super) scene: Arc<Scene>,
    pub(super) cancel: CancellationToken,
    pub(super) told: UnboundedSender<Report>,
}

impl Player {
    /// Starts all of them. The reports end when the last one has.
    ///
    /// # Errors
    ///
    /// An address that cannot be listened on.
    pub(super) async fn start(self, conversations: Vec<Conversation>) -> anyhow::Result<()> {
        let numbered = (1..).zip(conversations);
        match self.scene.side {
            Side::Device => {
                let start = Instant::now();
                for (number, conversation) in numbered {
                    tokio::spawn(self.clone().dial(number, conversation, start));
                }
            }
            Side::Server => {
                let addr: SocketAddr = crate::address::to_listen_on(&self.scene.addr)?;
                let listener = TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr}"))?;
                eprintln!("listening on {}", listener.local_addr()?);
                tokio::spawn(self.serve(listener, numbered.collect()));
            }
        }
        Ok(())
    }

    async fn dial(self, number: usize, conversation: Conversation, start: Instant) {
        let mut done = Done::default();
        let playing = async {
            match conversation.transport {
                TransportName::Udp => self.scene.play_datagrams(&conversation, start, &mut done).await,
                TransportName::Tcp => match self.scene.dial(&conversation, start).await {
                    Ok(stream) => self.scene.play(stream, &conversation, start, &mut done).await,
                    Err(outcome) => outcome,
                },
            }
        };
        let outcome = self.cancel.run_until_cancelled(playing).await.unwrap_or(Outcome::Stopped);
        self.tell(number, &conversation, outcome, done);
    }

    /// Gives each connection that comes the next conversation of the capture.
    async fn serve(self, listener: TcpListener, conversations: Vec<(usize, Conversation)>) {
        for (number, conversation) in conversations {
            if conversation.transport == TransportName::Udp {
                self.tell(number, &conversation, Outcome::Unplayable, Done::default());
                continue;
            }
            let accepted = self.cancel.run_until_cancelled(listener.accept()).await;
            let outcome = match accepted {
                Some(Ok((stream, _))) => {
                    // Its time began with the connection.
                    let opened = self.scene.pace.at(conversation.opened);
                    let start = Instant::now();
                    let start = start.checked_sub(opened).unwrap_or(start);
                    tokio::spawn(self.clone().host(number, conversation, stream, start));
                    continue;
                }
                Some(Err(error)) => Outcome::Unreachable(error.kind()),
                None => Outcome::Stopped,
            };
            self.tell(number, &conversation, outcome, Done::default());
        }
    }

    async fn host(self, number: usize, conversation: Conversation, stream: tokio::net::TcpStream, start: Instant) {
        let mut done = Done::default();
        let playing = self.scene.play(stream, &conversation, start, &mut done);
        let outcome = self.cancel.run_until_cancelled(playing).await.unwrap_or(Outcome::Stopped);
        self.tell(number, &conversation, outcome, done);
    }

    fn tell(&self, number: usize, conversation: &Conversation, outcome: Outcome, done: Done) {
        // Who listens, listens to the end.
        let _unheard = self.told.send(Report::new(number, conversation, outcome, done));
    }
}

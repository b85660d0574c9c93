//! The addresses of a name: asked for again for each dial, with a time of its own, and kept for when nobody answers.

use super::hub::Hub;
use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::sync::Arc;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// How long a name may be looked up before its addresses of the last time are taken. A dial whose own limit
/// ([`Limits::connect`](crate::Limits::connect)) is less than twice this leaves half of it to the lookup.
pub const LOOKUP: Duration = Duration::from_secs(5);

/// A lookup that goes on. It may outlive the dial that began it: the next one takes its answer then.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Who knows the addresses of a name.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// Looks up `target`, a name and a port as `host:port`.
    fn lookup(&self, target: &str) -> Lookup;
}

/// The system's resolver, on a thread of its own (tokio's `lookup_host`).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn lookup(&self, target: &str) -> Lookup {
        let target = target.to_owned();
        Box::pin(async move { Ok(lookup_host(target).await?.collect()) })
    }
}

/// What is known of one target.
pub(crate) struct Names {
    target: String,
    /// Which of the client's targets it is.
    endpoint: usize,
    resolver: Arc<dyn Resolve>,
    hub: Hub,
    /// The last answer with addresses in it.
    kept: Vec<SocketAddr>,
    /// A lookup that has taken too long so far. No other begins beside it, so that a resolver that hangs holds one thread of
    /// the system for each target and not one for each try.
    late: Option<Lookup>,
}

impl Names {
    pub(crate) fn new(target: &str, endpoint: usize, resolver: Arc<dyn Resolve>, hub: Hub) -> Self {
        Self { target: target.to_owned(), endpoint, resolver, hub, kept: Vec::new(), late: None }
    }

    /// The addresses of now, or else those of the last time. The error is that of the lookup.
    pub(crate) async fn addresses(&mut self, connect: Duration) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.target.parse() {
            return Ok(vec![address]);
        }
        let limit = LOOKUP.min(connect / 2);
        let lookup = self.late.get_or_insert_with(|| self.resolver.lookup(&self.target));
        let answer = match timeout(limit, lookup).await {
            Ok(answer) => {
                self.late = None;
                answer
            }
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the name is not looked up in time")),
        };
        match answer {
            Ok(addresses) if !addresses.is_empty() => {
                self.kept.clone_from(&addresses);
                Ok(addresses)
            }
            answer => {
                let error = answer.err().unwrap_or_else(|| super::dial::DialError::NoAddress.into());
                self.hub.lookup_failed(self.endpoint, &self.target, &error, self.kept.len());
                if self.kept.is_empty() { Err(error) } else { Ok(self.kept.clone()) }
            }
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("target", &self.target).field("kept", &self.kept).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::hub::LinkEvent;
    use core::future::pending;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Mutex;
    use tokio::sync::broadcast;
    use tokio::sync::oneshot;

    /// Gives one answer after another; `None` never comes.
    #[derive(Debug)]
    struct Script {
        answers: Mutex<Vec<Option<io::Result<Vec<SocketAddr>>>>>,
        asked: AtomicUsize,
    }

    impl Resolve for Script {
        fn lookup(&self, target: &str) -> Lookup {
            assert_eq!(target, "gateway.example:1");
            self.asked.fetch_add(1, Ordering::Relaxed);
            match self.answers.lock().unwrap().remove(0) {
                Some(answer) => Box::pin(async { answer }),
                None => Box::pin(pending()),
            }
        }
    }

    const CONNECT: Duration = crate::limits::CONNECT;

    fn names(
        answers: impl IntoIterator<Item = Option<io::Result<Vec<SocketAddr>>>>,
    ) -> (Names, Arc<Script>, broadcast::Receiver<LinkEvent>) {
        let answers = Mutex::new(answers.into_iter().collect());
        let script = Arc::new(Script { answers, asked: AtomicUsize::new(0) });
        let hub = Hub::new(8);
        let events = hub.subscribe();
        (Names::new("gateway.example:1", 3, Arc::clone(&script) as Arc<dyn Resolve>, hub), script, events)
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 1))
    }

    fn broken() -> Option<io::Result<Vec<SocketAddr>>> {
        Some(Err(io::ErrorKind::NotConnected.into()))
    }

    #[tokio::test]
    async fn a_name_is_asked_for_each_time_and_its_last_addresses_are_used_when_that_fails() {
        let answers = [Some(Ok(vec![address(1)])), Some(Ok(vec![address(2)])), broken(), Some(Ok(vec![]))];
        let (mut names, script, mut events) = names(answers);
        for expected in [1, 2, 2, 2] {
            assert_eq!(names.addresses(CONNECT).await.unwrap(), [address(expected)]);
        }
        assert_eq!(script.asked.load(Ordering::Relaxed), 4);
        for error in [io::ErrorKind::NotConnected, io::ErrorKind::NotFound] {
            assert_eq!(events.try_recv(), Ok(LinkEvent::LookupFailed { endpoint: 3, error, kept: 1 }));
        }
        assert!(events.try_recv().is_err(), "nothing else is told");
    }

    #[tokio::test]
    async fn without_an_answer_and_without_an_older_one_the_error_is_the_lookups() {
        let (mut names, _, mut events) = names([broken()]);
        assert_eq!(names.addresses(CONNECT).await.unwrap_err().kind(), io::ErrorKind::NotConnected);
        let error = io::ErrorKind::NotConnected;
        assert_eq!(events.try_recv(), Ok(LinkEvent::LookupFailed { endpoint: 3, error, kept: 0 }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_hangs_costs_its_limit_and_no_second_one_begins_beside_it() {
        let (mut names, script, _events) = names([Some(Ok(vec![address(1)])), None]);
        names.addresses(CONNECT).await.unwrap();
        for (connect, costs) in [(CONNECT, LOOKUP), (CONNECT, LOOKUP), (Duration::from_secs(1), LOOKUP / 10)] {
            let before = super::super::now();
            assert_eq!(names.addresses(connect).await.unwrap(), [address(1)]);
            assert_eq!(super::super::now() - before, costs);
        }
        assert_eq!(script.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_of_a_late_lookup_is_taken_by_the_next_dial() {
        #[derive(Debug)]
        struct Late(Mutex<Option<oneshot::Receiver<Vec<SocketAddr>>>>);
        impl Resolve for Late {
            fn lookup(&self, _: &str) -> Lookup {
                let answer = self.0.lock().unwrap().take().expect("asked once");
                Box::pin(async { Ok(answer.await.unwrap()) })
            }
        }
        let (sender, receiver) = oneshot::channel();
        let late = Arc::new(Late(Mutex::new(Some(receiver))));
        let mut names = Names::new("gateway.example:1", 0, late, Hub::new(8));
        assert_eq!(names.addresses(CONNECT).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        sender.send(vec![address(7)]).unwrap();
        assert_eq!(names.addresses(CONNECT).await.unwrap(), [address(7)]);
    }

    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        let script = Arc::new(Script { answers: Mutex::new(vec![]), asked: AtomicUsize::new(0) });
        let mut names = Names::new("192.0.2.9:1", 0, script, Hub::new(1));
        assert_eq!(names.addresses(CONNECT).await.unwrap(), [address(9)]);
    }
}

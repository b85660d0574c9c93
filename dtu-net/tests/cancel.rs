//! Every future of the drivers can be dropped at any point, and every token ends what it was given to: nothing is lost, and
//! no task and no descriptor stays.
//!
//! A future is polled `k` times and dropped, for every `k` up to its end; between two polls the runtime runs until the future
//! has been woken. The clock is the paused one, so a test that waits for a deadline does not wait.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::driver::{Client, ClientConfig, Server, ServerConfig, Session, Target};
use dtu_net::link::Role;
use dtu_net::{DeviceConfig, Outcome, Outgoing, Received, State};
use std::fs;
use std::sync::Arc;
use std::task::Wake;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

/// Turns that the runtime gets before the clock goes on. Far above what any step takes.
const TURNS: usize = 1_000;

/// More polls than any future of these tests takes.
const POLLS: usize = 50;

const LONG: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Polls a future at most `polls` times, each time after it was woken. `None` when it was not ready by then, and it is
/// dropped.
async fn poll_times<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let mut turns = 0;
        while !flag.0.swap(false, Ordering::AcqRel) {
            turns += 1;
            match turns {
                0..TURNS => tokio::task::yield_now().await,
                // Only time wakes it.
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
    }
    None
}

/// Runs `round` for each number of polls from 0 to the first with which the future comes to its end.
async fn for_every_number_of_polls(mut round: impl AsyncFnMut(usize) -> bool) {
    for polls in 0..POLLS {
        if round(polls).await {
            assert!(polls > 0);
            return;
        }
    }
    panic!("no end after {POLLS} polls");
}

/// The tasks of this runtime; the test itself is none of them.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// The open descriptors of this process.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn serve(config: ServerConfig, cancel: &CancellationToken) -> Server {
    Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), config, cancel.clone()).unwrap()
}

fn device(id: &str) -> DeviceConfig {
    let mut config = DeviceConfig::new(id).unwrap();
    config.backoff = Backoff::fixed(Duration::from_millis(1));
    config
}

fn dial(addr: SocketAddr, device: DeviceConfig, cancel: &CancellationToken) -> Client {
    Client::start(Target::Tcp(addr.to_string()), ClientConfig::new(device), cancel.clone()).unwrap()
}

fn connect(server: &Server, device: DeviceConfig) -> Client {
    dial(server.local_addr(), device, &CancellationToken::new())
}

async fn pair(device: DeviceConfig) -> (Server, Session, Client) {
    let mut server = serve(ServerConfig::default(), &CancellationToken::new());
    let client = connect(&server, device);
    let session = server.accept().await.unwrap();
    reach(client.session(), State::Connected).await;
    (server, session, client)
}

async fn reach<R: Role>(session: &Session<R>, state: State) {
    let mut watch = session.watch();
    while session.state().state != state {
        watch.changed().await;
    }
}

fn numbered(number: u32) -> Outgoing {
    Outgoing::new(0, number.to_be_bytes().to_vec())
}

fn number(received: &Received) -> u32 {
    let Received::Data { body, .. } = received else { panic!("{received:?}") };
    u32::from_be_bytes(body[..].try_into().unwrap())
}

/// Receives and commits the DATA with this number.
async fn expect<R: Role>(session: &Session<R>, expected: u32) {
    let received = session.recv().await.unwrap();
    let Received::Data { body, .. } = &received else { panic!("{received:?}") };
    assert_eq!(body[..], expected.to_be_bytes(), "in order, each once");
    session.commit(received.mark()).unwrap();
}

/// Ends both sides; everything was acknowledged, and nothing is left.
async fn end(server: Server, client: Client) {
    let books = client.session().clone();
    client.shut_down(LONG).await;
    server.shut_down(LONG).await;
    let ledger = books.counters().ledger;
    assert!(ledger.balances());
    assert_eq!((ledger.acked, ledger.pending), (ledger.taken, 0), "{ledger:?}");
    assert_eq!(tasks(), 0);
}

/// One test at a time has descriptors, so that they can be counted.
fn alone(test: impl AsyncFnOnce()) {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    // The first runtime opens what tokio keeps for signals as long as the process lives.
    drop(runtime());
    let before = descriptors();
    let runtime = runtime();
    runtime.block_on(async {
        test().await;
        assert_eq!(tasks(), 0, "tasks are left");
    });
    drop(runtime);
    assert_eq!(descriptors(), before, "descriptors are left");
}

#[test]
fn send_to_a_full_outbox_puts_in_once_or_not_at_all() {
    alone(async || {
        let mut config = device("m");
        config.limits.outbox.frames = 2;
        let (server, session, client) = pair(config).await;
        let (mut sent, mut expected) = (0, 0);
        for_every_number_of_polls(async |polls| {
            // The outbox is full, and has room when the server commits, which happens between two polls.
            while client.session().counters().ledger.pending > u64::from(sent - expected) {
                tokio::task::yield_now().await;
            }
            while let Ok(receipt) = client.session().try_send(numbered(sent)) {
                drop(receipt);
                sent += 1;
            }
            let committed = async {
                for _ in 0..polls {
                    tokio::task::yield_now().await;
                }
                expect(&session, expected).await;
                expected += 1;
            };
            let (receipt, ()) = tokio::join!(poll_times(polls, client.session().send(numbered(sent))), committed);
            sent += u32::from(receipt.is_some());
            receipt.is_some()
        })
        .await;
        while expected < sent {
            expect(&session, expected).await;
            expected += 1;
        }
        assert!(session.try_recv().is_none());
        end(server, client).await;
    });
}

#[test]
fn recv_takes_once_or_not_at_all() {
    alone(async || {
        let (server, session, client) = pair(device("m")).await;
        let (mut sent, mut expected) = (0, 0);
        for_every_number_of_polls(async |polls| {
            let sender = async {
                for _ in 0..polls {
                    tokio::task::yield_now().await;
                }
                drop(client.session().send(numbered(sent)).await.unwrap());
                sent += 1;
            };
            let (received, ()) = tokio::join!(poll_times(polls, session.recv()), sender);
            if let Some(received) = &received {
                let received = received.as_ref().unwrap();
                assert_eq!(number(received), expected);
                session.commit(received.mark()).unwrap();
                expected += 1;
            }
            // With one poll nothing has come yet.
            received.is_some() && polls > 1
        })
        .await;
        while expected < sent {
            let received = session.recv().await.unwrap();
            assert_eq!(number(&received), expected, "nothing is lost with a future that was dropped");
            session.commit(received.mark()).unwrap();
            expected += 1;
        }
        end(server, client).await;
    });
}

#[test]
fn recv_many_takes_a_batch_once_or_nothing_of_it() {
    alone(async || {
        let (server, session, client) = pair(device("m")).await;
        let (mut sent, mut expected, mut batch) = (0, 0, Vec::new());
        for_every_number_of_polls(async |polls| {
            let sender = async {
                for _ in 0..polls {
                    tokio::task::yield_now().await;
                }
                for _ in 0..5 {
                    drop(client.session().send(numbered(sent)).await.unwrap());
                    sent += 1;
                }
            };
            let (count, ()) = tokio::join!(poll_times(polls, session.recv_many(&mut batch, 3)), sender);
            assert_eq!(batch.len(), count.unwrap_or(0), "what was dropped has put nothing in");
            assert!(batch.len() <= 3);
            for received in batch.drain(..) {
                assert_eq!(number(&received), expected);
                session.commit(received.mark()).unwrap();
                expected += 1;
            }
            // With one poll nothing has come yet.
            count.is_some() && polls > 1
        })
        .await;
        while expected < sent {
            expect(&session, expected).await;
            expected += 1;
        }
        end(server, client).await;
    });
}

#[test]
fn a_receipt_that_is_dropped_changes_nothing() {
    alone(async || {
        let (server, session, client) = pair(device("m")).await;
        for_every_number_of_polls(async |polls| {
            let receipt = client.session().send(numbered(0)).await.unwrap();
            let committer = async {
                let received = session.recv().await.unwrap();
                session.commit(received.mark()).unwrap();
            };
            let (outcome, ()) = tokio::join!(poll_times(polls, receipt), committer);
            assert!(matches!(outcome, None | Some(Outcome::Acked)));
            outcome.is_some()
        })
        .await;
        end(server, client).await;
    });
}

#[test]
fn closed_and_changed_can_be_asked_again() {
    alone(async || {
        for_every_number_of_polls(async |polls| {
            let (server, session, client) = pair(device("m")).await;
            let mut watch = session.watch();
            let closer = async {
                tokio::task::yield_now().await;
                client.shut_down(LONG).await;
            };
            let (closed, changed, ()) =
                tokio::join!(poll_times(polls, session.closed()), poll_times(polls, watch.changed()), closer);
            assert_eq!(session.closed().await.state, State::Closed);
            if changed.is_none() {
                assert_eq!(watch.changed().await.state, State::Closed, "what was not seen is not missed");
            }
            server.shut_down(LONG).await;
            assert_eq!(tasks(), 0);
            closed.is_some() && changed.is_some()
        })
        .await;
    });
}

#[test]
fn accept_takes_a_session_or_leaves_it() {
    alone(async || {
        for_every_number_of_polls(async |polls| {
            let mut server = serve(ServerConfig::default(), &CancellationToken::new());
            let client = connect(&server, device("m"));
            let accepted = poll_times(polls, server.accept()).await;
            let done = accepted.is_some();
            let session = match accepted {
                Some(session) => session.unwrap(),
                None => server.accept().await.unwrap(),
            };
            let receipt = client.session().send(numbered(7)).await.unwrap();
            let received = session.recv().await.unwrap();
            session.commit(received.mark()).unwrap();
            assert_eq!((number(&received), receipt.await), (7, Outcome::Acked));
            end(server, client).await;
            done
        })
        .await;
    });
}

#[test]
fn a_shut_down_that_is_dropped_ends_all_the_same() {
    alone(async || {
        for_every_number_of_polls(async |polls| {
            let (server, session, client) = pair(device("m")).await;
            let unsettled = client.session().send(numbered(0)).await.unwrap();
            let client_done = poll_times(polls, client.shut_down(Duration::from_secs(5))).await.is_some();
            drop(session);
            assert_eq!(unsettled.await, Outcome::Abandoned);
            let server_done = poll_times(polls, server.shut_down(Duration::from_secs(5))).await.is_some();
            no_task_is_left().await;
            client_done && server_done
        })
        .await;
    });
}

async fn no_task_is_left() {
    while tasks() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Cancels a client that has come to `state`; it ends at once.
async fn cancel_in(state: State, addr: SocketAddr) {
    let cancel = CancellationToken::new();
    let mut config = device("m");
    config.backoff = Backoff::fixed(Duration::from_secs(3600));
    let client = dial(addr, config, &cancel);
    let mut watch = client.session().watch();
    while client.session().state().state != state {
        watch.changed().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.session().state().state, state, "it stays there");
    let receipt = client.session().send(numbered(0)).await.unwrap();
    let began = now();
    cancel.cancel();
    client.session().closed().await;
    assert_eq!(receipt.await, Outcome::Abandoned);
    client.shut_down(LONG).await;
    // The last bytes of a connection may take their time.
    assert!(began.elapsed() <= Duration::from_secs(3), "{state:?}: {:?}", began.elapsed());
}

#[test]
fn a_client_that_dials_ends_at_once_when_it_is_cancelled() {
    alone(async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let addr = listener.local_addr().unwrap();
        // The queue of the listener is full, so that it answers nobody any more.
        let mut crowd: Vec<_> = (0..8).map(|_| Box::pin(TcpStream::connect(addr))).collect();
        for dialled in &mut crowd {
            poll_times(1, dialled.as_mut()).await;
        }
        cancel_in(State::Connecting, addr).await;
    });
}

#[test]
fn a_client_that_registers_ends_at_once_when_it_is_cancelled() {
    alone(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        cancel_in(State::Registering, listener.local_addr().unwrap()).await;
    });
}

#[test]
fn a_client_that_is_connected_ends_at_once_when_it_is_cancelled() {
    alone(async || {
        let server = serve(ServerConfig::default(), &CancellationToken::new());
        cancel_in(State::Connected, server.local_addr()).await;
        server.shut_down(Duration::ZERO).await;
    });
}

#[test]
fn a_client_that_waits_for_its_next_try_ends_at_once_when_it_is_cancelled() {
    alone(async || {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = nobody.local_addr().unwrap();
        drop(nobody);
        let probe = dial(addr, device("probe"), &CancellationToken::new());
        reach(probe.session(), State::Disconnected).await;
        probe.shut_down(Duration::ZERO).await;
        cancel_in(State::Disconnected, addr).await;
    });
}

#[test]
fn a_cancelled_server_ends_at_once_whatever_its_connections_do() {
    alone(async || {
        let cancel = CancellationToken::new();
        let mut config = ServerConfig::default();
        config.accept_queue = 1;
        let mut server = serve(config, &cancel);
        let silent = TcpStream::connect(server.local_addr()).await.unwrap();
        let clients: Vec<Client> = (0..4).map(|number| connect(&server, device(&format!("m{number}")))).collect();
        // One is accepted, one waits in the queue, and two wait for a place in it.
        let session = server.accept().await.unwrap();
        while server.counters().sessions < 4 {
            tokio::task::yield_now().await;
        }
        let began = now();
        cancel.cancel();
        session.closed().await;
        while server.accept().await.is_some() {}
        server.shut_down(LONG).await;
        assert!(began.elapsed() <= Duration::from_secs(3), "{:?}", began.elapsed());
        drop(silent);
        for client in clients {
            client.shut_down(Duration::ZERO).await;
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "tests of the drivers have their clock")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// The helper itself: a future that needs three polls has three.
#[test]
fn the_helper_polls_as_often_as_it_says() {
    struct Third(usize);
    impl Future for Third {
        type Output = usize;
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
            self.0 += 1;
            context.waker().wake_by_ref();
            if self.0 == 3 { Poll::Ready(self.0) } else { Poll::Pending }
        }
    }
    alone(async || {
        assert_eq!(poll_times(2, Third(0)).await, None);
        assert_eq!(poll_times(3, Third(0)).await, Some(3));
    });
}

//! A server for which more devices wait than it can let in soon.

use crate::serve;
use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::driver::{Bound, Server, ServerConfig};
use dtu_proto::message::{DeviceId, Register, Resume, Token, VERSION};
use dtu_proto::{Message, Native};
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::task::yield_now;
use tokio::time::advance;

/// Connects and says who it is; nobody is awaited.
fn register(server: SocketAddr, number: u64) -> TcpStream {
    let id = format!("device-{number}");
    let register = Message::Register(Register {
        version: VERSION,
        flags: 0,
        device_id: DeviceId::new(&id).unwrap(),
        token: Token::EMPTY,
        resume: Resume { stream: number + 1, send_base: 0, peer_stream: 0, receive_next: 0 },
    });
    let mut frame = Vec::new();
    Native::new().encode_to(&register, &mut frame).unwrap();
    let mut stream = TcpStream::connect(server).unwrap();
    stream.write_all(&frame).unwrap();
    stream
}

/// What the admission of each device needs to know.
#[derive(Default)]
struct Scene {
    server: OnceLock<Arc<Server>>,
    /// Devices that were judged, and the connection that came with the first of them.
    judged: Mutex<(u64, Option<TcpStream>)>,
    /// How many had been judged when that one was accepted.
    accepted_at: OnceLock<u64>,
}

#[tokio::test]
async fn who_comes_while_many_wait_is_accepted_long_before_they_all_had_their_turn() {
    const MANY: u64 = 400;
    let (scene, mut config) = (Arc::<Scene>::default(), ServerConfig::default());
    let seen = Arc::clone(&scene);
    config.admission = Some(Arc::new(move |_| {
        let server = seen.server.get().unwrap();
        let mut judged = seen.judged.lock().unwrap();
        let (count, late) = &mut *judged;
        *count += 1;
        late.get_or_insert_with(|| register(server.local_addr(), MANY));
        if server.counters().connections > MANY {
            let _known = seen.accepted_at.set(*count);
        }
        Ok(())
    }));
    let server = Arc::new(serve(config));
    assert!(scene.server.set(Arc::clone(&server)).is_ok());
    // The server's tasks run only when this one waits: all are in the system's queue before that.
    let _devices: Vec<_> = (0..MANY).map(|number| register(server.local_addr(), number)).collect();
    while scene.judged.lock().unwrap().0 <= MANY {
        yield_now().await;
    }
    let accepted_at = scene.accepted_at.get().copied();
    assert!(accepted_at.is_some_and(|count| count < MANY / 2), "{accepted_at:?} of {MANY}");
    assert_eq!(server.counters().busy.total(), 0);
}

#[tokio::test]
async fn who_waits_when_a_server_stops_to_accept_is_served_all_the_same() {
    const MANY: u64 = 400;
    let server = serve(ServerConfig::default());
    let _devices: Vec<_> = (0..MANY).map(|number| register(server.local_addr(), number)).collect();
    while server.counters().connections == 0 {
        yield_now().await;
    }
    let counters = server.counters();
    assert_eq!(counters.connections, MANY);
    assert!(counters.sessions < 200, "most of them wait: {}", counters.sessions);
    let drained = server.drain(Duration::ZERO, Duration::ZERO);
    while server.counters().sessions < 400 {
        yield_now().await;
    }
    drop(drained);
    assert_eq!(server.counters().busy.by(Bound::Connections), 0);
}

#[tokio::test(start_paused = true)]
async fn who_comes_when_refusing_has_had_its_part_of_the_time_is_left_in_the_systems_queue_for_a_while() {
    let mut config = ServerConfig::default();
    (config.max_connections, config.door.refused_at_once) = (0, 10);
    let server = serve(config);
    let devices: Vec<_> = (0..30).map(|number| register(server.local_addr(), number)).collect();
    let turned_away = |server: &Server| server.counters().busy.by(Bound::Connections);
    while turned_away(&server) == 0 {
        yield_now().await;
    }
    for _ in 0..100 {
        yield_now().await;
    }
    assert_eq!(turned_away(&server), 11, "the clock stands still");
    advance(Duration::from_millis(15)).await;
    assert_eq!(turned_away(&server), 11);
    while turned_away(&server) < 30 {
        advance(Duration::from_millis(1)).await;
    }
    drop(devices);
}

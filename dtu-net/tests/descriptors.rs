//! A server in a process that has no descriptor left. It is alone in its test, because the limit is the whole process's.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

use core::time::Duration;
use dtu_net::driver::{LinkEvent, Server, ServerConfig};
use dtu_proto::message::{DeviceId, Register, Resume, Token, VERSION};
use dtu_proto::{Message, Native};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Files that the process may open here: more than it has at the beginning, and few enough to open them all.
const FILES: u64 = 128;

/// How often a server may ask in vain in a second.
const TRIES_A_SECOND: usize = 10;

fn register() -> Vec<u8> {
    let resume = Resume { stream: 7, send_base: 0, peer_stream: 0, receive_next: 0 };
    let (device_id, token) = (DeviceId::new("m").unwrap(), Token::EMPTY);
    let message = Message::Register(Register { version: VERSION, flags: 0, device_id, token, resume });
    let mut bytes = Vec::new();
    Native::new().encode_to(&message, &mut bytes).unwrap();
    bytes
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "a test of a driver has its clock")]
async fn without_descriptors_a_server_does_not_spin_and_with_some_again_it_serves_within_a_second() {
    let mut server =
        Server::bind(([127, 0, 0, 1], 0).into(), ServerConfig::default(), CancellationToken::new()).unwrap();
    let mut events = server.events();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, FILES, hard).unwrap();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    assert!(files.len() > 2, "the limit leaves room for some");
    // The one that is let go of here is the device's: the server has none for it.
    files.pop();
    let mut device = TcpStream::connect(server.local_addr()).unwrap();
    device.write_all(&register()).unwrap();

    let mut tries: Vec<Instant> = Vec::new();
    while tries.len() <= 10 * TRIES_A_SECOND {
        if let LinkEvent::AcceptFailed(_) = events.recv().await.unwrap() {
            tries.push(Instant::now());
        }
    }
    for (place, pair) in tries.windows(TRIES_A_SECOND + 1).enumerate() {
        let took = pair[TRIES_A_SECOND] - pair[0];
        assert!(took >= Duration::from_secs(1), "{TRIES_A_SECOND} tries in {took:?} from the {place}th on");
    }
    assert_eq!(server.counters().connections, 0);

    let freed = Instant::now();
    files.clear();
    let session = server.accept().await.unwrap();
    assert_eq!(&**session.device(), "m");
    let took = freed.elapsed();
    assert!(took <= Duration::from_secs(1), "{took:?}");
}

//! What an idle session of a server takes of the heap, counted by an allocator that counts: the driver, the runtime's tasks and
//! sockets, and a task of the application. It runs on one thread, so it is the same each time.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

use allocation_counter::measure;
use core::net::{Ipv4Addr, SocketAddr};
use dtu_net::driver::{Server, ServerConfig};
use dtu_proto::message::{DeviceId, Register, Resume, Token, VERSION};
use dtu_proto::{Message, Native};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

/// The bytes that one more idle session may take, with its share of the tables that grow.
const BOUND: i64 = 1440;

/// Sessions there are before it is counted, and how many come then.
const BEFORE: u64 = 100;
const MORE: u64 = 400;

fn frame(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Native::new().encode_to(message, &mut bytes).unwrap();
    bytes
}

/// Takes what the server says next.
async fn answer(mut device: &TcpStream) {
    loop {
        match device.read(&mut [0; 256]) {
            Ok(count) => return assert!(count > 0, "the server ended it"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        yield_now().await;
    }
}

/// A device registers, and has a PING answered.
async fn connect(server: SocketAddr, number: u64) -> TcpStream {
    let mut device = TcpStream::connect(server).unwrap();
    device.set_nonblocking(true).unwrap();
    let id = format!("867584030{number:06}");
    device
        .write_all(&frame(&Message::Register(Register {
            version: VERSION,
            flags: 0,
            device_id: DeviceId::new(&id).unwrap(),
            token: Token::EMPTY,
            resume: Resume { stream: number + 1, send_base: 0, peer_stream: 0, receive_next: 0 },
        })))
        .unwrap();
    answer(&device).await;
    device.write_all(&frame(&Message::Ping { nonce: 7 })).unwrap();
    answer(&device).await;
    device
}

fn serve(runtime: &Runtime) -> SocketAddr {
    let _entered = runtime.enter();
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut server = Server::bind(any_port, ServerConfig::default(), CancellationToken::new()).unwrap();
    let address = server.local_addr();
    runtime.spawn(async move {
        while let Some(session) = server.accept().await {
            tokio::spawn(async move {
                while session.ready().await {
                    drop(session.try_recv());
                }
            });
        }
    });
    address
}

#[test]
fn an_idle_session_takes_few_bytes_of_the_heap() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let server = serve(&runtime);
    let mut devices = Vec::with_capacity(1000);
    runtime.block_on(async {
        for number in 0..BEFORE {
            devices.push(connect(server, number).await);
        }
    });
    let info = measure(|| {
        runtime.block_on(async {
            for number in BEFORE..BEFORE + MORE {
                devices.push(connect(server, number).await);
            }
        });
    });
    let each = info.bytes_current / i64::try_from(MORE).unwrap();
    println!("{each} bytes in {} pieces, at most {BOUND}", info.count_current / i64::try_from(MORE).unwrap());
    assert!(each <= BOUND, "{each} bytes");
}

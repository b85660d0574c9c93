//! Polls a Modbus meter behind each unit that connects, by a profile: `transparent [PROFILE.toml] [ADDRESS]`.

use core::time::Duration;
use dtu_net::driver::transparent::{TransparentConfig, TransparentServer, TransparentSession};
use dtu_net::line::{Matcher, Request};
use dtu_net::retry::Policy;
use dtu_net::transparent::ProfileSpec;
use tokio_util::sync::CancellationToken;

const PROFILE: &str = r#"
framing = "modbus_rtu"
registration = { pattern = 'REG:{id:digit*11}\r\n', reply = { bytes = 'OK {id}\r\n' } }
heartbeat = [{ token = 'PING', reply = { bytes = 'PONG' } }]
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let text = arguments.next().map_or(Ok(PROFILE.to_owned()), std::fs::read_to_string)?;
    let addr = arguments.next().unwrap_or_else(|| "127.0.0.1:55126".into()).parse()?;
    // Both errors name the key.
    let profile = toml::from_str::<ProfileSpec>(&text)?.build()?;
    let mut server = TransparentServer::bind(addr, TransparentConfig::new(profile), CancellationToken::new())?;
    println!("listening on {}", server.local_addr());
    while let Some(session) = server.accept().await {
        tokio::spawn(poll(session));
    }
    Ok(())
}

/// Reads two registers of device 1 every ten seconds, as long as there is a session.
async fn poll(session: TransparentSession) {
    let read = [0x01, 0x03, 0x00, 0x00, 0x00, 0x02, 0xC4, 0x0B];
    let matcher = Matcher::modbus_rtu(&read).expect("it is a request with its checksum");
    // A read may be repeated. What is not declared idempotent is sent once.
    let request = Request::new(read, matcher).policy(Policy::FIXED_INTERVAL.idempotent());
    let mut ticks = tokio::time::interval(Duration::from_secs(10));
    loop {
        tokio::select! {
            change = session.closed() => {
                println!("{}: closed: {:?}", session.device(), change.cause);
                return;
            }
            // What nobody asked for.
            Some(heard) = session.recv() => println!("{}: {}: {heard:?}", session.device(), heard.kind.name()),
            _ = ticks.tick() => match session.request(request.clone()).await {
                Ok(reply) => println!("{}: {:02X?}", session.device(), &reply.frame.payload()[..]),
                Err(unanswered) => println!("{}: {unanswered}", session.device()),
            },
        }
    }
}

//! How a device reaches an address.

use crate::{device, loopback};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use dtu_net::driver::{Client, ClientConfig, DialError, LinkEvent, Target};
use dtu_net::{Cause, Event, State};
use std::io;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_device_dials_from_its_local_address() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    // Linux has all of 127.0.0.0/8; elsewhere there is one address to dial from.
    let local_ip: IpAddr = if cfg!(target_os = "linux") { [127, 9, 8, 7].into() } else { Ipv4Addr::LOCALHOST.into() };
    let target = Target::Tcp(listener.local_addr().unwrap().to_string());
    let mut config = ClientConfig::new(device("m"));
    config.local_ip = Some(local_ip);
    let _client = Client::start(target, config, CancellationToken::new()).unwrap();
    let (_stream, from) = listener.accept().await.unwrap();
    assert_eq!(from.ip(), local_ip);
}

#[tokio::test]
async fn a_target_of_another_family_than_the_local_address_is_told_as_such() {
    let mut config = ClientConfig::new(device("m"));
    config.local_ip = Some(Ipv6Addr::LOCALHOST.into());
    let client = Client::start(Target::Tcp("127.0.0.1:9".into()), config, CancellationToken::new()).unwrap();
    let mut events = client.events();
    let change = loop {
        if let LinkEvent::Link { event: Event::State(change), .. } = events.recv().await.unwrap()
            && change.state == State::Disconnected
        {
            break change;
        }
    };
    assert_eq!(change.cause, Some(Cause::Transport(io::ErrorKind::AddrNotAvailable)));
    let expected = DialError::OtherFamily { local_ip: Ipv6Addr::LOCALHOST.into(), addresses: 1 };
    assert_eq!(&*change.reason, expected.to_string());
}

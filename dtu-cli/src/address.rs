//! Where a server is, as the command line says it.

use anyhow::{Context, ensure};
use core::net::SocketAddr;

/// Judges the form of `host:port` only: a name is looked up when it is dialled.
pub(crate) fn parse(text: &str) -> anyhow::Result<String> {
    let wanted = || format!("`{text}` has to be HOST:PORT");
    let (host, port) = text.rsplit_once(':').with_context(wanted)?;
    ensure!(!host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0), wanted());
    Ok(text.to_owned())
}

/// Servers that a fleet is spread over; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Servers(pub(crate) Vec<String>);

/// The most servers that a list may have.
const SERVERS_MAX: usize = 64;

/// Servers with commas between them, each once.
pub(crate) fn servers(text: &str) -> anyhow::Result<Servers> {
    let servers: Vec<_> = text.split(',').map(parse).collect::<Result<_, _>>()?;
    ensure!(servers.len() <= SERVERS_MAX, "there may be {SERVERS_MAX} servers at most");
    for (place, server) in servers.iter().enumerate() {
        ensure!(!servers[..place].contains(server), "`{server}` stands there twice");
    }
    Ok(Servers(servers))
}

/// An address to listen on.
pub(crate) fn to_listen_on(text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().context("it has to be an address and a port, as 127.0.0.1:55125 or [::]:55125")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in ["a.example:1", "127.0.0.1:65535", "[::1]:55125"] {
            assert_eq!(parse(text).unwrap(), text);
        }
        for text in ["", ":", "a", "a:", ":1", "a:0", "a:65536", "a:x", "127.0.0.1"] {
            let said = parse(text).unwrap_err().to_string();
            assert_eq!(said, format!("`{text}` has to be HOST:PORT"));
        }
    }

    #[test]
    fn servers_are_a_list_in_which_each_stands_once() {
        assert_eq!(servers("a:1").unwrap(), Servers(vec!["a:1".into()]));
        assert_eq!(servers("a:1,b:2").unwrap(), Servers(vec!["a:1".into(), "b:2".into()]));
        assert_eq!(servers("a:1,b").unwrap_err().to_string(), "`b` has to be HOST:PORT");
        assert_eq!(servers("a:1,b:2,a:1").unwrap_err().to_string(), "`a:1` stands there twice");
        let many: Vec<_> = (1..=65).map(|port| format!("a:{port}")).collect();
        assert!(servers(&many.join(",")).is_err() && servers(&many[1..].join(",")).is_ok());
    }
}

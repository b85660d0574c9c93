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
}

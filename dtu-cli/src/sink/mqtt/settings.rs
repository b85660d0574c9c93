//! The settings of a sink of `kind = "mqtt"`.

use super::{tls, topic};
use crate::settings::units::Span;
use anyhow::{Context, bail, ensure};
use core::fmt;
use core::time::Duration;
use rumqttc::v5::{MqttOptions, mqttbytes::v5::ConnectProperties};
use rumqttc::{NetworkOptions, Transport};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// How often the broker is asked whether it is there while nothing is published.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The longest packet that a broker may send; it sends acknowledgements only.
const MAX_INCOMING: u32 = 8 * 1024;

/// The most records that may wait for their PUBACK.
const MAX_IN_FLIGHT: u16 = 4096;

/// The longest prefix, in bytes.
const MAX_PREFIX: usize = 256;

/// The shortest and the longest time for which a broker may be silent.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// `[[sink]]` with `kind = "mqtt"`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MqttSettings {
    /// Where the broker is: `mqtt://host:1883`, or `mqtts://host:8883` for TLS. It has to speak MQTT 5.
    pub(crate) broker: String,
    /// The client id; by default `dtu-` and the id of the gateway. Two clients with one id throw each other out.
    #[serde(default)]
    pub(crate) client_id: Option<String>,
    /// The user to log in as.
    #[serde(default)]
    pub(crate) user: Option<String>,
    /// The file with the user's password; read for each connection, so it may change. A line end behind it does not count.
    #[serde(default)]
    pub(crate) password_file: Option<PathBuf>,
    /// Certificates in PEM, for `mqtts://`.
    #[serde(default)]
    pub(crate) tls: Option<MqttTls>,
    /// What every topic begins with.
    #[serde(default = "prefix")]
    pub(crate) prefix: String,
    /// How many records may wait for their PUBACK; the broker may allow fewer.
    #[serde(default = "in_flight")]
    pub(crate) in_flight: u16,
    /// Whether events besides `data`, `skip` and `frame` are published, too.
    #[serde(default)]
    pub(crate) events: bool,
    /// Whether the broker keeps the last record of each topic for who subscribes later.
    #[serde(default)]
    pub(crate) retain: bool,
    /// How long to wait for a connection, and for the next PUBACK.
    #[serde(default = "timeout")]
    pub(crate) timeout: Span,
}

/// Certificates and key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MqttTls {
    /// Who may have issued the broker's certificate; by default whom the system trusts.
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
    /// The gateway's own certificate, for a broker that asks for one.
    #[serde(default)]
    pub(crate) cert: Option<PathBuf>,
    /// The key of that certificate.
    #[serde(default)]
    pub(crate) key: Option<PathBuf>,
}

fn prefix() -> String {
    "dtu".into()
}

const fn in_flight() -> u16 {
    256
}

const fn timeout() -> Span {
    Span(Duration::from_secs(10))
}

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broker {
    host: String,
    port: u16,
    tls: bool,
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Broker {
    fn parse(text: &str) -> anyhow::Result<Self> {
        // It is told in the log, where no password belongs.
        ensure!(
            !text.contains('@'),
            "it has to be mqtt://HOST:PORT or mqtts://HOST:PORT; users and passwords go into `user` and `password_file`"
        );
        let wanted = || format!("`{text}` has to be mqtt://HOST:PORT or mqtts://HOST:PORT");
        let (scheme, rest) = text.split_once("://").with_context(wanted)?;
        let (tls, port) = match scheme {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => bail!(wanted()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let is_bare = rest.ends_with(']') || !rest.contains(':');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !is_bare => (host, port.parse().ok().filter(|&port| port > 0).with_context(wanted)?),
            Some(_) | None => (rest, port),
        };
        let is_literal = host.starts_with('[') && host.ends_with(']');
        let is_host = !host.is_empty() && !host.contains(['/', '?', '#', ' ']) && (is_literal || !host.contains(':'));
        ensure!(is_host, wanted());
        ensure!(!(tls && is_literal), "`{text}`: with TLS the host has to be a name or an IPv4 address");
        Ok(Self { host: host.into(), port, tls })
    }
}

/// Settings that can be.
pub(super) struct Checked {
    pub(super) broker: Broker,
    client_id: String,
    user: Option<(String, Option<PathBuf>)>,
    transport: Transport,
    pub(super) prefix: String,
    pub(super) in_flight: u16,
    pub(super) events: bool,
    pub(super) retain: bool,
    pub(super) timeout: Span,
}

impl MqttSettings {
    /// The first key whose value makes no sense, and what is allowed.
    pub(crate) fn mistake(&self) -> Option<(&'static str, String)> {
        let tls = match Broker::parse(&self.broker) {
            Ok(broker) => broker.tls,
            Err(error) => return Some(("broker", error.to_string())),
        };
        let Self { client_id, in_flight, prefix, timeout, .. } = self;
        let is_id = |id: &String| (1..=usize::from(u16::MAX)).contains(&id.len());
        if !client_id.as_ref().is_none_or(is_id) {
            return Some(("client_id", format!("it has 1 to {} bytes", u16::MAX)));
        }
        if !(1..=MAX_IN_FLIGHT).contains(in_flight) {
            return Some(("in_flight", format!("{in_flight} is not allowed, but 1 to {MAX_IN_FLIGHT}")));
        }
        if !topic::is_prefix(prefix) || prefix.len() > MAX_PREFIX {
            let allowed = format!("1 to {MAX_PREFIX} bytes without +, #, % and control characters, and no $ in front");
            return Some(("prefix", format!("`{}` is not allowed, but {allowed}", prefix.escape_debug())));
        }
        if !(MIN_TIMEOUT..=MAX_TIMEOUT).contains(&timeout.0) {
            return Some((
                "timeout",
                format!("{timeout} is not allowed, but {} to {}", Span(MIN_TIMEOUT), Span(MAX_TIMEOUT)),
            ));
        }
        if self.user.is_none() && self.password_file.is_some() {
            return Some(("password_file", "it needs user".into()));
        }
        let files = self.tls.as_ref()?;
        if !tls {
            return Some(("tls", "it needs a broker of mqtts://".into()));
        }
        (files.cert.is_some() != files.key.is_some()).then(|| ("tls", "cert and key go together".into()))
    }

    /// Whether a broker would take both for one client, and throw one of them out.
    pub(crate) fn is_client_of(&self, other: &Self) -> bool {
        (&self.broker, &self.client_id) == (&other.broker, &other.client_id)
    }

    /// Paths in a file are relative to it.
    pub(crate) fn relative_to(&mut self, base: &Path) {
        let tls = self.tls.iter_mut().flat_map(|tls| [&mut tls.ca, &mut tls.cert, &mut tls.key]);
        for path in tls.chain([&mut self.password_file]).flatten() {
            *path = base.join(&*path);
        }
    }

    /// Checks all that can be checked without the broker, and reads the certificates and the password.
    pub(super) fn check(&self, gateway: &str) -> anyhow::Result<Checked> {
        if let Some((key, text)) = self.mistake() {
            bail!("{key}: {text}");
        }
        let broker = Broker::parse(&self.broker)?;
        let transport = if broker.tls { tls::transport(self.tls.as_ref())? } else { Transport::tcp() };
        let checked = Checked {
            broker,
            client_id: self.client_id.clone().unwrap_or_else(|| format!("dtu-{gateway}")),
            user: self.user.clone().map(|user| (user, self.password_file.clone())),
            transport,
            prefix: self.prefix.clone(),
            in_flight: self.in_flight,
            events: self.events,
            retain: self.retain,
            timeout: self.timeout,
        };
        checked.password()?;
        Ok(checked)
    }
}

impl Checked {
    fn password(&self) -> anyhow::Result<String> {
        let Some((_, Some(path))) = &self.user else { return Ok(String::new()) };
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read password_file {}", path.display()))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// What a connection is made with.
    ///
    /// # Errors
    ///
    /// The file with the password.
    pub(super) fn options(&self) -> anyhow::Result<MqttOptions> {
        let mut options = MqttOptions::new(&self.client_id, &self.broker.host, self.broker.port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_start(true).set_transport(self.transport.clone());
        options.set_outgoing_inflight_upper_limit(self.in_flight);
        // Ours is the bound that counts; it is in whole seconds here.
        options.set_connection_timeout(self.timeout.0.as_secs().saturating_add(1));
        let mut properties = ConnectProperties::new();
        properties.max_packet_size = Some(MAX_INCOMING);
        options.set_connect_properties(properties);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some((user, _)) = &self.user {
            options.set_credentials(user, self.password()?);
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> anyhow::Result<Checked> {
        toml::from_str::<MqttSettings>(text)?.check("gw-1")
    }

    fn said(text: &str) -> String {
        check(text).err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn a_broker_is_all_that_has_to_be_said() {
        let checked = check("broker = 'mqtt://broker.example'").unwrap();
        assert_eq!(checked.broker.to_string(), "broker.example:1883");
        assert_eq!((&*checked.client_id, &*checked.prefix, checked.in_flight), ("dtu-gw-1", "dtu", 256));
        assert_eq!((checked.events, checked.retain, checked.timeout), (false, false, Span(Duration::from_secs(10))));
        for (text, broker) in [("mqtt://[::1]:7", "[::1]:7"), ("mqtt://[::1]", "[::1]:1883"), ("mqtt://a:9/", "a:9")] {
            assert_eq!(Broker::parse(text).unwrap().to_string(), broker);
        }
        assert_eq!(Broker::parse("mqtts://a").unwrap(), Broker { host: "a".into(), port: 8883, tls: true });
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        for broker in
            ["a:1883", "http://a", "mqtt://", "mqtt://a:0", "mqtt://a:x", "mqtt://::1", "mqtt://u:p@a:1", "mqtt://a/b"]
        {
            assert!(said(&format!("broker = '{broker}'")).contains("mqtt://HOST:PORT"), "{broker}");
        }
        assert!(!said("broker = 'mqtt://u:secret@a:1'").contains("secret"));
        assert!(said("broker = 'mqtts://[::1]:1'").contains("a name or an IPv4 address"));
        for (rest, part) in [
            ("in_flight = 0", "1 to 4096"),
            ("in_flight = 5000", "1 to 4096"),
            ("prefix = 'a/#'", "prefix: `a/#` is not allowed"),
            ("timeout = '0s'", "timeout: 0s is not allowed"),
            ("timeout = '2h'", "timeout: 2h is not allowed"),
            ("client_id = ''", "client_id: it has 1 to"),
            ("password_file = 'x'", "password_file: it needs user"),
            ("user = 'a'\npassword_file = 'no/such/file'", "password_file no/such/file"),
            ("tls = {}", "tls: it needs a broker of mqtts://"),
            ("retian = true", "unknown field `retian`"),
        ] {
            let said = said(&format!("broker = 'mqtt://a'\n{rest}"));
            assert!(said.contains(part), "{rest}: {said}");
        }
        assert!(said("broker = 'mqtts://a'\ntls = { ca = 'no/such/ca' }").contains("no/such/ca"));
        assert!(said("broker = 'mqtts://a'\ntls = { cert = 'x' }").contains("cert and key"));
    }
}

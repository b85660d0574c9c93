//! The flags of `dtu serve`, and the settings they come to.

use crate::capture::CaptureSettings;
use crate::http::HttpArgs;
use crate::settings::units::{Size, Span};
use crate::settings::{
    Address, Format, GatewaySettings, Level, LimitSettings, Listener, LogSettings, NativeListener, Settings, SinkKind,
    SinkSettings, TlsFiles, TransparentListener, Way,
};
use crate::sink::FileSettings;
use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("native").args(["listen", "udp"]).multiple(true))]
pub(super) struct Flags {
    /// The address to listen on for native devices; port 0 takes a free one, which is told on stderr.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on)]
    listen: Option<SocketAddr>,
    /// The address to listen on for their datagrams. TLS does not cover them: give --keys.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on)]
    udp: Option<SocketAddr>,
    /// The longest payload taken, in bytes; a longer frame is skipped.
    #[arg(long, value_name = "N", default_value_t = u16::MAX, value_parser = clap::value_parser!(u16).range(512..))]
    max_payload: u16,
    /// How long a device may be silent before it sends a PING, in seconds; after twice that its connection is given up.
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    heartbeat: u32,
    /// How many DATA a device may have unacknowledged.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// How long the session of a device that is away is kept, in seconds.
    #[arg(long, value_name = "S", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    retention: u32,
    /// How many connections are held at a time; who comes beyond is refused as busy.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// How many sessions are kept at a time, of devices that are there and that are away.
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    max_sessions: u32,
    /// How many connections may be unidentified at a time; by default as many as all together. Of those, as many wait as can be
    /// served within 2 s; the others are told when to come.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_unidentified: Option<u32>,
    /// How many connections one address may hold at a time; by default as many as all together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_per_address: Option<u32>,
    /// How many MiB of DATA all sessions may hold before nobody else is taken.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    max_memory: u32,
    /// At the end, the sessions are closed one after the other over so many seconds, so that the devices do not come all at once
    /// to where they go next. A second signal ends it at once.
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3600))]
    drain: u32,
    /// Keeps the lines in this file instead of printing them, each on the disk before it is acknowledged. The directory has to be
    /// there.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The address to listen on for transparent DTUs; port 0 takes a free one, which is told on stderr.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on, requires = "profile")]
    transparent: Option<SocketAddr>,
    /// How they behave: plain, prefix, ddp, or a file (docs/transparent.md).
    #[arg(long, value_name = "NAME|FILE", requires = "transparent")]
    profile: Option<String>,
    /// An address of this machine itself on which `dtu request` may ask the devices, of either kind. Whoever may open it may ask.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on)]
    control: Option<SocketAddr>,
    /// A directory for all that comes and goes, as packets in pcapng files of 64 MiB, which take at most 1 GiB: for `dtu decode`,
    /// `dtu replay` and Wireshark. Of TLS it is what is inside (docs/capture.md).
    #[arg(long, value_name = "DIR")]
    capture: Option<PathBuf>,
    /// What is said on stderr besides: off, error, warn, info, debug, trace, or by module, as warn,dtu_net=debug.
    #[arg(long, value_name = "LEVEL", default_value = "warn", value_parser = Level::parse)]
    log_level: Level,
    /// Whether stderr has lines for people, or one JSON object a line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    log_format: Format,
    #[command(flatten)]
    who: WhoMayIn,
    #[command(flatten)]
    http: HttpArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Who may in")]
pub(super) struct WhoMayIn {
    /// The keys of the devices, one a line: the key in hex, a blank, the device id. Every device has to prove that it has
    /// its key.
    #[arg(long, value_name = "FILE", requires = "native")]
    keys: Option<PathBuf>,
    /// The server's certificate and its chain, in PEM. With it connections are TLS.
    #[arg(long, value_name = "PEM", requires_all = ["tls_key", "listen"])]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Devices have to show a certificate that one of these has issued. It does not say which device it is: for that
    /// there is --keys.
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
}

const fn seconds(count: u32) -> Span {
    Span(Duration::from_secs(count as u64))
}

impl Flags {
    /// The same as a file would say.
    pub(super) fn settings(&self) -> Settings {
        let native = NativeListener {
            tcp: self.listen.map(Address),
            udp: self.udp.map(Address),
            keys: self.who.keys.clone(),
            tls: self.who.tls(),
        };
        let native = (native.tcp.is_some() || native.udp.is_some()).then_some(Way::Native(native));
        let transparent = self
            .transparent
            .zip(self.profile.clone())
            .map(|(tcp, profile)| Way::Transparent(TransparentListener { tcp: Address(tcp), profile }));
        let ways = native.into_iter().chain(transparent);
        Settings {
            gateway: GatewaySettings {
                drain: seconds(self.drain),
                control: self.control.map(Address),
                ..GatewaySettings::default()
            },
            listeners: ways.enumerate().map(|(place, way)| Listener { place, way }).collect(),
            limits: LimitSettings {
                max_payload: Size(self.max_payload.into()),
                heartbeat: seconds(self.heartbeat),
                window: self.window,
                retention: seconds(self.retention),
                max_connections: self.max_connections,
                max_sessions: self.max_sessions,
                max_unidentified: self.max_unidentified,
                max_per_address: self.max_per_address,
                max_memory: Size(u64::from(self.max_memory) << 20),
                ..LimitSettings::default()
            },
            capture: self.capture.clone().map(CaptureSettings::new),
            sinks: self.sinks(),
            http: self.http.settings(),
            log: LogSettings { format: self.log_format, level: self.log_level.clone() },
            ..Settings::default()
        }
    }
}

impl Flags {
    fn sinks(&self) -> Vec<SinkSettings> {
        let file =
            self.file.clone().map(|path| FileSettings { path, rotate_size: None, rotate_every: None, keep: None });
        file.into_iter().map(|file| SinkSettings { place: 0, kind: SinkKind::File(file) }).collect()
    }
}

impl WhoMayIn {
    fn tls(&self) -> Option<TlsFiles> {
        let (cert, key) = (self.tls_cert.clone()?, self.tls_key.clone()?);
        Some(TlsFiles { cert, key, client_ca: self.tls_client_ca.clone() })
    }
}

//! What settings come to before anything listens: keys, certificates and profiles are read, and checked with it.

use super::keys::CurrentKeys;
use crate::capture::Capture;
use crate::nats::NatsSettings;
use crate::request::profile::{self, Loaded};
use crate::settings::{
    Address, Listener, Mistakes, NativeListener, Settings, SinkKind, TlsFiles, TransparentListener, Way,
};
use core::net::SocketAddr;
use dtu_net::driver::tls::{Identity, ServerTls, TlsError};
use dtu_net::driver::transparent::TransparentConfig;
use dtu_net::driver::{Listen, ServerConfig};
use dtu_net::keys::FileKeys;
use dtu_net::transparent::Unknown;
use std::path::Path;
use std::sync::Arc;

/// What is to be started.
pub(crate) struct Plan {
    pub(crate) natives: Vec<NativePlan>,
    pub(crate) transparents: Vec<TransparentPlan>,
    /// What is unsafe about it.
    pub(crate) warnings: Vec<String>,
}

/// A listener for native devices.
pub(crate) struct NativePlan {
    /// Its key in the file.
    pub(super) key: String,
    pub(crate) listen: Listen,
    pub(super) config: ServerConfig,
    pub(super) credentials: Credentials,
}

/// Who may in, and who the gateway is; both can be read again.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) keys: Option<Arc<CurrentKeys>>,
    pub(super) tls: Option<ServerTls>,
}

/// A listener for transparent DTUs.
pub(crate) struct TransparentPlan {
    /// Its key in the file.
    pub(crate) key: String,
    pub(crate) addr: SocketAddr,
    pub(crate) profile: String,
    pub(crate) config: TransparentConfig,
    pub(crate) replies: profile::Replies,
}

impl NativePlan {
    pub(crate) const fn has_tls(&self) -> bool {
        self.credentials.tls.is_some()
    }

    /// How many devices have a key, where keys are asked for.
    pub(crate) fn keys(&self) -> Option<usize> {
        self.credentials.keys.as_ref().map(|keys| keys.len())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.config.is_open()
    }

    /// What its sessions may hold, in bytes.
    pub(super) const fn max_memory(&self) -> usize {
        self.config.max_memory
    }
}

impl Plan {
    /// Has every listener show what comes and goes to a capture, if there is one.
    pub(super) fn tap(&mut self, capture: Option<&Capture>) {
        for plan in &mut self.natives {
            plan.config.tap = capture.map(Capture::tap);
        }
        for plan in &mut self.transparents {
            plan.config.tap = capture.map(Capture::tap);
        }
    }

    /// What they come to, and every file that cannot be used.
    pub(crate) fn of(settings: &Settings) -> (Self, Mistakes) {
        let (mut plan, mut mistakes) =
            (Self { natives: Vec::new(), transparents: Vec::new(), warnings: Vec::new() }, Mistakes::default());
        if let Some(control) = settings.gateway.control.filter(|control| !control.0.ip().is_loopback()) {
            let text = format!("control {control}: it has to be a loopback address, as 127.0.0.1:55128");
            mistakes.add("gateway.control", text);
        }
        settings.requests.check(&mut mistakes);
        settings.http.check(&mut mistakes);
        if let Some(Err(error)) = settings.nats.as_ref().map(NatsSettings::check) {
            mistakes.add_said("nats", &format!("{error:#}"));
        }
        for sink in &settings.sinks {
            if let SinkKind::File(file) = &sink.kind
                && let Some(directory) =
                    file.path.parent().filter(|path| !path.as_os_str().is_empty() && !path.is_dir())
            {
                mistakes.add(format!("{}.path", sink.key()), format!("there is no directory {}", directory.display()));
            }
        }
        for listener in &settings.listeners {
            match &listener.way {
                Way::Native(native) => plan.native(listener, native, settings, &mut mistakes),
                Way::Transparent(transparent) => plan.transparent(listener, transparent, settings, &mut mistakes),
            }
        }
        (plan, mistakes)
    }

    fn native(&mut self, listener: &Listener, native: &NativeListener, settings: &Settings, mistakes: &mut Mistakes) {
        let mut config = ServerConfig::default();
        settings.limits.apply(&mut config, native.udp.is_some());
        let key = listener.key();
        let keys = native.keys.as_deref().and_then(|path| self.keys(path, &format!("{key}.keys"), mistakes));
        let tls = native.tls.as_ref().and_then(|files| tls(files, &format!("{key}.tls"), mistakes));
        config.keys = keys.as_ref().map(|keys| Arc::clone(keys) as _);
        config.tls = tls.clone();
        // A certificate counts for nothing on datagrams.
        if config.is_open() || native.udp.is_some() && config.keys.is_none() {
            let addrs = [native.tcp, native.udp].into_iter().flatten().map(|addr| addr.to_string());
            let addrs = addrs.collect::<Vec<_>>().join(", ");
            self.warnings.push(format!(
                "this server is open: whoever knows a device id can be that device on {addrs}; a file of keys asks for a \
                 proof"
            ));
        }
        let at = |addr: Option<Address>| addr.map(|Address(addr)| addr);
        let listen = Listen { tcp: at(native.tcp), udp: at(native.udp) };
        self.natives.push(NativePlan { key, listen, config, credentials: Credentials { keys, tls } });
    }

    fn keys(&mut self, path: &Path, key: &str, mistakes: &mut Mistakes) -> Option<Arc<CurrentKeys>> {
        let shown = path.display();
        match FileKeys::open(path) {
            Ok(keys) => {
                if keys.is_exposed() {
                    self.warnings.push(format!("others can read or change the keys in {shown}; chmod o= {shown}"));
                }
                if keys.is_empty() {
                    self.warnings.push(format!("there is no key in {shown}, so no device will be let in"));
                }
                Some(Arc::new(CurrentKeys::new(keys)))
            }
            Err(error) => {
                mistakes.add(key, format!("cannot use the keys in {shown}: {error}"));
                None
            }
        }
    }

    fn transparent(
        &mut self,
        listener: &Listener,
        transparent: &TransparentListener,
        settings: &Settings,
        mistakes: &mut Mistakes,
    ) {
        let Loaded { profile, replies } = match profile::load(&transparent.profile) {
            Ok(loaded) => loaded,
            Err(error) => return mistakes.add(format!("{}.profile", listener.key()), format!("{error:#}")),
        };
        let addr = transparent.tcp.0;
        if profile.unknown() == Unknown::Accept {
            self.warnings.push(
                "the listener for transparent DTUs is open: whoever says an id can be that DTU; they can prove nothing, \
                 so keep it on a private network"
                    .to_owned(),
            );
        }
        let mut config = TransparentConfig::new(profile);
        settings.limits.apply_to_transparent(&mut config);
        self.transparents.push(TransparentPlan {
            key: listener.key(),
            addr,
            profile: transparent.profile.clone(),
            config,
            replies,
        });
    }
}

/// Reads a certificate with its key, and those by which devices are judged.
fn tls(files: &TlsFiles, key: &str, mistakes: &mut Mistakes) -> Option<ServerTls> {
    let mut read = |name: &str, path: &Path| {
        let fail = |error| mistakes.add(format!("{key}.{name}"), format!("cannot read {}: {error}", path.display()));
        std::fs::read(path).map_err(fail).ok()
    };
    let (certificates, private) = (read("cert", &files.cert), read("key", &files.key));
    let client_ca = files.client_ca.as_deref().map(|path| read("client_ca", path));
    let client_ca = match client_ca {
        Some(None) => return None,
        Some(read) => read,
        None => None,
    };
    let (certificates, private) = (certificates?, private?);
    let identity = Identity { certificates: &certificates, key: &private };
    let fail = |error: TlsError| {
        mistakes.add(key, format!("cannot use {} and {}: {error}", files.cert.display(), files.key.display()))
    };
    ServerTls::new(identity, client_ca.as_deref()).map_err(fail).ok()
}

//! `[[listener]]`: where devices come.

use super::address::{Address, Protocol, Taken};
use super::document::{Element, Reading};
use super::mistake::Mistakes;
use crate::request::profile;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What `kind` may be.
const KINDS: [&str; 2] = ["native", "transparent"];

/// One listener, and its place among them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listener {
    pub(crate) place: usize,
    pub(crate) way: Way,
}

/// What comes there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Way {
    Native(NativeListener),
    Transparent(TransparentListener),
}

/// For devices that speak this project's own protocol.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NativeListener {
    /// Where to listen for connections; port 0 takes a free one.
    pub(crate) tcp: Option<Address>,
    /// Where to listen for datagrams. TLS does not cover them.
    pub(crate) udp: Option<Address>,
    /// The keys of the devices, one a line: the key in hex, a blank, the device id. With them every device has to prove its key.
    pub(crate) keys: Option<PathBuf>,
    /// With it connections are TLS.
    pub(crate) tls: Option<TlsFiles>,
}

/// Certificates and keys, in PEM.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    /// The server's certificate and its chain.
    pub(crate) cert: PathBuf,
    /// The private key of that certificate.
    pub(crate) key: PathBuf,
    /// Devices have to show a certificate that one of these has issued.
    #[serde(default)]
    pub(crate) client_ca: Option<PathBuf>,
}

/// For DTUs without a protocol of their own.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransparentListener {
    /// Where to listen; port 0 takes a free one.
    pub(crate) tcp: Address,
    /// How they behave: a name, or a file.
    pub(crate) profile: String,
}

pub(super) fn read(reading: &mut Reading<'_>, mistakes: &mut Mistakes) -> Vec<Listener> {
    let before = mistakes.iter().count();
    let elements = reading.list("listener", &KINDS, mistakes);
    if elements.is_empty() && mistakes.iter().count() == before {
        mistakes.add("listener", "there is none, so no device could come; write [[listener]] with kind and tcp");
    }
    let mut listeners = Vec::new();
    for Element { place, kind, value } in elements {
        let way = match kind.as_str() {
            "native" => reading.value(value, mistakes).map(Way::Native),
            _ => reading.value(value, mistakes).map(Way::Transparent),
        };
        listeners.extend(way.map(|way| Listener { place, way }));
    }
    listeners
}

impl Listener {
    /// Its key in the file.
    pub(crate) fn key(&self) -> String {
        format!("listener[{}]", self.place)
    }

    pub(super) fn check(&self, taken: &mut Taken, mistakes: &mut Mistakes) {
        let key = self.key();
        match &self.way {
            Way::Native(native) => native.check(&key, taken, mistakes),
            Way::Transparent(transparent) => {
                taken.take(Protocol::Tcp, transparent.tcp, format!("{key}.tcp"), mistakes);
            }
        }
    }

    pub(super) fn relative_to(&mut self, base: &Path) {
        match &mut self.way {
            Way::Native(native) => {
                let tls = native
                    .tls
                    .iter_mut()
                    .flat_map(|tls| [Some(&mut tls.cert), Some(&mut tls.key), tls.client_ca.as_mut()]);
                for path in native.keys.iter_mut().chain(tls.flatten()) {
                    *path = base.join(&*path);
                }
            }
            Way::Transparent(transparent) if profile::is_named(&transparent.profile) => {}
            Way::Transparent(transparent) => {
                // A path that is no UTF-8 cannot come out of a file that is, and the base is shown as it is otherwise.
                transparent.profile = base.join(&transparent.profile).to_string_lossy().into_owned();
            }
        }
    }
}

impl NativeListener {
    fn check(&self, key: &str, taken: &mut Taken, mistakes: &mut Mistakes) {
        if self.tcp.is_none() && self.udp.is_none() {
            mistakes.add(key, "there is no address to listen on; write tcp or udp, as tcp = \"[::]:55125\"");
        }
        if self.tcp.is_none() && self.tls.is_some() {
            mistakes.add(format!("{key}.tls"), "TLS is for connections, and there is no tcp");
        }
        if self.udp.is_some() && self.tls.is_some() && self.keys.is_none() {
            let text = "TLS does not cover datagrams, so anybody could be any device there; write keys, or a listener of \
                        its own for them";
            mistakes.add(format!("{key}.udp"), text);
        }
        for (protocol, addr, name) in [(Protocol::Tcp, self.tcp, "tcp"), (Protocol::Udp, self.udp, "udp")] {
            if let Some(addr) = addr {
                taken.take(protocol, addr, format!("{key}.{name}"), mistakes);
            }
        }
    }
}

//! `[gateway]`: the process as a whole.

use super::address::{Address, Protocol, Taken};
use super::mistake::Mistakes;
use super::units::Span;
use core::time::Duration;
use serde::Deserialize;

/// The longest drain.
const DRAIN_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GatewaySettings {
    /// The name of this gateway among others. By default the host's.
    pub(crate) id: Option<String>,
    /// Over how long the sessions are closed at the end, so that the devices do not come all at once to where they go next.
    pub(crate) drain: Span,
    /// A loopback address on which `dtu request` may ask the devices. Whoever may open it may ask.
    pub(crate) control: Option<Address>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self { id: None, drain: Span(Duration::ZERO), control: None }
    }
}

impl GatewaySettings {
    /// The name of this gateway.
    pub(crate) fn id(&self) -> String {
        let host = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        self.id.clone().or_else(host).unwrap_or_else(|| "gateway".to_owned())
    }

    pub(super) fn check(&self, taken: &mut Taken, mistakes: &mut Mistakes) {
        if self.id.as_ref().is_some_and(|id| id.is_empty() || id.len() > 64) {
            mistakes.add("gateway.id", "a name has 1 to 64 bytes");
        }
        if self.drain.0 > DRAIN_MAX {
            mistakes.add("gateway.drain", format!("{} is too long, expected \"0s\" to \"1h\"", self.drain));
        }
        if let Some(control) = self.control {
            taken.take(Protocol::Tcp, control, "gateway.control".to_owned(), mistakes);
        }
    }
}

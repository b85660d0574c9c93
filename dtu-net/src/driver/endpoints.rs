//! Where a device dials.

use super::hub::Hub;
use super::resolve::Resolve;
use super::way::Way;
use crate::failover::{FailoverConfig, FailoverError, Plan, Rank};
use core::net::IpAddr;
use std::sync::Arc;

/// Where a device dials, as `host:port`. A name is looked up again for each try.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Target {
    /// A TCP server.
    Tcp(String),
    /// A TLS server on TCP.
    #[cfg(feature = "tls")]
    Tls(String, super::tls::ClientTls),
    /// A UDP server.
    Udp(String),
}

impl Target {
    /// Its `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::Tcp(address) | Self::Udp(address) => address,
            #[cfg(feature = "tls")]
            Self::Tls(address, _) => address,
        }
    }

    /// Whether this is UDP.
    const fn is_datagrams(&self) -> bool {
        match self {
            Self::Udp(_) => true,
            Self::Tcp(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(..) => false,
        }
    }

    /// Whether both lead to one socket of a server, whatever is spoken there.
    fn is_same(&self, other: &Self) -> bool {
        self.is_datagrams() == other.is_datagrams() && self.address().eq_ignore_ascii_case(other.address())
    }
}

/// One of the servers that a device may use, and where it stands among them.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where it is.
    pub target: Target,
    /// The lowest number is tried first.
    pub priority: u16,
    /// The share of devices that choose this one among those of the same priority; at least 1.
    pub weight: u16,
}

impl Endpoint {
    /// An endpoint of this priority, and of weight 1.
    #[must_use]
    pub const fn new(target: Target, priority: u16) -> Self {
        Self { target, priority, weight: 1 }
    }

    /// With this weight.
    #[must_use]
    pub fn weight(self, weight: u16) -> Self {
        Self { weight, ..self }
    }

    const fn rank(&self) -> Rank {
        Rank { priority: self.priority, weight: self.weight, is_probed: !self.target.is_datagrams() }
    }
}

/// The servers that a device may use, at least one. They are numbered in their order, from 0, in events and metrics.
///
/// # Examples
///
/// ```
/// use dtu_net::driver::{Endpoint, Endpoints, Target};
/// use dtu_net::failover::FailoverError;
///
/// # fn main() -> Result<(), FailoverError> {
/// let tcp = |address: &str| Target::Tcp(address.to_owned());
/// // A primary, and two that share the devices when it is away.
/// let endpoints = Endpoints::new(vec![
///     Endpoint::new(tcp("a.example:55125"), 0),
///     Endpoint::new(tcp("b.example:55125"), 1).weight(2),
///     Endpoint::new(tcp("c.example:55125"), 1),
/// ])?;
/// // The same, one after another.
/// let endpoints = Endpoints::in_order(["a.example:55125", "b.example:55125"].map(tcp))?;
///
/// let twice = Endpoints::in_order(["a.example:55125", "A.example:55125"].map(tcp));
/// assert_eq!(twice.unwrap_err(), FailoverError::Duplicate { endpoint: 1, first: 0 });
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Endpoints {
    list: Vec<Endpoint>,
}

impl Endpoints {
    /// These endpoints.
    ///
    /// # Errors
    ///
    /// [`FailoverError`], which names the field: there is none, or there are too many, a weight is 0, or a target stands
    /// there twice.
    pub fn new(list: Vec<Endpoint>) -> Result<Self, FailoverError> {
        let ranks: Vec<_> = list.iter().map(Endpoint::rank).collect();
        Plan::new(&ranks, FailoverConfig::DEFAULT)?;
        for (endpoint, Endpoint { target, .. }) in list.iter().enumerate() {
            let first = list.iter().position(|other| other.target.is_same(target)).unwrap_or(endpoint);
            if first < endpoint {
                return Err(FailoverError::Duplicate { endpoint, first });
            }
        }
        Ok(Self { list })
    }

    /// Each of these targets with a priority of its own, the first one before all others.
    ///
    /// # Errors
    ///
    /// As of [`new`](Self::new).
    pub fn in_order(targets: impl IntoIterator<Item = Target>) -> Result<Self, FailoverError> {
        // There are never so many that a number would not do; too many are refused.
        let endpoint = |(index, target)| Endpoint::new(target, u16::try_from(index).unwrap_or(u16::MAX));
        Self::new(targets.into_iter().enumerate().map(endpoint).collect())
    }

    /// The endpoints.
    #[must_use]
    pub fn as_slice(&self) -> &[Endpoint] {
        &self.list
    }

    pub(crate) fn has_datagrams(&self) -> bool {
        self.list.iter().any(|endpoint| endpoint.target.is_datagrams())
    }

    /// The plan among them; there is none for a single one, with which a link keeps to its own backoff.
    pub(crate) fn plan(&self, config: FailoverConfig) -> Result<Option<Plan>, FailoverError> {
        let ranks: Vec<_> = self.list.iter().map(Endpoint::rank).collect();
        let plan = Plan::new(&ranks, config)?;
        Ok((ranks.len() > 1).then_some(plan))
    }

    pub(crate) fn into_ways(self, local_ip: Option<IpAddr>, resolver: &Arc<dyn Resolve>, hub: &Hub) -> Vec<Way> {
        let way =
            |(index, Endpoint { target, .. })| Way::new(target, index, local_ip, Arc::clone(resolver), hub.clone());
        self.list.into_iter().enumerate().map(way).collect()
    }
}

impl From<Target> for Endpoints {
    fn from(target: Target) -> Self {
        Self { list: vec![Endpoint::new(target, 0)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::ENDPOINTS_MAX;

    fn tcp(port: usize) -> Target {
        Target::Tcp(format!("a.example:{port}"))
    }

    #[test]
    fn endpoints_that_contradict_themselves_are_told_by_field() {
        let error = |list: Vec<Endpoint>| Endpoints::new(list).unwrap_err();
        assert_eq!(error(vec![]), FailoverError::NoEndpoint);
        let zero = vec![Endpoint::new(tcp(1), 0), Endpoint::new(tcp(2), 0).weight(0)];
        assert_eq!(error(zero), FailoverError::Weight { endpoint: 1 });
        let twice = vec![Endpoint::new(tcp(1), 0), Endpoint::new(tcp(2), 0), Endpoint::new(tcp(1), 3)];
        assert_eq!(error(twice), FailoverError::Duplicate { endpoint: 2, first: 0 });
        let case =
            Endpoints::in_order(["a.example:1", "A.EXAMPLE:1"].map(|addr| Target::Tcp(addr.into()))).unwrap_err();
        assert_eq!(case, FailoverError::Duplicate { endpoint: 1, first: 0 });
        let many = Endpoints::in_order((0..=ENDPOINTS_MAX).map(tcp)).unwrap_err();
        let (count, limit) = (ENDPOINTS_MAX + 1, ENDPOINTS_MAX);
        assert_eq!(many, FailoverError::TooManyEndpoints { count, limit });
        assert_eq!(many.to_string(), "endpoints: there are 17, and 16 are allowed");
        assert!(Endpoints::in_order((0..ENDPOINTS_MAX).map(tcp)).is_ok());
    }

    #[test]
    fn the_same_port_of_tcp_and_udp_is_two_endpoints() {
        let both = Endpoints::in_order([tcp(1), Target::Udp("a.example:1".into())]).unwrap();
        assert!(both.has_datagrams());
        assert_eq!(both.list.iter().map(|endpoint| endpoint.rank().is_probed).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_single_target_has_no_plan() {
        let config = FailoverConfig::DEFAULT;
        assert_eq!(Endpoints::from(tcp(1)).plan(config), Ok(None));
        assert!(Endpoints::in_order([tcp(1), tcp(2)]).unwrap().plan(config).unwrap().is_some());
    }
}

//! One framing of those that can be chosen.

use super::either::Either;
use super::named::{Named, Shared};
use super::way::Way;

/// A framing, for each way of the bytes where that makes a difference.
pub(crate) enum Choice {
    /// The same both ways.
    Same(Named),
    /// A framing that differs by the way of the bytes.
    ByWay { up: Named, down: Named, either: Named },
}

impl Choice {
    /// A framing that differs by the way of the bytes; `make` gives it for one.
    pub(crate) fn by_way(name: &str, make: impl Fn(Way) -> Shared) -> Self {
        let one_way = |way| Named::one_way(name, way, make(way));
        let either = Named::either(name, Either::new(make(Way::Up), make(Way::Down)));
        Self::ByWay { up: one_way(Way::Up), down: one_way(Way::Down), either }
    }

    /// A framing that differs by a registration that devices send, once, in front of everything.
    pub(crate) fn with_registration(name: &str, make: impl Fn(Way) -> Shared) -> Self {
        let up = || {
            let behind = Named::one_way(name, Way::Up, make(Way::Down));
            Named::one_way(name, Way::Up, make(Way::Up)).with_registration(behind)
        };
        // Whose way is not known may begin with it.
        Self::ByWay { up: up(), down: Named::one_way(name, Way::Down, make(Way::Down)), either: up() }
    }

    /// The framing for bytes that go this way, or of which it is not known.
    pub(crate) const fn of(&self, way: Option<Way>) -> &Named {
        match self {
            Self::Same(framing) => framing,
            Self::ByWay { up, down, either } => match way {
                Some(Way::Up) => up,
                Some(Way::Down) => down,
                None => either,
            },
        }
    }
}

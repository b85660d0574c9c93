//! How the streams of an input are read.

use super::named::Named;
use super::way::Way;

/// What was chosen for all the streams of an input.
pub(crate) enum Plan {
    /// One framing for all of them.
    Same(Named),
    /// A framing that differs by the way of the bytes.
    ByWay { up: Named, down: Named, either: Named },
}

/// How a stream begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'p> {
    /// Its framing is known.
    Known(&'p Named),
}

impl Plan {
    /// How a stream begins whose bytes go this way, if that is known.
    pub(crate) const fn start(&self, way: Option<Way>) -> Start<'_> {
        match self {
            Self::Same(framing) => Start::Known(framing),
            Self::ByWay { up, down, either } => Start::Known(match way {
                Some(Way::Up) => up,
                Some(Way::Down) => down,
                None => either,
            }),
        }
    }
}

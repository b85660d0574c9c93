//! What the bytes of a frame mean, as far as they tell it.

use super::rings::Direction;
use serde::Serialize;
use utoipa::ToSchema;

/// A part of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Field {
    /// Its first byte.
    pub(crate) from: usize,
    /// The first byte behind it.
    pub(crate) to: usize,
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

/// The parts of a frame that went up or down; none where it is not known what it is.
pub(crate) fn annotate(_bytes: &[u8], _direction: Direction) -> Vec<Field> {
    Vec::new()
}

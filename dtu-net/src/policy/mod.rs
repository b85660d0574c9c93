//! Policies as a configuration file has them, and what is wrong with them.

mod error;

pub use error::{Bound, Field, PolicyError};
pub(crate) use error::{count, time};

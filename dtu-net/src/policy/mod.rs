//! Policies as a configuration file has them: plain fields, times in milliseconds by name, checked when built.
//!
//! The constructors of [`Backoff`](crate::backoff::Backoff) are made for constants in code and move what does not fit. What
//! an operator has written is not moved but told: `build` of [`BackoffSpec`], [`BreakerSpec`] and [`RetrySpec`] gives the
//! first field that is outside of its bounds, by its name in the file, and the bound. [`ControllerSpec`] is the whole file
//! of a [retry controller](crate::controller), with overrides for targets and operations; its errors have the whole path.
//!
//! With the feature `serde` each is read and written by any format. A field that is left out has its default, a field that
//! is not known is an error.
//!
//! # Examples
//!
//! ```
//! # #[cfg(feature = "serde")] {
//! use dtu_net::policy::RetrySpec;
//!
//! let text = r#"
//! deadline_ms = 60000
//!
//! [backoff]
//! base_ms = 200
//! factor = 2.0
//! cap_ms = 10000
//! jitter = "full"
//! max_attempts = 8
//! "#;
//! let spec: RetrySpec = toml::from_str(text).unwrap();
//! assert!(spec.build().is_ok());
//!
//! let spec: RetrySpec = toml::from_str(&text.replace("2.0", "nan")).unwrap();
//! assert_eq!(spec.build().unwrap_err().to_string(), "factor has to be a finite number");
//! # }
//! ```

mod backoff;
mod breaker;
mod budget;
mod controller;
mod error;
mod job;
mod period;
mod place;
mod retry;

pub use backoff::{BackoffSpec, FACTOR_MAX};
pub use breaker::{BreakerSpec, RateSpec};
pub use budget::BudgetSpec;
pub use controller::{ControllerConfig, ControllerSpec, ProcessSpec, TargetSpec};
pub use error::{Bound, Field, PolicyError};
pub use job::{DelaysSpec, PolicySpec};
pub use period::Period;
pub use place::{Place, PlacedError};
pub use retry::RetrySpec;

pub(crate) use error::{count, time};

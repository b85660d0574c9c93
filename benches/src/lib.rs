//! Benchmarks of `dtu-proto` against other framings and against the checksum alone.
//!
//! Everything that is measured is a [`Contestant`](contest::Contestant) in a [`Job`](contest::Job): the same payloads,
//! the same results. Two bench targets use the jobs: `codec` gives each contestant to criterion, and `ratios` runs the
//! contestants of a job in turn and prints one table of ratios. A ratio is taken between neighbours in time, so that a
//! noisy machine slows both sides alike.
//!
//! Servers are measured from outside: each runs in a process of its own ([`process`]) under the same [`load`] over
//! loopback sockets, beside a [`plain_server`] that has no sessions.
//!
//! Every job's buffer fits the second-level cache, and every contestant adds up what it found, so that no work can be
//! left out by the compiler.

pub mod arrival;
pub mod breaker;
pub mod checksum;
pub mod contest;
pub mod decode;
pub mod encode;
pub mod jobs;
pub mod links;
pub mod load;
pub mod mavlink;
pub mod messages;
pub mod mqtt;
pub mod noise;
pub mod outside;
pub mod payloads;
pub mod plain_server;
pub mod presets;
pub mod process;
pub mod ratios;
pub mod reading;
pub mod servers;
pub mod stream;
pub mod turns;

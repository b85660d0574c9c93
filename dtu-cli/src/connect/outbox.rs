//! Where DATA waits until it is acknowledged.

use anyhow::Context;
use core::time::Duration;
use dtu_net::limits::{OutboxLimits, WhenFull};
use dtu_net::store::{Durability, FileStore, Kept, OutboxStore, Recovery};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Outbox")]
pub(super) struct OutboxArgs {
    /// Keeps the outbox in a file, so that what is in it survives this process and a loss of power. One file belongs to one
    /// device id.
    #[arg(long, value_name = "FILE")]
    pub(super) outbox: Option<PathBuf>,
    /// Does not wait for the disk at each DATA. It is faster, and after a loss of power the file must be removed: its numbers
    /// may be older than what the server has taken.
    #[arg(long, requires = "outbox")]
    outbox_no_sync: bool,
    /// The most DATA it holds.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    outbox_frames: u32,
    /// The most bytes of DATA it holds.
    #[arg(long, value_name = "N", default_value_t = 1 << 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(65_536..=1 << 30))]
    outbox_bytes: u32,
    /// What happens to DATA for which it has no room: it waits and nothing more is read, it is refused, or the oldest goes.
    #[arg(long, value_enum, default_value_t = Full::Wait)]
    when_full: Full,
    /// How long DATA is of use, in seconds. What is older is not sent any more. What an earlier run has left in the file
    /// has no limit.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    expire: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Full {
    Wait,
    RefuseNew,
    DropOldest,
}

impl OutboxArgs {
    pub(super) fn limits(&self) -> OutboxLimits {
        OutboxLimits {
            frames: usize::try_from(self.outbox_frames).unwrap_or(usize::MAX),
            bytes: usize::try_from(self.outbox_bytes).unwrap_or(usize::MAX),
            when_full: match self.when_full {
                Full::Wait => WhenFull::Wait,
                Full::RefuseNew => WhenFull::RefuseNew,
                Full::DropOldest => WhenFull::DropOldest,
            },
        }
    }

    pub(super) fn expire(&self) -> Option<Duration> {
        self.expire.map(|seconds| Duration::from_secs(u64::from(seconds)))
    }

    /// Opens the file, when there is one, and says on stderr what was found in it.
    pub(super) fn open(&self) -> anyhow::Result<Option<(Kept, Box<dyn OutboxStore>)>> {
        let Some(path) = &self.outbox else { return Ok(None) };
        let durability = if self.outbox_no_sync { Durability::Process } else { Durability::Power };
        let new_stream = getrandom::u64().context("the system gives no random number")?.max(1);
        let (store, kept, recovery) = FileStore::open(path, new_stream, durability)
            .with_context(|| format!("cannot use --outbox {}", path.display()))?;
        tell(path, &kept, &recovery);
        Ok(Some((kept, Box::new(store))))
    }
}

fn tell(path: &Path, kept: &Kept, recovery: &Recovery) {
    let path = path.display();
    if !kept.data.is_empty() {
        eprintln!("{} DATA of an earlier run are in {path}", kept.data.len());
    }
    if recovery.damaged_bytes() > 0 {
        let (bytes, lost) = (recovery.damaged_bytes(), recovery.lost);
        eprintln!("dtu: warning: {bytes} bytes of {path} are damaged; up to {lost} DATA are lost by it");
    }
}

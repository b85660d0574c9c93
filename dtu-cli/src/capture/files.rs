//! The files of a capture, and what they may take together.

use super::pcapng;
use super::queue::Taken;
use super::settings::CaptureSettings;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What is gathered before it is written.
const GATHERED: usize = 256 << 10;

/// Names are `dtu-2026-11-25T190530Z-000001.pcapng`: their order is that of time.
const PREFIX: &str = "dtu-";
const SUFFIX: &str = ".pcapng";
const NAME_LEN: usize = "dtu-2026-11-25T190530Z-000001.pcapng".len();

pub(super) struct Files {
    dir: PathBuf,
    max_file_size: u64,
    max_total_size: u64,
    snap_length: usize,
    file: File,
    /// The bytes in the file. Behind them is nothing that is not whole.
    size: u64,
    /// Whole blocks that are not in the file yet, and how many packets are in them.
    gathered: Vec<u8>,
    packets: u64,
    packet: Vec<u8>,
    number: u32,
    /// How many dropped packets the blocks so far have told.
    missing: u64,
}

impl Files {
    pub(super) fn open(settings: &CaptureSettings) -> io::Result<Self> {
        make(&settings.dir)?;
        let (max_file_size, max_total_size) = (settings.max_file_size.0, settings.max_total_size.0);
        make_room(&settings.dir, max_total_size - max_file_size)?;
        let mut number = 0;
        let file = create(&settings.dir, &mut number)?;
        let snap_length = settings.snap_length.map_or(usize::MAX, |most| usize::try_from(most.0).unwrap_or(usize::MAX));
        let mut files = Self {
            dir: settings.dir.clone(),
            max_file_size,
            max_total_size,
            snap_length,
            file,
            size: 0,
            gathered: Vec::new(),
            packets: 0,
            packet: Vec::new(),
            number,
            missing: 0,
        };
        files.begin();
        files.flush()?;
        Ok(files)
    }

    fn begin(&mut self) {
        self.size = 0;
        self.gathered = pcapng::header(u32::try_from(self.snap_length).unwrap_or_default());
    }

    /// Takes a packet. `dropped` is how many were dropped so far.
    pub(super) fn put(&mut self, taken: &Taken, dropped: u64) -> io::Result<()> {
        self.packet.clear();
        taken.packet.encode(&mut self.packet);
        let kept = self.packet.get(..self.snap_length).unwrap_or(&self.packet);
        let (start, missing) = (self.gathered.len(), dropped - self.missing);
        pcapng::packet(&mut self.gathered, taken.at, taken.packet.way, kept, self.packet.len(), missing);
        self.missing = dropped;
        if self.size + widen(self.gathered.len()) > self.max_file_size {
            let block = self.gathered.split_off(start);
            self.write()?;
            self.rotate()?;
            self.gathered.extend_from_slice(&block);
        }
        self.packets += 1;
        if self.gathered.len() >= GATHERED { self.write() } else { Ok(()) }
    }

    /// Writes what is gathered, and says how many packets were written since the last time.
    pub(super) fn flush(&mut self) -> io::Result<u64> {
        self.write()?;
        Ok(core::mem::take(&mut self.packets))
    }

    fn write(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.gathered);
        if written.is_err() {
            // The half of a block would make the whole file a broken one.
            let _half = self.file.set_len(self.size);
        }
        written?;
        self.size += widen(self.gathered.len());
        self.gathered.clear();
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        make_room(&self.dir, self.max_total_size - self.max_file_size)?;
        self.file = create(&self.dir, &mut self.number)?;
        self.begin();
        Ok(())
    }
}

fn make(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Creates the next file, which only its owner can read: it holds what devices say.
fn create(dir: &Path, number: &mut u32) -> io::Result<File> {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', "");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    loop {
        *number = *number % 999_999 + 1;
        match options.open(dir.join(format!("{PREFIX}{time}-{number:06}{SUFFIX}"))) {
            // Another gateway began in the same second.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            opened => return opened,
        }
    }
}

/// Removes the oldest files until the others take at most `most` bytes.
fn make_room(dir: &Path, most: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(is_ours) {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => files.push((name, metadata.len())),
            Ok(_) => {}
            // Somebody has cleared it away.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    files.sort();
    let mut sum: u64 = files.iter().map(|(_, size)| size).sum();
    for (name, size) in files {
        if sum <= most {
            break;
        }
        match fs::remove_file(dir.join(name)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        sum -= size;
    }
    Ok(())
}

/// Whether a name is one that a capture gives, to the character: whatever else lies there is nobody's to remove.
fn is_ours(name: &str) -> bool {
    let inner = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    let shape = |inner: &str| inner.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'T' | b'Z'));
    name.len() == NAME_LEN && inner.is_some_and(shape)
}

fn widen(length: usize) -> u64 {
    u64::try_from(length).expect("a length has at most 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_captures_are_removed() {
        assert!(is_ours("dtu-2026-11-25T190530Z-000001.pcapng"));
        for name in
            ["dtu-mine.pcapng", "dtu-2026-11-25T190530Z-00001a.pcapng", "dtu-2026-11-25T190530Z-000001.pcap", "x"]
        {
            assert!(!is_ours(name), "{name}");
        }
    }
}

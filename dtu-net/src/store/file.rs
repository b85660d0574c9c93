//! A store in a file.

use super::error::StoreError;
use super::record::{DATA_OVERHEAD, HEAD_LEN, Head, MAX_BODY_LEN, Record};
use super::recover::{Found, MAX_OPEN, Place, Recovery, read};
use super::{Kept, OutboxStore};
use crate::numbers::is_after;
use dtu_proto::message::Data;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The bytes of settled records up to which the file is not written anew. Small for any flash, and large enough that
/// the sync of a rewrite comes once in thousands of readings.
pub const REWRITE_ABOVE: u64 = 256 * 1024;

/// What a DATA survives from the moment its append has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, at any instruction: one write for each record.
    ///
    /// A power loss may take the last appends, all of each, and their numbers are then given to other DATA. When the
    /// peer says on resuming that it awaits a number above `next`, that has happened and the stream must not go on.
    Process,
    /// A loss of power as well: each append waits for the disk, which takes milliseconds.
    ///
    /// Settlements do not wait: one that is lost costs a repeat, and the next append takes it along.
    Power,
}

/// An outbox's store in one file; see the [module](super).
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    durability: Durability,
    file: File,
    /// The length of the file up to the end of its last whole record.
    length: u64,
    /// Something else than `length` may be the file's end or the cursor's place.
    astray: bool,
    stream: u64,
    base: u32,
    next: u32,
    /// What is not settled, ascending, from `base` to `next`.
    places: VecDeque<Place>,
    /// The bytes of those records.
    open_bytes: u64,
    /// The settled bytes above which the file is written anew: more after a rewrite that failed.
    rewrite_above: u64,
    /// One record, used again and again.
    record: Vec<u8>,
    _lock: File,
}

impl FileStore {
    /// Opens the store at `path`, or makes one with the stream `new_stream` when there is no such file.
    ///
    /// What the file held comes back for a new outbox. Beside it stand `<path>.lock` and for moments `<path>.new`.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. The file is as it was, or mended when the error came behind that.
    ///
    /// # Examples
    ///
    /// Kept by one run, found by the next:
    /// ```
    /// use dtu_net::store::{Durability, FileStore, OutboxStore};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("outbox");
    /// let (mut store, kept, recovery) = FileStore::open(&path, 0x5EED, Durability::Process)?;
    /// assert!(recovery.created);
    /// store.append(kept.next, 0, b"21.5 C")?;
    /// drop(store);
    ///
    /// let (_store, kept, _) = FileStore::open(&path, 0x0DD, Durability::Process)?;
    /// assert_eq!((kept.stream, kept.base, kept.next), (0x5EED, 0, 1));
    /// assert_eq!(&kept.data[0].body[..], b"21.5 C");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(
        path: impl AsRef<Path>,
        new_stream: u64,
        durability: Durability,
    ) -> Result<(Self, Kept, Recovery), StoreError> {
        let path = path.as_ref();
        // A rewrite replaces the file itself and not a symbolic link to it, wherever the process has gone meanwhile.
        let path = fs::canonicalize(path).or_else(|_| std::path::absolute(path))?;
        let lock = lock(&path)?;
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let (file, found) = match file {
            Some(mut file) => {
                let found = read(&mut file)?;
                (file, found)
            }
            None => create(&path, new_stream)?,
        };
        let Found { kept, places, end, mut recovery } = found;
        recovery.leftover_removed = remove(&beside(&path, ".new"))?;
        let mut store = Self {
            path,
            durability,
            file,
            length: end,
            astray: true,
            stream: kept.stream,
            base: kept.base,
            next: kept.next,
            open_bytes: places.iter().map(|place| u64::from(place.length)).sum(),
            places,
            rewrite_above: REWRITE_ABOVE,
            record: Vec::new(),
            _lock: lock,
        };
        if recovery.damaged_bytes() > 0 {
            // The numbers given up must be known as used before anything else is written.
            store.rewrite()?;
            recovery.rewritten = true;
        } else {
            store.straighten()?;
        }
        Ok((store, kept, recovery))
    }

    /// The most bytes that the file has while the bodies of all unsettled DATA together have `body_bytes`: what an
    /// outbox bounds. A file that cannot be written anew, for want of room or of rights, grows on. While the file is
    /// written anew, the disk holds `body_bytes` and the DATA's overhead once more.
    #[must_use]
    pub fn size_bound(body_bytes: u64, data: u64) -> u64 {
        let open = HEAD_LEN as u64 + body_bytes + data * DATA_OVERHEAD as u64;
        open + open.max(REWRITE_ABOVE)
    }

    /// Puts the end of the file and the cursor where they belong.
    fn straighten(&mut self) -> io::Result<()> {
        if self.astray {
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            self.astray = false;
        }
        Ok(())
    }

    /// Writes one record behind the last; on error the file ends as before.
    fn write(&mut self, record: Record<'_>) -> io::Result<()> {
        self.straighten()?;
        record.encode(self.stream, &mut self.record).map_err(invalid)?;
        let is_data = matches!(record, Record::Data(_));
        let written = self.file.write_all(&self.record).and_then(|()| match self.durability {
            Durability::Power if is_data => self.file.sync_data(),
            Durability::Power | Durability::Process => Ok(()),
        });
        if written.is_err() {
            self.astray = true;
            // When this fails too, the next write tries again, or the next open cuts the tail.
            let _ = self.straighten();
        } else {
            self.length += self.record.len() as u64;
        }
        written
    }

    fn settled_bytes(&self) -> u64 {
        self.length.saturating_sub(HEAD_LEN as u64 + self.open_bytes)
    }

    /// Keeps a settlement that is known here already.
    fn settle(&mut self, record: Record<'_>) -> io::Result<()> {
        let written = self.write(record);
        let settled = self.settled_bytes();
        if settled <= self.rewrite_above || settled <= self.length / 2 {
            return written;
        }
        // The new file holds the settlement, so it does not matter whether the record could be written to a full disk. A
        // rewrite that fails is not tried at each settlement.
        self.rewrite_above = settled + REWRITE_ABOVE;
        self.rewrite()?;
        self.rewrite_above = REWRITE_ABOVE;
        Ok(())
    }

    /// Writes the file anew, with what is open alone.
    fn rewrite(&mut self) -> io::Result<()> {
        self.astray = true;
        Record::Head(Head { base: self.base, next: self.next })
            .encode(self.stream, &mut self.record)
            .map_err(invalid)?;
        let file = replace(&self.path, &self.record, &mut self.file, &self.places)?;
        let mut at = self.record.len() as u64;
        for place in &mut self.places {
            place.at = at;
            at += u64::from(place.length);
        }
        (self.file, self.length) = (file, at);
        self.straighten()?;
        sync_directory(&self.path)
    }
}

impl OutboxStore for FileStore {
    /// Fails with [`io::ErrorKind::InvalidInput`] when `seq` is not the next number, when 2^31 - 1 numbers are open,
    /// or when the body has more than [`MAX_BODY_LEN`] bytes.
    fn append(&mut self, seq: u32, channel: u8, body: &[u8]) -> io::Result<()> {
        if seq != self.next {
            return Err(invalid(format!("DATA {seq} is to be kept, and {} is next", self.next)));
        }
        if seq.wrapping_sub(self.base) >= MAX_OPEN {
            return Err(invalid(format!("DATA {seq} is too far above the base {}", self.base)));
        }
        if body.len() > MAX_BODY_LEN {
            return Err(invalid(format!("a body of {} bytes, {MAX_BODY_LEN} can be kept", body.len())));
        }
        let at = self.length;
        self.write(Record::Data(Data { seq, channel, body }))?;
        let length = u32::try_from(self.record.len()).map_err(invalid)?;
        self.places.push_back(Place { seq, at, length });
        self.open_bytes += u64::from(length);
        self.next = seq.wrapping_add(1);
        Ok(())
    }

    /// Fails with [`io::ErrorKind::InvalidInput`] when `base` is above every number that was appended. Writes the
    /// file anew when that is due; when it fails there, the settlement itself is kept.
    fn settled_below(&mut self, base: u32) -> io::Result<()> {
        if is_after(base, self.next) {
            return Err(invalid(format!("settled below {base}, and {} is next", self.next)));
        }
        if !is_after(base, self.base) {
            return Ok(());
        }
        self.base = base;
        while let Some(place) = self.places.pop_front_if(|place| is_after(base, place.seq)) {
            self.open_bytes -= u64::from(place.length);
        }
        self.settle(Record::SettledBelow { base })
    }

    /// Fails with [`io::ErrorKind::InvalidInput`] when `seq` was never appended.
    fn settled(&mut self, seq: u32) -> io::Result<()> {
        if !is_after(self.next, seq) {
            return Err(invalid(format!("DATA {seq} is settled, and {} is next", self.next)));
        }
        let base = self.base;
        let Ok(index) = self.places.binary_search_by_key(&seq.wrapping_sub(base), |place| place.seq.wrapping_sub(base))
        else {
            return Ok(());
        };
        if let Some(place) = self.places.remove(index) {
            self.open_bytes -= u64::from(place.length);
        }
        self.settle(Record::Settled { seq })
    }
}

fn invalid(error: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// The path with something behind its last name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// A file of its own carries the lock: the store's file is replaced, and a lock goes with the old one.
fn lock(path: &Path) -> Result<File, StoreError> {
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(beside(path, ".lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn create(path: &Path, stream: u64) -> Result<(File, Found), StoreError> {
    if stream == 0 {
        return Err(StoreError::StreamZero);
    }
    let mut head = Vec::new();
    Record::Head(Head { base: 0, next: 0 }).encode(stream, &mut head).map_err(invalid)?;
    let file = replace(path, &head, &mut io::empty(), &VecDeque::new())?;
    sync_directory(path)?;
    let kept = Kept { stream, base: 0, next: 0, data: Vec::new() };
    let recovery = Recovery { created: true, ..Recovery::default() };
    Ok((file, Found { kept, places: VecDeque::new(), end: head.len() as u64, recovery }))
}

/// Puts a file with `head` and the records at `places` of `source` under the name `path`, all of it or nothing.
fn replace(path: &Path, head: &[u8], source: &mut (impl Read + Seek), places: &VecDeque<Place>) -> io::Result<File> {
    let new = beside(path, ".new");
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
    file.write_all(head)?;
    for (start, length) in runs(places) {
        source.seek(SeekFrom::Start(start))?;
        if io::copy(&mut source.by_ref().take(length), &mut file)? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok(file)
}

/// The records that stand one behind the other, taken together: where, and how many bytes.
fn runs(places: &VecDeque<Place>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for place in places {
        let length = u64::from(place.length);
        match runs.last_mut() {
            Some((start, so_far)) if *start + *so_far == place.at => *so_far += length,
            _ => runs.push((place.at, length)),
        }
    }
    runs
}

/// Removes the file if there is one.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a rename last. Only Unix lets a directory be synced.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

//! Keys in a text file.

use super::KeyStore;
use crate::auth::{Key, KeyError};
use core::fmt;
use dtu_proto::message::{DeviceId, MessageError};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// The longest file that is read, in bytes: over 170 000 lines of the longest key and the longest device id.
pub const MAX_KEY_FILE_LEN: usize = 32 << 20;

/// The keys in a text file, one device a line: the key in hex, blanks, and the device id, which goes to the end of the
/// line and may have blanks in it, though not at its ends.
///
/// ```text
/// # gate house
/// 000102030405060708090a0b0c0d0e0f 867584030001234
/// 101112131415161718191a1b1c1d1e1f meter 7, cellar
/// ```
///
/// Blank lines, and lines that begin with `#`, say nothing. Lines may end with CR LF. The text is UTF-8. A file with one
/// bad line is refused as a whole: a server with half of its keys would turn the other devices away.
///
/// Whoever can read the file can be every device in it. Only the server's user, or its group, should be able to;
/// [`is_exposed`](Self::is_exposed) says when others are.
pub struct FileKeys {
    path: PathBuf,
    loaded: RwLock<Loaded>,
}

/// What one reading of the file gave.
struct Loaded {
    keys: HashMap<String, Key>,
    is_exposed: bool,
}

impl FileKeys {
    /// Reads the file at `path`. It blocks as long as the disk does.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let path = path.into();
        let loaded = RwLock::new(load(&path)?);
        Ok(Self { path, loaded })
    }

    /// Reads the file again, and takes all of it or nothing: on an error the keys stay as they were. It blocks as long as
    /// the disk does; lookups meanwhile do not wait for it. A device that is already in stays in.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub fn reload(&self) -> Result<(), KeyFileError> {
        let loaded = load(&self.path)?;
        // The old keys are dropped after the lock is.
        let _old = {
            let mut current = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
            core::mem::replace(&mut *current, loaded)
        };
        Ok(())
    }

    /// Whether users other than the owner and the group could read or change the file when it was read. Known on Unix
    /// only; `false` elsewhere.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.with(|loaded| loaded.is_exposed)
    }

    /// How many devices have a key.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(|loaded| loaded.keys.len())
    }

    /// Whether no device has a key, so that none can prove one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lock is held for a lookup or a swap and never while a file is read; nothing panics under it.
    fn with<T>(&self, read: impl FnOnce(&Loaded) -> T) -> T {
        read(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeyStore for FileKeys {
    /// Never an error: what was read is in memory.
    fn key(&self, device: DeviceId<'_>) -> io::Result<Option<Key>> {
        self.with(|loaded| loaded.keys.key(device))
    }
}

impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKeys").field("path", &self.path).field("devices", &self.len()).finish_non_exhaustive()
    }
}

fn load(path: &Path) -> Result<Loaded, KeyFileError> {
    let file = File::open(path)?;
    let is_exposed = is_exposed(&file)?;
    let mut text = Vec::new();
    // One byte more than allowed tells a file that is too long from one that just fits.
    let limit = u64::try_from(MAX_KEY_FILE_LEN).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut text)?;
    if text.len() > MAX_KEY_FILE_LEN {
        return Err(KeyFileError::TooLong { limit: MAX_KEY_FILE_LEN });
    }
    Ok(Loaded { keys: parse(&text)?, is_exposed })
}

#[cfg(unix)]
fn is_exposed(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &File) -> io::Result<bool> {
    Ok(false)
}

fn parse(text: &[u8]) -> Result<HashMap<String, Key>, KeyFileError> {
    let mut devices = HashMap::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let at_line = |fault| KeyFileError::Line { number, fault };
        let Some((device, key)) = parse_line(line).map_err(at_line)? else { continue };
        match devices.entry(device.as_str()) {
            Entry::Vacant(entry) => {
                entry.insert((number, key));
            }
            Entry::Occupied(entry) => return Err(at_line(LineFault::Duplicate { first: entry.get().0 })),
        }
    }
    Ok(devices.into_iter().map(|(device, (_, key))| (device.to_owned(), key)).collect())
}

/// The device and its key; `None` for a line that says nothing.
fn parse_line(line: &[u8]) -> Result<Option<(DeviceId<'_>, Key)>, LineFault> {
    let line = core::str::from_utf8(line)
        .map_err(|error| LineFault::NotUtf8 { valid_up_to: error.valid_up_to() })?
        .trim_ascii();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (digits, device) = line.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line, ""));
    let key = Key::from_hex(digits).map_err(LineFault::Key)?;
    let device = DeviceId::new(device.trim_ascii()).map_err(LineFault::Device)?;
    Ok(Some((device, key)))
}

/// Why a file gives no keys.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read.
    Io(io::Error),
    /// It is longer than is read.
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A line is not a key and a device id.
    Line {
        /// Its number, from 1.
        number: usize,
        /// What is wrong with it.
        fault: LineFault,
    },
}

/// What can be wrong with a line. It tells nothing of the key but its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineFault {
    /// It is not UTF-8.
    NotUtf8 {
        /// How many of its bytes are.
        valid_up_to: usize,
    },
    /// It does not begin with a key.
    Key(KeyError),
    /// There is no device id behind the key, or one that is too long.
    Device(MessageError),
    /// The device has a key already.
    Duplicate {
        /// The number of the line that has it.
        first: usize,
    },
}

impl From<io::Error> for KeyFileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::TooLong { limit } => write!(f, "file is longer than {limit} bytes"),
            Self::Line { number, fault } => write!(f, "line {number}: {fault}"),
        }
    }
}

impl core::error::Error for KeyFileError {}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { valid_up_to } => write!(f, "not UTF-8 from its byte {valid_up_to} on"),
            Self::Key(error) => error.fmt(f),
            Self::Device(error) => error.fmt(f),
            Self::Duplicate { first } => write!(f, "the device has a key in line {first}"),
        }
    }
}

impl core::error::Error for LineFault {}

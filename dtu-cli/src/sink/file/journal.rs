//! The file that is written now: whole batches, on the disk before anybody is told.

use super::FileSettings;
use super::ahead::{self, Ahead};
use super::mend::whole_lines;
use super::rotation::Rotation;
use crate::sink::say;
use metrics::counter;
use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::SystemTime;

/// What a file does when it is written; tests have one that fails.
pub(super) trait Medium: Send + 'static {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Ready when bytes and length are on the disk.
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The file, and what becomes of it.
pub(super) struct Journal<M> {
    settings: FileSettings,
    rotation: Rotation,
    wrap: fn(File) -> M,
    /// `None` between a file that was moved aside and the next one.
    current: Option<Current<M>>,
}

/// A file that is open and locked.
struct Current<M> {
    medium: M,
    /// Where batches are on the disk first; `None` where there is no room for that.
    ahead: Option<Ahead<M>>,
    /// Whether the file itself has to be written again from there: the disk did not take what it was given.
    is_doubtful: bool,
    /// What tells it from another one under the same name.
    identity: (u64, u64),
    /// Up to here everything is on the disk, in this file or in the one ahead.
    kept: u64,
    /// Whether something may stand behind that.
    is_untidy: bool,
    /// When its first line came; `None` while there is none.
    began: Option<SystemTime>,
}

/// What has become of a file that is open.
enum Fate {
    There,
    /// It has its name no more.
    Gone,
    /// It is shorter than what is in it.
    Cut {
        len: u64,
    },
}

impl<M: Medium> Journal<M> {
    /// # Errors
    ///
    /// As [`FileSink::open`](super::FileSink::open).
    pub(super) fn open(settings: FileSettings, wrap: fn(File) -> M) -> io::Result<Self> {
        // What is moved aside stands beside the file, not beside a link to it.
        let rotation = Rotation::new(&settings.path.canonicalize().unwrap_or_else(|_| settings.path.clone()));
        let mut journal = Self { settings, rotation, wrap, current: None };
        journal.current = Some(journal.open_current().map_err(|error| journal.say_where("open", &error))?);
        Ok(journal)
    }

    /// Appends whole lines. They are on the disk when it is ready.
    ///
    /// # Errors
    ///
    /// Nothing of them is in the file, or it is cut off before the next try.
    pub(super) fn append(&mut self, lines: &[u8], now: SystemTime) -> io::Result<()> {
        let is_due = self.current.as_ref().is_some_and(|current| current.is_due(&self.settings, lines.len(), now));
        match self.current.as_ref().map(|current| current.fate(&self.rotation)) {
            // Lines in a file that somebody has moved away or deleted would be found by nobody.
            Some(Fate::Gone) => {
                say(format_args!("{} is not there any more; a new one is begun", self.rotation.path().display()));
                self.retire().map_err(|error| self.say_where("write", &error))?;
            }
            // Behind a hole they would be taken for what a crash has left.
            Some(Fate::Cut { len }) => {
                let path = self.rotation.path().display();
                say(format_args!("{path} was cut to {len} bytes by somebody else; it goes on there"));
                self.let_be().map_err(|error| self.say_where("write", &error))?;
            }
            Some(Fate::There) if is_due => self.rotate(now).map_err(|error| self.say_where("rotate", &error))?,
            Some(Fate::There) | None => {}
        }
        if self.current.is_none() {
            self.current = Some(self.open_current().map_err(|error| self.say_where("open", &error))?);
        }
        let current = self.current.as_mut().expect("it was opened above");
        let written = current.append(lines, now);
        written.map_err(|error| self.say_where("write", &error))
    }

    fn open_current(&self) -> io::Result<Current<M>> {
        let path = self.rotation.path();
        let (file, is_new) = match File::options().read(true).write(true).create_new(true).open(path) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (File::options().read(true).write(true).create(true).truncate(false).open(path)?, false)
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        // Two that append would write over each other. Where there are no locks, that is up to the operator.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process writes it"));
        }
        let identity = identity(&metadata);
        // What is ahead of a file that was deleted speaks of another one, even where the system gave out its number again.
        let ahead = self.open_ahead(&file, (!is_new).then_some(identity))?;
        let len = file.metadata()?.len();
        let kept = whole_lines(&file, len)?;
        if kept < len {
            file.set_len(kept)?;
            file.sync_all()?;
            say(format_args!(
                "{}: {} bytes of what was being written when the last run ended are cut off; they were not acknowledged",
                path.display(),
                len - kept
            ));
        }
        self.rotation.sync_directory()?;
        Ok(Current {
            medium: (self.wrap)(file),
            ahead,
            is_doubtful: false,
            identity,
            kept,
            is_untidy: false,
            began: (kept > 0).then(|| metadata.created().or_else(|_| metadata.modified())).transpose()?,
        })
    }

    /// Opens what is ahead of the file, and writes again what the file may have lost in a crash, where it was there `before`.
    fn open_ahead(&self, file: &File, before: Option<(u64, u64)>) -> io::Result<Option<Ahead<M>>> {
        let path = ahead::beside(self.rotation.path());
        let found = match ahead::open(&path) {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                say(format_args!(
                    "no room for {} ({error}): each write waits for the file system's own books",
                    path.display()
                ));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // Read and cleared as it is; what fails later is not met here.
        let mut found = Ahead::new(found)?;
        let records = before.map_or_else(|| Ok(Vec::new()), |(_, number)| found.records(number))?;
        let len = file.metadata()?.len();
        // Everything before the first record was on the disk, so a file that is shorter was cut by somebody.
        if let (Some(first), Some(last)) = (records.first(), records.last())
            && first.offset <= len
        {
            for record in &records {
                FileExt::write_all_at(file, &record.lines, record.offset)?;
            }
            let end = last.offset + u64::try_from(last.lines.len()).expect("memory is smaller than that");
            if end < len {
                say(format_args!(
                    "{}: {} bytes of what was being written when the last run ended are cut off; they were not acknowledged",
                    self.rotation.path().display(),
                    len - end
                ));
                file.set_len(end)?;
            }
            file.sync_all()?;
        }
        found.clear()?;
        Ahead::new((self.wrap)(found.into_medium())).map(Some)
    }

    /// Moves the file aside, and deletes what is beyond those to be kept. The next one is not opened yet.
    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        self.retire_but_keep_open()?;
        self.rotation.move_aside(now)?;
        self.current = None;
        let Some(keep) = self.settings.keep else { return Ok(()) };
        let deleted = self.rotation.delete_beyond(keep)?;
        for path in &deleted {
            counter!("dtu_sink_deleted_files_total").increment(1);
            say(format_args!("{} is deleted, as {keep} files are kept", path.display()));
        }
        Ok(())
    }

    /// Has everything on the disk in the file itself, so that nothing ahead speaks of it any more.
    fn retire_but_keep_open(&mut self) -> io::Result<()> {
        self.current.as_mut().map_or(Ok(()), Current::settle)
    }

    fn retire(&mut self) -> io::Result<()> {
        self.retire_but_keep_open()?;
        self.current = None;
        Ok(())
    }

    /// Leaves the file as somebody else has made it: what is ahead of it does not speak of that.
    fn let_be(&mut self) -> io::Result<()> {
        if let Some(ahead) = self.current.as_mut().and_then(|current| current.ahead.as_mut()) {
            ahead.clear()?;
        }
        self.current = None;
        Ok(())
    }

    fn say_where(&self, what: &str, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("cannot {what} {}: {error}", self.rotation.path().display()))
    }
}

impl<M: Medium> Current<M> {
    fn append(&mut self, lines: &[u8], now: SystemTime) -> io::Result<()> {
        self.tidy()?;
        if self.ahead.as_ref().is_some_and(|ahead| !ahead.has_room(lines.len())) {
            self.settle()?;
        }
        self.is_untidy = true;
        if let Err(error) = self.write(lines) {
            // At once, so that whoever reads the file meanwhile sees whole lines; where that fails, before the next try.
            let _later = self.tidy();
            return Err(error);
        }
        self.is_untidy = false;
        self.kept += u64::try_from(lines.len()).expect("memory is smaller than that");
        self.began.get_or_insert(now);
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.medium.write_all_at(lines, self.kept)?;
        match &mut self.ahead {
            Some(ahead) if Ahead::<M>::fits(lines.len()) => ahead.write(self.identity.1, self.kept, lines),
            Some(_) | None => {
                let synced = self.medium.sync();
                self.is_doubtful |= synced.is_err();
                synced
            }
        }
    }

    /// Has everything on the disk in the file itself.
    fn settle(&mut self) -> io::Result<()> {
        self.tidy()?;
        let Some(ahead) = &mut self.ahead else { return Ok(()) };
        if self.is_doubtful {
            // After a sync that failed the system takes what it has for written.
            // What stands behind that is of a batch that failed, and will come again.
            let kept = ahead.records(self.identity.1)?.into_iter().filter(|record| record.offset < self.kept);
            for record in kept {
                self.medium.write_all_at(&record.lines, record.offset)?;
            }
        }
        self.is_doubtful = true;
        self.medium.sync()?;
        self.is_doubtful = false;
        ahead.clear()
    }

    /// Cuts off what a write that failed has left.
    fn tidy(&mut self) -> io::Result<()> {
        if self.is_untidy {
            self.medium.set_len(self.kept)?;
            self.is_untidy = false;
        }
        Ok(())
    }

    /// Whether it has to make room for a new file before `more` bytes.
    fn is_due(&self, settings: &FileSettings, more: usize, now: SystemTime) -> bool {
        let Some(began) = self.began else { return false };
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let is_full = settings.rotate_size.is_some_and(|size| self.kept.saturating_add(more) > size.0);
        let age = now.duration_since(began).unwrap_or_default();
        is_full || settings.rotate_every.is_some_and(|every| age >= every.0)
    }

    /// What others have done with it.
    fn fate(&self, rotation: &Rotation) -> Fate {
        match std::fs::metadata(rotation.path()) {
            Ok(found) if identity(&found) != self.identity => Fate::Gone,
            Ok(found) if found.len() < self.kept => Fate::Cut { len: found.len() },
            Ok(_) => Fate::There,
            Err(_) => Fate::Gone,
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests;

//! JSON lines in a file: kept for good when they are on the disk.
//!
//! A batch is written and waited for (`fdatasync`), and only then acknowledged. A batch that could not be written is cut off again and comes
//! another time, so the file has each record once, in whole lines. Every line was acknowledged, or will come again.

mod ahead;
mod journal;
mod mend;
mod rotation;

use super::worker::Worker;
use super::{Batch, Sink, SinkError, Storing};
use crate::settings::units::{Size, Span};
use core::num::NonZeroU32;
use core::time::Duration;
use journal::Journal;
use serde::Deserialize;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

/// The smallest `rotate_size`: below, most of the work would be opening files.
pub(crate) const ROTATE_SIZE_MIN: Size = Size(64 * 1024);

/// The shortest `rotate_every`.
pub(crate) const ROTATE_EVERY_MIN: Span = Span(Duration::from_secs(1));

/// `[[sink]]` with `kind = "file"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSettings {
    /// Where the lines go. The directory has to be there.
    pub(crate) path: PathBuf,
    /// The file is moved aside before it would become longer than this. Never, when not given.
    #[serde(default)]
    pub(crate) rotate_size: Option<Size>,
    /// The file is moved aside with the first batch after it has become as old as this. Never, when not given.
    #[serde(default)]
    pub(crate) rotate_every: Option<Span>,
    /// How many files that were moved aside are left; older ones are deleted. All, when not given.
    #[serde(default)]
    pub(crate) keep: Option<NonZeroU32>,
}

impl FileSettings {
    /// The first key whose value makes no sense, and what is allowed.
    pub(crate) fn mistake(&self) -> Option<(&'static str, String)> {
        if self.path.file_name().is_none() {
            return Some(("path", format!("`{}` does not end with the name of a file", self.path.display())));
        }
        if let Some(size) = self.rotate_size.filter(|size| *size < ROTATE_SIZE_MIN) {
            return Some(("rotate_size", format!("{size} is too small; the least is {ROTATE_SIZE_MIN}")));
        }
        if let Some(every) = self.rotate_every.filter(|every| *every < ROTATE_EVERY_MIN) {
            return Some(("rotate_every", format!("{every} is too short; the least is {ROTATE_EVERY_MIN}")));
        }
        if self.keep.is_some() && self.rotate_size.is_none() && self.rotate_every.is_none() {
            return Some(("keep", "without rotate_size or rotate_every there is but one file".into()));
        }
        None
    }
}

/// Appends lines to a file, in a thread of its own.
pub(crate) struct FileSink {
    journal: Worker<Journal<File>>,
}

impl FileSink {
    /// Opens the file, or makes it, and mends it where the last run ended in the middle of a line.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, another process has it, or it holds something else than JSON lines.
    pub(crate) fn open(settings: FileSettings) -> io::Result<Self> {
        Ok(Self { journal: Worker::start("file", Journal::open(settings, |file| file)?)? })
    }
}

impl Sink for FileSink {
    fn name(&self) -> &'static str {
        "file"
    }

    fn store<'a>(&'a mut self, batch: &'a Batch) -> Storing<'a> {
        let lines = batch.shared_lines();
        Box::pin(async move {
            match self.journal.run(move |journal| journal.append(&lines, SystemTime::now())).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(SinkError::Unavailable(error.to_string())),
                Err(_) => Err(SinkError::Gone("the thread that writes the file is gone".into())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::batch::tests::batch;

    #[test]
    fn a_section_has_defaults_and_its_mistakes_name_the_key() {
        let read = |text: &str| toml::from_str::<FileSettings>(text).map_err(|error| error.message().to_owned());
        let plain = read("path = 'a/data.jsonl'").unwrap();
        assert_eq!((plain.rotate_size, plain.rotate_every, plain.keep), (None, None, None));
        assert_eq!(plain.mistake(), None);
        let all = read("path = 'd.jsonl'\nrotate_size = '64KiB'\nrotate_every = '1s'\nkeep = 3").unwrap();
        assert_eq!((all.mistake(), all.keep), (None, NonZeroU32::new(3)));
        for (text, key) in [
            ("path = '/'", "path"),
            ("path = 'd'\nrotate_size = '63KiB'", "rotate_size"),
            ("path = 'd'\nrotate_every = '999ms'", "rotate_every"),
            ("path = 'd'\nkeep = 1", "keep"),
        ] {
            assert_eq!(read(text).unwrap().mistake().unwrap().0, key);
        }
        assert!(read("path = 'd'\nkeep = 0").is_err());
        assert!(read("path = 'd'\nsize = '1MiB'").unwrap_err().contains("rotate_size"));
        assert!(read("keep = 1").unwrap_err().contains("path"));
    }

    #[tokio::test]
    async fn what_is_stored_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data.jsonl");
        let settings = FileSettings { path: path.clone(), rotate_size: None, rotate_every: None, keep: None };
        let mut sink = FileSink::open(settings).unwrap();
        sink.store(&batch(&["{\"a\":1}", "{\"a\":2}"])).await.unwrap();
        sink.store(&batch(&["{\"a\":3}"])).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
    }
}

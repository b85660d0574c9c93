//! Files that were moved aside: `NAME-20261125T190532.042Z.jsonl`, in the order of their names.

use core::num::NonZeroU32;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The names around a path.
#[derive(Debug)]
pub(super) struct Rotation {
    path: PathBuf,
    directory: PathBuf,
    /// What stands before and behind the time.
    stem: String,
    extension: String,
}

/// A file that was moved aside: when, and which one of that millisecond.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    time: String,
    number: u32,
}

impl Rotation {
    pub(super) fn new(path: &Path) -> Self {
        // The part of a relative path without a directory is "", which cannot be opened.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let part = |part: Option<&OsStr>| part.map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
        let extension = path.extension().map(|extension| format!(".{}", part(Some(extension)))).unwrap_or_default();
        Self { path: path.into(), directory: directory.into(), stem: part(path.file_stem()), extension }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that names which were made or changed are on the disk.
    pub(super) fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    /// Moves the file aside, under a name that nobody has and that comes behind all others.
    pub(super) fn move_aside(&self, now: SystemTime) -> io::Result<PathBuf> {
        let now = Stamp { time: compact(now), number: 0 };
        // The clock may have been set back; who deletes the oldest goes by the name.
        let mut stamp = match self.stamps()?.pop() {
            Some(newest) if newest >= now => Stamp { number: newest.number + 1, ..newest },
            Some(_) | None => now,
        };
        let target = loop {
            let target = self.name(&stamp);
            // A rename would overwrite; who can make the file has the name.
            match File::create_new(&target) {
                Ok(_) => break target,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => stamp.number += 1,
                Err(error) => return Err(error),
            }
        };
        if let Err(error) = fs::rename(&self.path, &target) {
            // Nothing is in it. When it cannot be removed either, it stays as an empty file.
            let _stays = fs::remove_file(&target);
            return Err(error);
        }
        self.sync_directory()?;
        Ok(target)
    }

    /// Deletes the oldest beyond so many, and returns their paths.
    pub(super) fn delete_beyond(&self, keep: NonZeroU32) -> io::Result<Vec<PathBuf>> {
        let stamps = self.stamps()?;
        let beyond = stamps.len().saturating_sub(usize::try_from(keep.get()).unwrap_or(usize::MAX));
        let mut deleted = Vec::new();
        for stamp in &stamps[..beyond] {
            let path = self.name(stamp);
            fs::remove_file(&path)?;
            deleted.push(path);
        }
        Ok(deleted)
    }

    /// Those that are there, the oldest first.
    fn stamps(&self) -> io::Result<Vec<Stamp>> {
        let mut stamps = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            stamps.extend(entry?.file_name().to_str().and_then(|name| self.stamp(name)));
        }
        stamps.sort();
        Ok(stamps)
    }

    fn name(&self, Stamp { time, number }: &Stamp) -> PathBuf {
        let number = if *number == 0 { String::new() } else { format!("-{number}") };
        self.directory.join(format!("{}-{time}{number}{}", self.stem, self.extension))
    }

    /// `None` for every name that is not one of ours.
    fn stamp(&self, name: &str) -> Option<Stamp> {
        const SHAPE: &str = "00000000T000000.000Z";
        let middle = name.strip_prefix(&*self.stem)?.strip_prefix('-')?.strip_suffix(&*self.extension)?;
        let (time, number) = middle.split_at_checked(SHAPE.len())?;
        let fits = |(found, shape): (u8, u8)| if shape == b'0' { found.is_ascii_digit() } else { found == shape };
        if !time.bytes().zip(SHAPE.bytes()).all(fits) {
            return None;
        }
        let number = match number {
            "" => 0,
            number => number.strip_prefix('-').filter(|number| !number.starts_with(['0', '+']))?.parse().ok()?,
        };
        Some(Stamp { time: time.into(), number })
    }
}

/// RFC 3339 without the signs that names of files had better not have.
fn compact(at: SystemTime) -> String {
    let at = humantime::format_rfc3339_millis(at.max(SystemTime::UNIX_EPOCH)).to_string();
    at.chars().filter(|sign| !matches!(sign, '-' | ':')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_633_532_042 + millis)
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_overwritten_and_each_name_comes_behind_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let rotation = Rotation::new(&directory.path().join("data.jsonl"));
        // The same moment twice, and a clock that was set back by an hour.
        for (number, now) in [at(0), at(0), at(1), at(0)].into_iter().enumerate() {
            fs::write(rotation.path(), number.to_string()).unwrap();
            let target = rotation.move_aside(now).unwrap();
            assert_eq!(fs::read_to_string(target).unwrap(), number.to_string());
        }
        assert_eq!(
            names(directory.path()),
            [
                "data-20261125T190532.042Z-1.jsonl",
                "data-20261125T190532.042Z.jsonl",
                "data-20261125T190532.043Z-1.jsonl",
                "data-20261125T190532.043Z.jsonl",
            ]
        );
        assert_eq!(rotation.delete_beyond(NonZeroU32::new(2).unwrap()).unwrap().len(), 2);
        let left = ["data-20261125T190532.043Z-1.jsonl", "data-20261125T190532.043Z.jsonl"];
        assert_eq!(names(directory.path()), left);
    }

    #[test]
    fn only_files_of_this_sink_are_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let others = [
            "data-20261125T190532.042Z.jsonl.gz",
            "data-20261125T190532.042Z-0.jsonl",
            "data-20261125T190532.042Z-+1.jsonl",
            "data-20261125T190532.042.jsonl",
            "data-old.jsonl",
            "data.jsonl",
            "other-20261125T190532.042Z.jsonl",
        ];
        for name in others.iter().chain(&["data-20261125T190532.042Z.jsonl", "data-20261125T190532.042Z-7.jsonl"]) {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let rotation = Rotation::new(&directory.path().join("data.jsonl"));
        rotation.delete_beyond(NonZeroU32::MIN).unwrap();
        let mut left: Vec<String> = others.iter().map(ToString::to_string).collect();
        left.push("data-20261125T190532.042Z-7.jsonl".into());
        left.sort();
        assert_eq!(names(directory.path()), left);
    }

    #[test]
    fn a_file_that_cannot_be_moved_leaves_no_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let rotation = Rotation::new(&directory.path().join("data"));
        assert_eq!(rotation.move_aside(at(0)).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(names(directory.path()), [""; 0]);
    }
}

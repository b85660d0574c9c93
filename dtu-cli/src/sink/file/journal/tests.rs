use super::*;
use crate::settings::units::{Size, Span};
use core::cell::RefCell;
use core::num::NonZeroU32;
use core::time::Duration;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::fs;
use std::path::Path;

thread_local! {
    /// What goes wrong in the test of this thread.
    static TROUBLE: RefCell<Option<Xoshiro256PlusPlus>> = const { RefCell::new(None) };
}

/// A number below `below`; `below` itself while nothing is to go wrong.
fn draw(below: u64) -> u64 {
    TROUBLE.with_borrow_mut(|trouble| trouble.as_mut().map_or(below, |rng| rng.next_u64() % below))
}

/// A disk on which one thing in four fails; a write, after a part of it.
struct BadDisk(File);

impl Medium for BadDisk {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(&self.0, bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if draw(4) == 0 {
            let part = usize::try_from(draw(u64::try_from(bytes.len()).unwrap() + 1)).unwrap();
            FileExt::write_all_at(&self.0, &bytes[..part], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        FileExt::write_all_at(&self.0, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if draw(4) == 0 { Err(io::ErrorKind::Other.into()) } else { self.0.set_len(len) }
    }

    fn sync(&self) -> io::Result<()> {
        if draw(4) == 0 { Err(io::ErrorKind::Other.into()) } else { self.0.sync_data() }
    }
}

fn settings(path: &Path) -> FileSettings {
    FileSettings { path: path.into(), rotate_size: None, rotate_every: None, keep: None }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_633_532 + seconds)
}

/// All files in the order in which they were begun, the current one last.
fn all_text(directory: &Path) -> Vec<String> {
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_none_or(|extension| extension != "ahead"));
    // `-` stands before `.`, and the files of one moment are numbered: 1 to 9 in these tests.
    paths.sort_by_key(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().replace("Z.jsonl", "Z-0.jsonl");
        (name == "data.jsonl", name)
    });
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn on_a_bad_disk_every_line_is_in_the_file_once_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    for seed in 0..100 {
        // What is ahead of it stays: making it takes longer than all of this.
        let _none = fs::remove_file(&path);
        let mut journal = Journal::open(settings(&path), BadDisk).unwrap();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        TROUBLE.set(Some(Xoshiro256PlusPlus::seed_from_u64(seed + 1_000)));
        let (mut kept, mut number) = (String::new(), 0);
        for _ in 0..10 {
            let mut batch = String::new();
            for _ in 0..=rng.next_u64() % 4 {
                number += 1;
                batch += &format!("{{\"number\":{number}}}\n");
            }
            // Bounded: one try in four gets through at the least.
            let stored = (0..1_000).any(|_| {
                let stored = journal.append(batch.as_bytes(), at(0)).is_ok();
                let text = fs::read_to_string(&path).unwrap();
                let begins = if stored { kept.clone() + &batch } else { kept.clone() };
                assert!(text.starts_with(&begins), "seed {seed}: {text:?} does not begin with {begins:?}");
                stored
            });
            assert!(stored, "seed {seed}");
            kept += &batch;
            assert_eq!(fs::read_to_string(&path).unwrap(), kept, "seed {seed}");
        }
        // It is killed with a write that failed, and what is left of that not cut.
        let _failed = journal.append(b"{\"number\":0}\n", at(0));
        drop(journal);
        TROUBLE.set(None);
        drop(Journal::open(settings(&path), BadDisk).unwrap());
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&kept) && text.ends_with('\n'), "seed {seed}: {text:?} after {kept:?}");
    }
}

#[test]
fn a_full_file_is_moved_aside_before_it_gets_longer() {
    let directory = tempfile::tempdir().unwrap();
    let settings = FileSettings { rotate_size: Some(Size(20)), ..settings(&directory.path().join("data.jsonl")) };
    let mut journal = Journal::open(settings, |file| file).unwrap();
    for line in ["{\"n\":1}\n", "{\"n\":22}\n", "{\"n\":3}\n", "{\"n\":\"longer than a file\"}\n", "{\"n\":5}\n"] {
        journal.append(line.as_bytes(), at(0)).unwrap();
    }
    let longer = "{\"n\":\"longer than a file\"}\n";
    assert_eq!(all_text(directory.path()), ["{\"n\":1}\n{\"n\":22}\n", "{\"n\":3}\n", longer, "{\"n\":5}\n"]);
}

#[test]
fn a_file_is_as_old_as_its_first_line_and_an_empty_one_has_no_age() {
    let directory = tempfile::tempdir().unwrap();
    let every = Some(Span(Duration::from_secs(10)));
    let settings = FileSettings { rotate_every: every, ..settings(&directory.path().join("data.jsonl")) };
    let mut journal = Journal::open(settings, |file| file).unwrap();
    for (line, second) in
        [("{1}\n", 100), ("{2}\n", 109), ("{3}\n", 110), ("{4}\n", 119), ("{5}\n", 50), ("{6}\n", 200)]
    {
        journal.append(line.as_bytes(), at(second)).unwrap();
    }
    assert_eq!(all_text(directory.path()), ["{1}\n{2}\n", "{3}\n{4}\n{5}\n", "{6}\n"]);
}

#[test]
fn of_what_was_moved_aside_only_the_newest_are_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    let settings = FileSettings { rotate_size: Some(Size(1)), keep: NonZeroU32::new(2), ..settings(&path) };
    let mut journal = Journal::open(settings, |file| file).unwrap();
    for number in 1..=6 {
        journal.append(format!("{{{number}}}\n").as_bytes(), at(number)).unwrap();
    }
    assert_eq!(all_text(directory.path()), ["{4}\n", "{5}\n", "{6}\n"]);
}

#[test]
fn a_file_that_somebody_moved_or_deleted_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    let mut journal = Journal::open(settings(&path), |file| file).unwrap();
    journal.append(b"{1}\n", at(0)).unwrap();
    fs::rename(&path, directory.path().join("a")).unwrap();
    journal.append(b"{2}\n", at(0)).unwrap();
    fs::remove_file(&path).unwrap();
    journal.append(b"{3}\n", at(0)).unwrap();
    assert_eq!(all_text(directory.path()), ["{1}\n", "{3}\n"]);
}

#[test]
fn what_cannot_be_used_is_told_with_its_path_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    let error = |path: &Path| Journal::open(settings(path), |file| file).err().unwrap().to_string();
    assert!(error(&directory.path().join("no/such")).contains("no/such"));
    assert!(error(directory.path()).contains("cannot open"));
    assert!(error(Path::new("/dev/null")).contains("no regular file"));
    fs::write(&path, "something else").unwrap();
    assert!(error(&path).contains("no file of JSON lines"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else");
    fs::write(&path, "").unwrap();
    let _first = Journal::open(settings(&path), |file| file).unwrap();
    assert!(error(&path).contains("another process"));
}

#[test]
fn a_torn_line_is_cut_when_the_file_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    fs::write(&path, "{1}\n{2").unwrap();
    let mut journal = Journal::open(settings(&path), |file| file).unwrap();
    journal.append(b"{3}\n", at(0)).unwrap();
    assert_eq!(all_text(directory.path()), ["{1}\n{3}\n"]);
}

/// What the file itself loses when the power goes: everything since it was waited for, or a part of it.
#[test]
fn what_is_acknowledged_comes_back_after_a_crash_that_lost_the_end_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    let text = "{1}\n{22}\n{333}\n";
    let crash = |harm: &dyn Fn(&File)| {
        let _gone = fs::remove_file(&path);
        let mut journal = Journal::open(settings(&path), |file| file).unwrap();
        for line in text.split_inclusive('\n') {
            journal.append(line.as_bytes(), at(0)).unwrap();
        }
        drop(journal);
        harm(&File::options().write(true).open(&path).unwrap());
        drop(Journal::open(settings(&path), |file| file).unwrap());
        fs::read_to_string(&path).unwrap()
    };
    for len in 0..=text.len() {
        assert_eq!(crash(&|file| file.set_len(u64::try_from(len).unwrap()).unwrap()), text, "{len}");
        let zeros = vec![0; text.len() - len];
        let harm = |file: &File| FileExt::write_all_at(file, &zeros, u64::try_from(len).unwrap()).unwrap();
        assert_eq!(crash(&harm), text, "{len}");
    }
    let end = u64::try_from(text.len()).unwrap();
    assert_eq!(crash(&|file| FileExt::write_all_at(file, b"{4}\n{5", end).unwrap()), text, "not acknowledged");
}

#[test]
fn a_file_that_somebody_has_emptied_stays_empty() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    fs::write(&path, "{0}\n").unwrap();
    let mut journal = Journal::open(settings(&path), |file| file).unwrap();
    journal.append(b"{1}\n", at(0)).unwrap();
    drop(journal);
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    drop(Journal::open(settings(&path), |file| file).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
}

#[test]
fn what_is_ahead_of_one_file_is_not_written_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let settings = FileSettings { rotate_size: Some(Size(1)), ..settings(&directory.path().join("data.jsonl")) };
    for number in 1..=6 {
        // Each is killed after its line.
        let mut journal = Journal::open(settings.clone(), |file| file).unwrap();
        journal.append(format!("{{{number}}}\n").as_bytes(), at(0)).unwrap();
    }
    assert_eq!(all_text(directory.path()), ["{1}\n", "{2}\n", "{3}\n", "{4}\n", "{5}\n", "{6}\n"]);
}

#[test]
fn more_than_what_is_ahead_holds_goes_on_from_its_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    let mut journal = Journal::open(settings(&path), |file| file).unwrap();
    let line = format!("{{{}}}\n", "x".repeat(9_000_000));
    let mut lines = String::new();
    for _ in 0..5 {
        journal.append(line.as_bytes(), at(0)).unwrap();
        lines += &line;
    }
    let too_long = format!("{{{}}}\n", "y".repeat(usize::try_from(ahead::AHEAD_LEN).unwrap()));
    journal.append(too_long.as_bytes(), at(0)).unwrap();
    lines += &too_long;
    journal.append(b"{}\n", at(0)).unwrap();
    lines += "{}\n";
    drop(journal);
    drop(Journal::open(settings(&path), |file| file).unwrap());
    assert!(fs::read_to_string(&path).unwrap() == lines);
}

/// Where the file system gives out the number of the deleted file again, as ext4 does.
#[test]
fn what_is_ahead_of_a_deleted_file_is_not_written_to_the_next_one_of_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    let mut journal = Journal::open(settings(&path), |file| file).unwrap();
    journal.append(b"{1}\n", at(0)).unwrap();
    drop(journal);
    fs::remove_file(&path).unwrap();
    drop(Journal::open(settings(&path), |file| file).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
}

/// As `logrotate` does with `copytruncate`.
#[test]
fn a_file_that_somebody_has_cut_goes_on_at_its_last_whole_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    let mut journal = Journal::open(settings(&path), |file| file).unwrap();
    for (cut, left) in [(0, ""), (4, "{1}\n"), (6, "{1}\n")] {
        let _none = fs::write(&path, "");
        journal.append(b"{1}\n", at(0)).unwrap();
        journal.append(b"{22}\n", at(0)).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(cut).unwrap();
        journal.append(b"{333}\n", at(0)).unwrap();
        let expected = format!("{left}{{333}}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{cut}");
        // It is killed: nothing of what was cut comes back, and nothing of the rest is lost.
        drop(journal);
        journal = Journal::open(settings(&path), |file| file).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{cut}");
    }
}

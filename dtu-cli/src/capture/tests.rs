use super::*;
use crate::settings::units::Size;
use core::net::SocketAddr;
use dtu_net::driver::tap::Way;
use std::path::Path;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

fn addr(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn small(dir: &Path) -> CaptureSettings {
    CaptureSettings {
        max_file_size: Size(256 << 10),
        max_total_size: Size(1 << 20),
        ..CaptureSettings::new(dir.to_owned())
    }
}

fn sizes(dir: &Path) -> Vec<u64> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).collect();
    files.sort_by_key(|entry| entry.file_name());
    // One that made room since it was listed has no size.
    files.iter().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).collect()
}

/// Waits until all that is in the queue is written, or nothing is any more.
fn settle(capture: &Capture) {
    let began = Instant::now();
    while capture.queue.is_busy() {
        assert!(began.elapsed() < PATIENCE, "the queue is not written");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn files_are_their_owners_and_take_no_more_than_they_may() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().join("a/b");
    let capture = Capture::start(&small(&place)).unwrap();
    std::fs::write(place.join("dtu-notes.pcapng"), b"mine").unwrap();
    let mut flow = capture.tap().opened(addr(1), addr(2));
    for _ in 0..100 {
        flow.bytes(Way::Up, &[7; 60_000]);
        settle(&capture);
        let all = sizes(&place);
        assert!(all.iter().sum::<u64>() <= (1 << 20) + 4, "{all:?}");
        assert!(all.iter().all(|&size| size <= 256 << 10), "{all:?}");
    }
    drop(flow);
    capture.finish(PATIENCE).await;
    let all = sizes(&place);
    assert!(all.len() > 4 && all.contains(&4), "{all:?}");
    #[cfg(unix)]
    for entry in std::fs::read_dir(&place).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert!(mode == 0o600 || entry.file_name() == "dtu-notes.pcapng", "{mode:o}");
    }
}

#[tokio::test]
async fn what_does_not_fit_the_queue_is_dropped_and_counted() {
    let (queue, waiting) = Queue::new(256 << 10);
    let listener = flow::Listener::new(Arc::clone(&queue));
    let mut flow = listener.opened(addr(1), addr(2));
    for _ in 0..10 {
        flow.bytes(Way::Up, &[7; 60_000]);
    }
    assert_eq!(queue.dropped(), 6);
    listener.datagram(addr(1), addr(2), Way::Up, &[7; 60_000]);
    assert_eq!(queue.dropped(), 7);
    queue.end();
    let mut count = 0;
    let was_last = waiting.take(|_, _| {
        count += 1;
        Ok(())
    });
    assert!(!was_last.unwrap());
    assert_eq!(count, 3 + 4, "the handshake, and what there was room for");
    flow.bytes(Way::Up, &[7; 60_000]);
    assert_eq!(queue.dropped(), 7, "there is room again");
}

#[tokio::test]
async fn a_directory_that_goes_ends_the_capture_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().join("a");
    let capture = Capture::start(&small(&place)).unwrap();
    let mut flow = capture.tap().opened(addr(1), addr(2));
    std::fs::remove_dir_all(&place).unwrap();
    for _ in 0..20 {
        flow.bytes(Way::Down, &[7; 60_000]);
        settle(&capture);
    }
    assert!(capture.queue.dropped() > 10, "{}", capture.queue.dropped());
    capture.finish(PATIENCE).await;
}

#[test]
fn a_directory_that_cannot_be_is_told() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let said = Capture::start(&small(&file)).err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(said.contains("cannot capture in") && said.contains("file"), "{said}");
}

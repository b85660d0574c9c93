//! Criterion's report on every contestant of every job, in bytes and frames a second.

use core::time::Duration;
use criterion::{BenchmarkId, Criterion, Throughput};
use dtu_benches::contest::{Entry, Job};
use dtu_benches::jobs;

fn main() {
    // Three hundred contestants have to be through in a few minutes.
    let mut criterion = Criterion::default()
        .sample_size(20)
        .nresamples(2000)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .configure_from_args();
    jobs::for_each(&[], |job| bench(&mut criterion, job));
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion, mut job: Job) {
    let mut group = criterion.benchmark_group(job.group);
    let [frames, bytes] = [job.frames, job.bytes].map(|count| u64::try_from(count).expect("a usize fits"));
    group.throughput(match frames {
        0 => Throughput::Bytes(bytes),
        _ => Throughput::ElementsAndBytes { elements: frames, bytes },
    });
    for entry in &mut job.entries {
        entry.check();
        group.bench_function(BenchmarkId::new(entry.name, job.size), |bencher| {
            bencher.iter_custom(|runs| repeat(entry, runs));
        });
    }
}

fn repeat(entry: &mut Entry, runs: u64) -> Duration {
    (0..runs).map(|_| entry.time()).sum()
}

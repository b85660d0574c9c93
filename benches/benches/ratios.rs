//! Prints one table of ratios, ours against each peer and the floor, and writes it to `target/ratios.json`.
//!
//! `cargo bench -p dtu-benches --bench ratios [-- FILTER...]` runs the jobs whose `group/payload` holds a filter; the
//! file is written only when all have run. With `--test` every contestant runs once and its result is checked.

use dtu_benches::jobs;
use dtu_benches::ratios::Report;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let (flags, filters): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    if flags.iter().any(|flag| flag == "--test") {
        return check(&filters);
    }
    let mut report = Report::default();
    jobs::for_each(&filters, |job| {
        eprintln!("measuring {}", job.name());
        report.measure(job);
    });
    if report.ratios.is_empty() {
        println!("no ratio: no job with a peer is called like {filters:?}");
        return Ok(());
    }
    println!("\n{report}");
    if filters.is_empty() { write(&report) } else { Ok(()) }
}

fn check(filters: &[String]) -> io::Result<()> {
    let mut contestants = 0;
    jobs::for_each(filters, |mut job| {
        job.entries.iter_mut().for_each(|entry| entry.check());
        contestants += job.entries.len();
    });
    println!("{contestants} contestants ran and found what they should");
    Ok(())
}

fn write(report: &Report) -> io::Result<()> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::fs::create_dir_all(&target)?;
    let lines: Vec<String> = report.ratios.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    std::fs::write(target.join("ratios.json"), format!("[\n{}\n]\n", lines.join(",\n")))?;
    println!("written to target/ratios.json of the workspace");
    Ok(())
}

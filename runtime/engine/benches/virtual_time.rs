//! Virtual time: events per second on one core with the history written to disk, and that memory does not grow with
//! the length of the run.
//!
//!     cargo bench -p stepgrad-engine --bench virtual_time [-- MILLIONS_OF_INVOCATIONS]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark"
)]

#[path = "../tests/rounds/mod.rs"]
mod rounds;

use std::time::Instant;
use stepgrad_engine::driver::history::{Discard, HistoryFile, HistorySink};
use stepgrad_engine::driver::virtual_time::{DEFAULT_START, VirtualResult};

/// Calls of one child execution: its history stays below AWS's 25,000 events.
const CALLS_A_ROUND: usize = 2_000;

fn go(rounds: usize, history: &mut dyn HistorySink) -> (VirtualResult, f64) {
    let start = Instant::now();
    let result = rounds::go(rounds, CALLS_A_ROUND, history, None);
    (result, start.elapsed().as_secs_f64())
}

/// The most memory that this process has had, in MiB; 0 where that is not known.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() / 1_024
}

fn report(what: &str, (result, seconds): &(VirtualResult, f64)) {
    let stats = result.result.stats;
    let days = (result.ended - DEFAULT_START) as f64 / 86_400_000.0;
    println!(
        "{what:<22} {:>9} calls {:>10} events of {days:>6.1} days in {seconds:>6.2} s: {:>9.0} events/s, peak {} MiB",
        stats.invocations,
        stats.events,
        stats.events as f64 / seconds,
        peak()
    );
}

fn main() {
    let asked = std::env::args().filter_map(|argument| argument.parse::<f64>().ok()).next();
    let folder = tempfile::tempdir().unwrap();
    if let Some(millions) = asked {
        let rounds = (millions * 1e6 / CALLS_A_ROUND as f64).ceil() as usize;
        for rounds in [rounds.div_ceil(100), rounds.div_ceil(10), rounds] {
            report("history thrown away", &go(rounds, &mut Discard));
        }
        return;
    }
    for (number, rounds) in [5, 50, 50, 50].into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.jsonl"));
        let mut file = HistoryFile::create(&path).unwrap();
        report("history on disk", &go(rounds, &mut file));
        drop(file);
        println!("{:>22} {} MB", "", std::fs::metadata(&path).unwrap().len() / 1_000_000);
        std::fs::remove_file(&path).unwrap();
    }
    report("history thrown away", &go(50, &mut Discard));
}

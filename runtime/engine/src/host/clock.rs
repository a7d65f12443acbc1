//! The two clocks of the host: wall time for what functions are told, monotonic time for what is measured.
#![expect(clippy::disallowed_methods, reason = "deadlines and durations of real processes are real time")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since 1970.
pub(super) fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The date of today (UTC) as `2026/11/21`, which begins a log stream's name.
pub(super) fn date() -> String {
    chrono::Utc::now().format("%Y/%m/%d").to_string()
}

/// Now, as log lines of Lambda write it.
pub(super) fn timestamp() -> String {
    chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Monotonic time.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Time from `start` until now.
pub(super) fn since(start: Instant) -> Duration {
    start.elapsed()
}

/// Milliseconds from `start` until now.
pub(super) fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

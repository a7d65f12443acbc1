//! What the functions of a deployment wrote to their logs, in a stretch of time.
//!
//! Read as they are, without a pattern: which call a line is of can only be told from the lines of Lambda around it.

use crate::error::{Error, call};
use crate::execution::Runs;

/// Events of one answer (CloudWatch Logs API Reference, `FilterLogEvents`).
const EVENTS: i32 = 10_000;
/// Bytes of lines, of all functions, at the most: they are held at once.
const BYTES: usize = 256 << 20;
/// Answers for one function at the most: one may be empty, and yet not be the last.
const PAGES: usize = 1 << 16;

/// A line of a function's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The function's name in the bundle.
    pub function: String,
    /// The log stream: of one process of the function, which does one call after the other.
    pub stream: String,
    /// When, in milliseconds since 1970.
    pub time: i64,
    /// The line.
    pub text: String,
}

/// Lines of functions' logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs {
    /// In the order of time; those of one stream as they were written.
    pub lines: Vec<LogLine>,
    /// The functions of which there was more than is read at once.
    pub cut: Vec<String>,
}

impl Runs<'_> {
    /// The lines of the functions for which `wanted` holds, by their names in the bundle, from `from` to `until`, in
    /// milliseconds since 1970, at the most 256 MB in all. A function whose log group is gone has none.
    ///
    /// # Errors
    /// Where AWS does not answer.
    pub async fn logs(&self, wanted: impl Fn(&str) -> bool, from: i64, until: i64) -> Result<Logs, Error> {
        let (mut logs, mut bytes) = (Logs::default(), 0);
        for (function, group) in self.log_groups.iter().filter(|(function, _)| wanted(function)) {
            let asked = call("logs:FilterLogEvents", self.session.log_group_arn(group));
            let filter = self.session.logs.filter_log_events().log_group_name(group);
            let filter = filter.start_time(from).end_time(until).limit(EVENTS);
            let mut pages = filter.into_paginator().send();
            let mut read = 0;
            while let Some(page) = pages.next().await {
                let Some(page) = asked.found(page)? else { break };
                if read == PAGES || bytes >= BYTES {
                    logs.cut.push(function.clone());
                    break;
                }
                read += 1;
                for event in page.events() {
                    let text = event.message().unwrap_or_default().trim_end().to_owned();
                    bytes += size_of::<LogLine>() + text.len();
                    logs.lines.push(LogLine {
                        function: function.clone(),
                        stream: event.log_stream_name().unwrap_or_default().to_owned(),
                        time: event.timestamp().unwrap_or_default(),
                        text,
                    });
                }
            }
        }
        // Stable: the lines of a stream keep their order.
        logs.lines.sort_by_key(|line| line.time);
        Ok(logs)
    }
}

//! The line that a function writes to its log after each call: which call it was, and what it moved.

use serde::{Deserialize, Serialize};

/// Objects and bytes that were moved between functions and the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Objects read.
    pub objects_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Objects written.
    pub objects_written: u64,
    /// Their bytes.
    pub bytes_written: u64,
}

impl Traffic {
    /// Adds `other`.
    pub const fn add(&mut self, other: &Self) {
        self.objects_read += other.objects_read;
        self.bytes_read += other.bytes_read;
        self.objects_written += other.objects_written;
        self.bytes_written += other.bytes_written;
    }

    /// What was moved since `before`.
    #[must_use]
    pub const fn since(&self, before: &Self) -> Self {
        Self {
            objects_read: self.objects_read - before.objects_read,
            bytes_read: self.bytes_read - before.bytes_read,
            objects_written: self.objects_written - before.objects_written,
            bytes_written: self.bytes_written - before.bytes_written,
        }
    }
}

/// One call of a function, as a line of JSON in its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallLog {
    /// `call`; other lines of a log have other kinds, or are no JSON.
    pub kind: Kind,
    /// The function.
    pub function: String,
    /// Lambda's id of the call.
    pub request_id: String,
    /// When the call ended, in milliseconds since 1970; 0 in lines of a version that did not write it.
    #[serde(default)]
    pub time: u64,
    /// The run, where the event names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The round, where the event names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u64>,
    /// The peer, where the event names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<u64>,
    /// The batch, where the event names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u64>,
    /// Which attempt it was, where the event says so; 0 is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// Which continuation it was of work that was handed over, from 1; absent for a call that began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuation: Option<u64>,
    /// Milliseconds from the event to the reply, as the function measures them; what is billed is more.
    #[serde(default)]
    pub duration_ms: u64,
    /// The error's name, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What went wrong and what to do, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What it moved.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// What kind of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The end of a call.
    Call,
}

impl CallLog {
    /// The line of a log, if it is one; cheap for those that are not.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let line = line.trim();
        line.starts_with('{').then(|| serde_json::from_str(line).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::{CallLog, Kind, Traffic};

    #[test]
    fn a_line_comes_back_and_other_lines_are_left_alone() {
        let traffic = Traffic { objects_read: 2, bytes_read: 1_000, objects_written: 1, bytes_written: 500 };
        let log = CallLog {
            kind: Kind::Call,
            function: "gradient".to_owned(),
            request_id: "id".to_owned(),
            time: 1_700_000_000_000,
            run: Some("run".to_owned()),
            round: Some(3),
            peer: Some(2),
            batch: None,
            attempt: Some(1),
            continuation: None,
            duration_ms: 7,
            error: None,
            message: None,
            traffic,
        };
        let line = format!("{}\n", serde_json::to_string(&log).unwrap());
        assert!(line.starts_with(r#"{"kind":"call","function":"gradient""#), "{line}");
        assert_eq!(CallLog::from_line(&line), Some(log.clone()));
        let counted = crate::metrics::embedded(&log, "digits", 1_700_000_000_000).to_string();
        assert_eq!(CallLog::from_line(&counted), Some(log), "a line with metrics is one of a call too");
        assert_eq!(CallLog::from_line("START RequestId: id Version: $LATEST"), None);
        assert_eq!(CallLog::from_line(r#"{"kind":"other"}"#), None);
        let mut sum = traffic;
        sum.add(&traffic);
        assert_eq!(sum.since(&traffic), traffic);
    }
}

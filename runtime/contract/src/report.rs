//! What Lambda itself says of a call in the function's log: how long it was, what is billed, how much memory it took. As text
//! or as JSON, whichever the function's logging is set to (AWS Lambda Developer Guide, "Sending Lambda function logs to
//! CloudWatch Logs"; Lambda Telemetry API reference, `platform.report`).

use serde_json::Value;

/// The report of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Lambda's id of the call.
    pub request_id: String,
    /// Milliseconds that are billed.
    pub billed_ms: f64,
    /// Memory that the function has, in MB.
    pub memory_mb: f64,
    /// Memory that its process took at the most, in MB.
    pub max_memory_mb: f64,
    /// Milliseconds that the process took to start, where it was started for this call.
    pub init_ms: Option<f64>,
}

impl Report {
    /// The report of a line of a log, if it is one; cheap for those that are not.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("REPORT RequestId: ") {
            return Self::of_text(rest);
        }
        if line.starts_with('{') && line.contains("\"platform.report\"") {
            return Self::of_json(&serde_json::from_str(line).ok()?);
        }
        None
    }

    fn of_text(rest: &str) -> Option<Self> {
        let mut fields = rest.split('\t');
        let request_id = fields.next()?.trim().to_owned();
        let fields: Vec<(&str, &str)> = fields.filter_map(|field| field.trim().split_once(": ")).collect();
        let number = |name: &str| {
            let (_, value) = fields.iter().find(|(found, _)| *found == name)?;
            value.split(' ').next()?.parse::<f64>().ok().filter(|number| *number >= 0.0)
        };
        Some(Self {
            request_id,
            billed_ms: number("Billed Duration")?,
            memory_mb: number("Memory Size")?,
            max_memory_mb: number("Max Memory Used")?,
            init_ms: number("Init Duration"),
        })
    }

    fn of_json(line: &Value) -> Option<Self> {
        let record = line.get("record")?;
        let metrics = record.get("metrics")?;
        let number = |name: &str| metrics.get(name)?.as_f64().filter(|number| *number >= 0.0);
        Some(Self {
            request_id: record.get("requestId")?.as_str()?.to_owned(),
            billed_ms: number("billedDurationMs")?,
            memory_mb: number("memorySizeMB")?,
            max_memory_mb: number("maxMemoryUsedMB")?,
            init_ms: number("initDurationMs"),
        })
    }

    /// Memory × time billed, in GB seconds.
    #[must_use]
    pub fn gb_seconds(&self) -> f64 {
        self.memory_mb / 1024.0 * self.billed_ms / 1000.0
    }
}

/// The call that a line begins or ends, where Lambda says so in it.
#[must_use]
pub fn request_of(line: &str) -> Option<&str> {
    let line = line.trim();
    let rest = ["START RequestId: ", "END RequestId: ", "REPORT RequestId: "]
        .iter()
        .find_map(|begin| line.strip_prefix(begin))?;
    rest.split([' ', '\t']).next().filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Report, request_of};

    #[test]
    fn a_report_is_read_in_both_of_its_forms() {
        let text = "REPORT RequestId: 8f50-1\tDuration: 14.12 ms\tBilled Duration: 218 ms\tMemory Size: 2048 MB\tMax Memory Used: 96 MB\tInit Duration: 203.70 ms\t\n";
        let read = Report::from_line(text).unwrap();
        let expected = Report {
            request_id: "8f50-1".to_owned(),
            billed_ms: 218.0,
            memory_mb: 2_048.0,
            max_memory_mb: 96.0,
            init_ms: Some(203.7),
        };
        assert_eq!(read, expected);
        assert!((read.gb_seconds() - 0.436).abs() < 1e-9);
        let json = r#"{"time":"2023-07-06T18:05:26.000Z","type":"platform.report","record":{"requestId":"8f50-1","metrics":{"durationMs":14.12,"billedDurationMs":218,"memorySizeMB":2048,"maxMemoryUsedMB":96,"initDurationMs":203.7},"status":"success"}}"#;
        assert_eq!(Report::from_line(json), Some(expected));
        let warm = text.replace("\tInit Duration: 203.70 ms", "\tStatus: timeout");
        assert_eq!(Report::from_line(&warm).unwrap().init_ms, None);
        for other in
            ["REPORT RequestId: x", "{\"platform.report\"", "REPORT", &text.replace("218", "many"), "{}"]
        {
            assert_eq!(Report::from_line(other), None, "{other}");
        }
    }

    #[test]
    fn lines_of_lambda_name_their_call() {
        assert_eq!(request_of("START RequestId: a-1 Version: 3"), Some("a-1"));
        assert_eq!(request_of("END RequestId: a-1\n"), Some("a-1"));
        assert_eq!(request_of("REPORT RequestId: a-1\tDuration: 1 ms"), Some("a-1"));
        assert_eq!(request_of("ERROR RequestId: a-1 Stepgrad.OutOfTime"), None);
        assert_eq!(request_of("START RequestId: "), None);
    }
}

//! Timestamps: the profile of RFC 3339 that the language uses (upper-case T and Z).

use chrono::{DateTime, Utc};

/// The time that `text` names.
#[must_use]
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let bytes = text.as_bytes();
    if bytes.get(10) != Some(&b'T') || text.contains('z') {
        return None;
    }
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc))
}

/// `milliseconds` since 1970 in the form of AWS: `2016-03-14T01:59:00.000Z`.
#[must_use]
pub fn format(milliseconds: i64) -> String {
    use chrono::{Datelike, Timelike};
    let time = DateTime::<Utc>::from_timestamp_millis(milliseconds).unwrap_or_default();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.timestamp_subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_strict_about_the_letters() {
        assert!(super::parse("2016-03-14T01:59:00Z").is_some());
        assert!(super::parse("2016-03-05T21:29:29.243167252Z").is_some());
        assert!(super::parse("2016-03-05T21:29:29+02:00").is_some());
        for bad in [
            "2016-12-05 21:29:29Z",
            "2016-12-05T21:29:29",
            "2016-13-05T21:29:29Z",
            "2016-03-14t01:59:00z",
            "x",
        ] {
            assert!(super::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(super::format(1_457_920_740_000), "2016-03-14T01:59:00.000Z");
    }
}

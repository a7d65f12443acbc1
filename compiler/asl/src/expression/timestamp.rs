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

/// `milliseconds` since 1970 in the form of AWS: `2016-03-14T01:59:00.000Z`. Every event of a history has one, so it
/// is written digit by digit, without the machinery of formatting.
#[must_use]
pub fn format(milliseconds: i64) -> String {
    use chrono::{Datelike, Timelike};
    let time = DateTime::<Utc>::from_timestamp_millis(milliseconds).unwrap_or_default();
    let Ok(year @ 0..=9_999) = u32::try_from(time.year()) else {
        // Beyond what four digits can say; no machine waits that long.
        return time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    };
    let mut text = String::with_capacity(24);
    let fields = [
        (year, 1_000, '-'),
        (time.month(), 10, '-'),
        (time.day(), 10, 'T'),
        (time.hour(), 10, ':'),
        (time.minute(), 10, ':'),
        (time.second(), 10, '.'),
        (time.timestamp_subsec_millis(), 100, 'Z'),
    ];
    for (number, highest, separator) in fields {
        let mut place = highest;
        while place > 0 {
            text.push(char::from(b'0' + (number / place % 10) as u8));
            place /= 10;
        }
        text.push(separator);
    }
    text
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
        assert_eq!(super::format(1_735_689_599_987), "2024-12-31T23:59:59.987Z");
        assert_eq!(super::format(-62_135_596_800_000), "0001-01-01T00:00:00.000Z");
    }
}

//! A run's id: what it trains, when, and four characters that keep two runs of one second apart.

use chrono::{DateTime, Utc};

/// Characters of the spec's name that stand in an id: child executions append to it, and Step Functions takes
/// 80 in all ("StartExecution", parameter `name`).
const NAME: usize = 24;

/// An id for a run of the spec `name` that starts at `now` in the process `process`.
pub(crate) fn new_id(name: &str, now: DateTime<Utc>, process: u32) -> String {
    let name = name.get(..NAME).unwrap_or(name).trim_end_matches('-');
    let apart = process.wrapping_mul(0x9E37_79B9) ^ now.timestamp_subsec_nanos();
    format!("{name}-{}-{:04x}", now.format("%Y%m%d-%H%M%S"), apart >> 16)
}

#[cfg(test)]
mod tests {
    use super::new_id;
    use chrono::DateTime;

    #[test]
    fn an_id_leaves_room_for_the_names_of_child_executions() {
        let now = DateTime::from_timestamp(1_795_219_200, 123_456_789).unwrap();
        let id = new_id("a-name-that-is-forty-characters-long-abc", now, 4_242);
        assert!(id.starts_with("a-name-that-is-forty-cha-20261121-"), "{id}");
        assert!(format!("{id}-r4294967295-synchronise-g10000").len() <= 80, "{id}");
        assert_ne!(id, new_id("a-name-that-is-forty-characters-long-abc", now, 4_243));
    }
}

//! The format of LIBSVM (Chang and Lin): `label index:value …` a line, indices from 1 and ascending, values
//! that are not there zero, comments after `#`. Rows stay sparse where fewer than half of the values are
//! there.

use super::invalid;
use super::source::Stream;
use super::spool::{Samples, Writer};
use std::path::Path;
use stepgrad_contract::FunctionError;

/// Features at the most: models are dense, and so is a batch where it is computed with.
const FEATURES: u32 = 1 << 24;
/// Bytes of a line at the most.
const LINE: u64 = 1 << 28;

pub(super) fn read(path: &Path) -> Result<Samples, FunctionError> {
    let mut stream = Stream::open(path)?;
    let mut spool = Writer::sparse()?;
    let (mut line, mut row) = (Vec::new(), Vec::new());
    let mut number = 0_u64;
    while stream.line(LINE, &mut line)? {
        number += 1;
        let at = |what: String| invalid(format!("{}:{number}: {what}", path.display()));
        let text = std::str::from_utf8(&line).map_err(|_| at("the line is not text".to_owned()))?;
        let mut words = text.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(label) = words.next() else { continue };
        let class =
            class(label).ok_or_else(|| at(format!("the label {} is not a whole number", shown(label))))?;
        row.clear();
        for word in words {
            let entry = word
                .split_once(':')
                .and_then(|(index, value)| Some((index.parse().ok()?, value.parse().ok()?)));
            let Some((index, value)) = entry.filter(|(_, value): &(u32, f32)| value.is_finite()) else {
                return Err(at(format!("{} is not index:value with a finite value", shown(word))));
            };
            let last = row.last().map_or(0, |(last, _)| last + 1);
            if index <= last || index > FEATURES {
                return Err(at(format!(
                    "index {index} after {last}: indices ascend from 1 to at most {FEATURES}"
                )));
            }
            if value != 0.0 {
                row.push((index - 1, value));
            }
        }
        spool.push_sparse(&row, &class)?;
    }
    spool.finish()
}

/// The class of a label: `+1`, `1` and `1.0` are one.
fn class(label: &str) -> Option<String> {
    let value = label.parse::<f64>().ok().filter(|value| value.fract() == 0.0 && value.abs() < 1e15)?;
    // Minus zero is zero.
    Some(format!("{:.0}", value + 0.0))
}

fn shown(word: &str) -> String {
    format!("{:?}", word.chars().take(40).collect::<String>())
}

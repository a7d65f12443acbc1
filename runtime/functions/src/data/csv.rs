//! Tables of comma-separated values with a header row: numbers, and the class in the column `label` or the
//! one that the spec names. Classes are numbers or words; `1` and `1.0` are one class.

use super::source::Stream;
use super::spool::{Element, Samples, Writer};
use super::{Role, invalid};
use std::path::Path;
use stepgrad_contract::FunctionError;

/// More classes than this in less than twice as many samples are a continuous column.
const CLASSES: usize = 20;

pub(super) fn read(path: &Path, label: &str, role: Role) -> Result<Samples, FunctionError> {
    let at = |what: String| invalid(format!("{}{what}", path.display()));
    let stream = Stream::open(path)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(stream);
    let refused = |error: csv::Error| {
        let line = error.position().map(|place| format!(":{}", place.line())).unwrap_or_default();
        at(format!("{line}: {error}"))
    };
    let header = reader.headers().map_err(refused)?.clone();
    let columns: Vec<_> = (0..header.len()).filter(|column| header.get(*column) == Some(label)).collect();
    let &[class] = columns.as_slice() else {
        let found = header.iter().collect::<Vec<_>>().join(", ");
        let shown: String = found.chars().take(200).collect();
        return Err(at(format!(
            ":1: {} columns are named {label}, where one has to hold the class: name it with data.label (the header has {shown})",
            columns.len()
        )));
    };
    let features = header.len() - 1;
    if features == 0 {
        return Err(at(":1: there is no column beside the class".to_owned()));
    }
    let mut spool = Writer::dense(Element::F32, vec![i64::try_from(features).unwrap_or(i64::MAX)])?;
    let mut record = csv::StringRecord::new();
    let mut values = Vec::with_capacity(features.min(1 << 16));
    while reader.read_record(&mut record).map_err(refused)? {
        let line = record.position().map_or(0, csv::Position::line);
        values.clear();
        for (column, text) in record.iter().enumerate().filter(|(column, _)| *column != class) {
            let value = text.parse::<f32>().ok().filter(|value| value.is_finite()).ok_or_else(|| {
                let name = header.get(column).unwrap_or_default();
                at(format!(
                    ":{line}: {text:?} in column {name} is not a finite number: fill it in or drop the row"
                ))
            })?;
            values.push(value);
        }
        let class = record.get(class).unwrap_or_default();
        if class.is_empty() {
            return Err(at(format!(":{line}: the class in column {label} is empty")));
        }
        spool.push(values.iter().copied(), &normal(class))?;
    }
    let samples = spool.finish()?;
    let classes = samples.classes.len();
    // Of a held-out set, which may be small, all classes have to be known anyway.
    if role == Role::Training && classes > CLASSES && classes * 2 > samples.len() {
        return Err(at(format!(
            ": column {label} has {classes} different values in {} samples, which looks like a continuous column: name the class's with data.label, or put the values into ranges",
            samples.len()
        )));
    }
    Ok(samples)
}

/// The class of a label: where it is a number, all ways of writing it are one. A whole number stays as long as it is
/// written: what has more digits than double precision would be the same class as its neighbours.
fn normal(label: &str) -> String {
    let (sign, digits) = match label.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", label.strip_prefix('+').unwrap_or(label)),
    };
    if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return match digits.trim_start_matches('0') {
            "" => "0".to_owned(),
            digits => format!("{sign}{digits}"),
        };
    }
    match label.parse::<f64>() {
        // Minus zero is zero.
        Ok(value) if value.is_finite() => format!("{}", value + 0.0),
        _ => label.to_owned(),
    }
}

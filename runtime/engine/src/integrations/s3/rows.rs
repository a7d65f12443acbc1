//! Takes a part of an object apart: JSON arrays, JSON lines, comma-separated values. What a part cuts in two is left
//! for the next one.

use serde_json::{Map, Value};
use stepgrad_asl::program::{Csv, Format};

/// Items of a page at the most.
const MOST: usize = 4_096;

/// A part of an object.
pub(super) struct Part<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether it is the object's beginning.
    pub(super) is_first: bool,
    /// Whether it reaches to the object's end.
    pub(super) at_end: bool,
}

/// What was in it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Taken {
    pub(super) items: Vec<Value>,
    /// Bytes that need not be read again.
    pub(super) consumed: usize,
    /// The names of the fields, where the first row gives them.
    pub(super) headers: Option<Vec<String>>,
    /// Whether there is nothing after it.
    pub(super) done: bool,
}

/// The items of a part, or what is wrong with it.
pub(super) fn take(format: &Format, part: &Part<'_>, headers: Option<&[String]>) -> Result<Taken, String> {
    // A byte order mark may be cut in two.
    if part.is_first && !part.at_end && part.bytes.len() < 3 {
        return Ok(Taken::default());
    }
    match format {
        Format::Json(_) => array(part),
        Format::JsonLines => lines(part),
        Format::Csv(csv) => values(csv, part, headers),
        Format::Inventory | Format::Listing | Format::Flattened(_) => {
            Err("this is not read in parts".to_owned())
        }
    }
}

fn after_mark(part: &Part<'_>) -> usize {
    if part.is_first && part.bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 }
}

fn array(part: &Part<'_>) -> Result<Taken, String> {
    let mut place = after_mark(part);
    let mut taken = Taken::default();
    let skip = |mut place: usize| {
        while part.bytes.get(place).is_some_and(u8::is_ascii_whitespace) {
            place += 1;
        }
        place
    };
    if part.is_first {
        place = skip(place);
        match part.bytes.get(place) {
            Some(b'[') => place += 1,
            None if !part.at_end => return Ok(taken),
            _ => return Err("Attempting to map over non-iterable node.".to_owned()),
        }
        taken.consumed = place;
    }
    while taken.items.len() < MOST {
        place = skip(place);
        match part.bytes.get(place) {
            Some(b']') => {
                taken.consumed = place + 1;
                taken.done = true;
                break;
            }
            Some(b',') => place = skip(place + 1),
            Some(_) => {}
            None => break,
        }
        let rest = part.bytes.get(place..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
        let next = values.next();
        let end = place + values.byte_offset();
        match next {
            // A number at the end of the part may go on in the next.
            Some(Ok(_)) if end >= part.bytes.len() && !part.at_end => break,
            Some(Ok(value)) => {
                taken.items.push(value);
                place = end;
                taken.consumed = end;
            }
            None => break,
            Some(Err(error)) if error.is_eof() && !part.at_end => break,
            Some(Err(error)) => return Err(format!("the object is not JSON: {error}")),
        }
    }
    if part.at_end && !taken.done && taken.items.len() < MOST {
        return Err("the object is not JSON: the array does not end".to_owned());
    }
    Ok(taken)
}

fn lines(part: &Part<'_>) -> Result<Taken, String> {
    let mut taken = Taken { consumed: after_mark(part), ..Taken::default() };
    while taken.items.len() < MOST {
        let rest = part.bytes.get(taken.consumed..).unwrap_or_default();
        let (line, length) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => (rest.get(..end).unwrap_or_default(), end + 1),
            None if part.at_end => (rest, rest.len()),
            None => break,
        };
        if !line.iter().all(u8::is_ascii_whitespace) {
            let value = serde_json::from_slice(line)
                .map_err(|error| format!("a line of the object is not JSON: {error}"))?;
            taken.items.push(value);
        }
        taken.consumed += length;
        if part.at_end && taken.consumed >= part.bytes.len() {
            taken.done = true;
            break;
        }
    }
    Ok(taken)
}

fn values(csv: &Csv, part: &Part<'_>, headers: Option<&[String]>) -> Result<Taken, String> {
    let start = after_mark(part);
    let bytes = part.bytes.get(start..).unwrap_or_default();
    let mut taken = Taken { consumed: start, ..Taken::default() };
    let mut names: Option<Vec<String>> = match &csv.headers {
        Some(names) => Some(names.clone()),
        None => headers.map(<[String]>::to_vec),
    };
    if part.is_first
        && let Some(names) = &names
    {
        without_duplicates(names)?;
    }
    let mut reader = csv_reader(csv.delimiter, bytes);
    let mut row = csv::ByteRecord::new();
    while taken.items.len() < MOST {
        match reader.read_byte_record(&mut row) {
            Ok(true) => {}
            Ok(false) => {
                if part.at_end {
                    taken.done = true;
                    taken.consumed = part.bytes.len();
                }
                break;
            }
            Err(error) => return Err(format!("the object is not CSV: {error}")),
        }
        let end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        // A row at the end of the part may go on in the next.
        if end >= bytes.len() && !part.at_end {
            break;
        }
        match &names {
            None => {
                let first: Vec<String> = row.iter().map(text).collect();
                without_duplicates(&first)?;
                names = Some(first);
            }
            Some(names) => taken.items.push(record(names, &row)),
        }
        taken.consumed = start + end.min(bytes.len());
    }
    if csv.headers.is_none() {
        taken.headers = names;
    }
    Ok(taken)
}

/// Rows may be shorter or longer than the first.
pub(super) fn csv_reader(delimiter: u8, bytes: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(bytes)
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// All values are strings; fields without a name are dropped, names without a field are empty, as recorded.
pub(super) fn record(names: &[String], row: &csv::ByteRecord) -> Value {
    let mut object = Map::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        object.insert(name.clone(), Value::from(row.get(place).map(text).unwrap_or_default()));
    }
    Value::Object(object)
}

fn without_duplicates(names: &[String]) -> Result<(), String> {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err("CSV headers cannot contain duplicates.".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Part, take};
    use serde_json::{Value, json};
    use stepgrad_asl::program::{Csv, Format};

    /// The items of an object that is read in parts of so many bytes.
    fn read(format: &Format, text: &str, length: usize) -> Result<Vec<Value>, String> {
        let bytes = text.as_bytes();
        let (mut offset, mut headers, mut items, mut size) = (0, None, Vec::new(), length);
        loop {
            let end = (offset + size).min(bytes.len());
            let part = Part { bytes: &bytes[offset..end], is_first: offset == 0, at_end: end == bytes.len() };
            let taken = take(format, &part, headers.as_deref())?;
            items.extend(taken.items.iter().cloned());
            if taken.done {
                return Ok(items);
            }
            if taken.items.is_empty() && !part.at_end {
                size *= 2;
                continue;
            }
            size = length;
            offset += taken.consumed;
            headers = taken.headers;
        }
    }

    #[test]
    fn parts_of_any_length_give_the_same_items() {
        let first_row = Format::Csv(Csv { delimiter: b',', headers: None });
        let given = Format::Csv(Csv { delimiter: b';', headers: Some(vec!["x".into(), "y".into()]) });
        let cases = [
            (
                Format::Json(Vec::new()),
                "\u{feff} [ 1, 23 ,\"a]\\\"\", {\"k\": [1, 2]}, [], 4567 ] \n".to_owned(),
            ),
            (Format::Json(Vec::new()), "[]".to_owned()),
            (Format::JsonLines, "{\"a\": 1}\n\n[2]\r\n3".to_owned()),
            (first_row, "a,b\r\n1,2\r\n\"x\ny\",\"q\"\"q\"\n\n5\n6,7,8".to_owned()),
            (given, "1;2\n3".to_owned()),
        ];
        for (format, text) in cases {
            let whole = read(&format, &text, text.len()).unwrap();
            for length in 1..text.len() {
                assert_eq!(read(&format, &text, length).unwrap(), whole, "{format:?} by {length}");
            }
        }
    }

    #[test]
    fn rows_as_recorded() {
        let csv = Format::Csv(Csv { delimiter: b',', headers: None });
        let items = read(&csv, "H1,\nValue4,Value5,Value6\n,,,\n   \n", 1_000).unwrap();
        assert_eq!(
            items,
            [json!({"H1": "Value4", "": "Value5"}), json!({"H1": "", "": ""}), json!({"H1": "   ", "": ""})]
        );
        assert_eq!(read(&csv, "", 10).unwrap(), Vec::<Value>::new());
        assert!(read(&csv, "a,a\n1,2\n", 100).unwrap_err().contains("duplicates"));
    }

    #[test]
    fn what_is_not_the_format_is_refused() {
        for bad in ["{\"a\": 1}", "1", "[1, 2", "[1 x]", ""] {
            assert!(read(&Format::Json(Vec::new()), bad, 100).is_err(), "{bad}");
        }
        assert!(read(&Format::JsonLines, "{\"a\": 1}\n{", 100).is_err());
    }
}

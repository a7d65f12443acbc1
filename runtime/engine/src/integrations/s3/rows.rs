//! Takes a part of an object apart: JSON arrays, JSON lines, comma-separated values. What a part cuts in two is left
//! for the next one.

use serde_json::{Map, Value};
use stepgrad_asl::program::{Csv, Format};

/// Items of a page at the most.
pub(super) const MOST: usize = 4_096;

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
        Format::Json(pointer) => array(part, pointer.is_empty()),
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

/// Elements of an array, each with the comma after it: so a part begins with the array's bracket or with an element.
fn array(part: &Part<'_>, is_whole: bool) -> Result<Taken, String> {
    let not_json = |what: &str| Err(format!("the object is not JSON: {what}"));
    let mut place = after_mark(part);
    let mut taken = Taken::default();
    let mut may_end = part.is_first;
    if part.is_first {
        place = after_blanks(part.bytes, place);
        match part.bytes.get(place) {
            Some(b'[') => place += 1,
            None if !part.at_end => return Ok(taken),
            _ => return Err("Attempting to map over non-iterable node.".to_owned()),
        }
        taken.consumed = place;
    }
    while taken.items.len() < MOST {
        place = after_blanks(part.bytes, place);
        let mut item = None;
        if !may_end || part.bytes.get(place) != Some(&b']') {
            let rest = part.bytes.get(place..).unwrap_or_default();
            let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
            match values.next() {
                None => break,
                Some(Err(error)) if error.is_eof() && !part.at_end => break,
                Some(Err(error)) => return not_json(&error.to_string()),
                Some(Ok(value)) => item = Some(value),
            }
            place = after_blanks(part.bytes, place + values.byte_offset());
        }
        match part.bytes.get(place) {
            // A number at the end of the part may go on in the next.
            None => break,
            Some(b',') => {}
            Some(b']') if !is_whole => taken.done = true,
            Some(b']') => {
                if after_blanks(part.bytes, place + 1) < part.bytes.len() {
                    return not_json("something follows the array");
                }
                // What follows is in the next part, which has to begin with an element.
                if !part.at_end {
                    break;
                }
                taken.done = true;
            }
            Some(_) => return not_json("between two elements there is no comma"),
        }
        place += 1;
        taken.items.extend(item);
        taken.consumed = place;
        may_end = false;
        if taken.done {
            return Ok(taken);
        }
    }
    if part.at_end && taken.items.len() < MOST {
        return not_json("the array does not end");
    }
    Ok(taken)
}

/// The first place from `place` on where there is something else than JSON's white space.
pub(super) fn after_blanks(bytes: &[u8], place: usize) -> usize {
    let rest = bytes.get(place..).unwrap_or_default();
    place + rest.iter().take_while(|byte| b" \t\n\r".contains(byte)).count()
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
pub(super) fn csv_reader<R: std::io::Read>(delimiter: u8, bytes: R) -> csv::Reader<R> {
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
        let bad = [
            "{\"a\": 1}",
            "1",
            "[1, 2",
            "[1 x]",
            "",
            "[1 2]",
            "[\"a\"\"b\"]",
            "[,1]",
            "[1,,2]",
            "[1,]",
            "[,]",
        ];
        let after = ["[1] x", "[1]]", "[1],", "[] []", "[1]\u{c}", "[1]        2"];
        for bad in bad.into_iter().chain(after) {
            for length in 1..=bad.len().max(1) {
                let read = read(&Format::Json(Vec::new()), bad, length);
                assert!(read.is_err(), "{bad} by {length}: {read:?}");
            }
        }
        // What follows an array within an object is not looked at.
        let part = Part { bytes: b"[1, 2], \"more\"", is_first: true, at_end: true };
        let taken = take(&Format::Json(vec!["a".to_owned()]), &part, None).unwrap();
        assert_eq!((taken.items, taken.done), (vec![json!(1), json!(2)], true));
        assert!(read(&Format::JsonLines, "{\"a\": 1}\n{", 100).is_err());
    }
}

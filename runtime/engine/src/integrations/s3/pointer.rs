//! Finds the array that a JSON pointer leads to, in as much of an object as was read. What lies before it is passed
//! over without being kept.

use super::rows::after_blanks;
use serde::de::IgnoredAny;

/// Where the value begins that `tokens` lead to; `None` where it is not within `bytes` and the object goes on.
pub(super) fn find(bytes: &[u8], tokens: &[String], at_end: bool) -> Result<Option<usize>, String> {
    let mut place = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    for (depth, token) in tokens.iter().enumerate() {
        let nowhere = || format!("ItemsPointer leads nowhere: there is no /{}", tokens[..=depth].join("/"));
        match step(bytes, place, token) {
            Ok(Some(next)) => place = next,
            Ok(None) => return Err(nowhere()),
            Err(Stop::More) if !at_end => return Ok(None),
            Err(Stop::More) => return Err("the object is not JSON: it does not end".to_owned()),
            Err(Stop::Fault(fault)) => return Err(format!("the object is not JSON: {fault}")),
        }
    }
    Ok(Some(place))
}

enum Stop {
    /// What was read does not suffice.
    More,
    Fault(String),
}

/// Where the member or element begins in the value at `place`, if it has it.
fn step(bytes: &[u8], place: usize, token: &str) -> Result<Option<usize>, Stop> {
    let (opening, first) = next(bytes, place)?;
    let last = match first {
        b'{' => b'}',
        b'[' => b']',
        _ => return Ok(None),
    };
    let (mut place, byte) = next(bytes, opening + 1)?;
    if byte == last {
        return Ok(None);
    }
    let mut index = 0_usize;
    loop {
        let found = if first == b'{' {
            let (key, end): (String, usize) = value(bytes, place)?;
            let (colon, byte) = next(bytes, end)?;
            if byte != b':' {
                return Err(Stop::Fault(format!("a colon is missing at byte {colon}")));
            }
            place = colon + 1;
            key == token
        } else {
            token.parse() == Ok(index)
        };
        if found {
            return next(bytes, place).map(|(place, _)| Some(place));
        }
        let (_, end): (IgnoredAny, usize) = value(bytes, place)?;
        let (comma, byte) = next(bytes, end)?;
        if byte == last {
            return Ok(None);
        }
        if byte != b',' {
            return Err(Stop::Fault(format!("a comma is missing at byte {comma}")));
        }
        place = comma + 1;
        index += 1;
    }
}

/// The first byte from `place` on that is not blank.
fn next(bytes: &[u8], place: usize) -> Result<(usize, u8), Stop> {
    let place = after_blanks(bytes, place);
    bytes.get(place).map(|byte| (place, *byte)).ok_or(Stop::More)
}

/// The value that begins at `place`, and where it ends.
fn value<T: serde::de::DeserializeOwned>(bytes: &[u8], place: usize) -> Result<(T, usize), Stop> {
    let rest = bytes.get(place..).unwrap_or_default();
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
    let value = values.next();
    let end = place + values.byte_offset();
    match value {
        // A number at the end of what was read may go on.
        Some(Ok(_)) if end >= bytes.len() => Err(Stop::More),
        Some(Ok(value)) => Ok((value, end)),
        None => Err(Stop::More),
        Some(Err(error)) if error.is_eof() => Err(Stop::More),
        Some(Err(error)) => Err(Stop::Fault(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::find;

    fn at(text: &str, pointer: &str) -> Result<Option<usize>, String> {
        let tokens: Vec<String> = pointer.split('/').skip(1).map(str::to_owned).collect();
        find(text.as_bytes(), &tokens, true)
    }

    #[test]
    fn finds_what_is_there() {
        let text = "\u{feff}{ \"a\" : {\"x\": \"{[,\", \"b\": [0, [1, 2], {\"c\": [3]}]}, \"\\u0064\": [4]}";
        for (pointer, expected) in [("/a/b", "[0,"), ("/a/b/1", "[1,"), ("/a/b/2/c", "[3]"), ("/d", "[4]")] {
            let place = at(text, pointer).unwrap().unwrap();
            assert!(text[place..].starts_with(expected), "{pointer}");
        }
        assert_eq!(at("[1]", ""), Ok(Some(0)));
        for pointer in ["/e", "/a/b/9", "/a/b/x", "/a/x/y"] {
            assert!(at(text, pointer).unwrap_err().contains("leads nowhere"), "{pointer}");
        }
        for broken in [
            "{\"a\" 1}",
            "{\"b\": ,",
            "{\"b\": 1",
            "{\"b\": 1 \"a\": [1]}",
            "{,\"a\": [1]}",
            "{\"b\": 1,, \"a\": [1]}",
            "{\"b\": 1], \"a\": [1]}",
        ] {
            assert!(at(broken, "/a").unwrap_err().contains("not JSON"), "{broken}");
        }
    }

    #[test]
    fn a_beginning_is_not_judged() {
        let text = "{\"x\": [1, \"a]\"], \"a\": [7, 8]}";
        let tokens = ["a".to_owned()];
        let whole = find(text.as_bytes(), &tokens, true).unwrap().unwrap();
        for end in 0..text.len() {
            let found = find(&text.as_bytes()[..end], &tokens, false).unwrap();
            assert_eq!(found, (end > whole).then_some(whole), "{end}");
        }
    }
}

//! What a plain scalar means: the core schema of YAML 1.2 (section 10.3), but for numbers that other readers
//! take differently (`010`, `1_000`, `12:30`), which stay text, so that the reader of a number refuses them.

use super::tree::Kind;

/// The value of the plain scalar `text`.
pub(super) fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Kind::Float(f64::NAN),
        _ => {}
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Kind::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    number(text, negative, digits).unwrap_or_else(|| Kind::Text { text: text.to_owned(), quoted: false })
}

fn number(text: &str, negative: bool, digits: &str) -> Option<Kind> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(rest) = text.strip_prefix(prefix) {
            let valid = !rest.is_empty() && rest.chars().all(|letter| letter.is_digit(radix));
            return valid.then(|| {
                i128::from_str_radix(rest, radix).map_or(Kind::Float(f64::INFINITY), Kind::Integer)
            });
        }
    }
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(place) => (digits.get(..place)?, Some(digits.get(place + 1..)?)),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_digits = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    let valid = all_digits(whole)
        && fraction.is_none_or(all_digits)
        && exponent_digits.is_none_or(|text| !text.is_empty() && all_digits(text))
        && !(whole.is_empty() && fraction.is_none_or(str::is_empty))
        && !(whole.len() > 1 && whole.starts_with('0'));
    if !valid {
        return None;
    }
    if fraction.is_none()
        && exponent.is_none()
        && let Ok(value) = whole.parse::<i128>()
    {
        return Some(Kind::Integer(if negative { -value } else { value }));
    }
    let value: f64 = digits.parse().ok()?;
    Some(Kind::Float(if negative { -value } else { value }))
}

#[cfg(test)]
mod tests {
    use super::plain;
    use crate::spec::tree::Kind;

    #[test]
    fn follows_the_core_schema() {
        assert_eq!(plain("0x1F"), Kind::Integer(31));
        assert_eq!(plain("0o17"), Kind::Integer(15));
        assert_eq!(plain("-12"), Kind::Integer(-12));
        assert_eq!(plain("+7"), Kind::Integer(7));
        assert_eq!(plain("0"), Kind::Integer(0));
        assert_eq!(plain(".5"), Kind::Float(0.5));
        assert_eq!(plain("1."), Kind::Float(1.0));
        assert_eq!(plain("-1e-3"), Kind::Float(-0.001));
        assert_eq!(plain("1e999"), Kind::Float(f64::INFINITY));
        assert_eq!(plain(&"9".repeat(40)), Kind::Float(1e40));
        assert_eq!(plain("-.inf"), Kind::Float(f64::NEG_INFINITY));
        assert_eq!(plain("~"), Kind::Null);
        assert_eq!(plain("True"), Kind::Bool(true));
    }

    #[test]
    fn leaves_as_text_what_readers_disagree_about() {
        for text in [
            "010", "1_000", "12:30", "yes", "no", "on", "1e", "e5", ".", "-", "+", "0x", "- 1", "1.2.3", "１",
        ] {
            assert_eq!(plain(text), Kind::Text { text: text.to_owned(), quoted: false }, "{text}");
        }
    }
}

//! Paths of the spec: relative, inside the project, with `/` between folders, made plain without looking at any
//! disk (so a symbolic link that leads out is the host's to refuse).

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the path is empty")]
    Empty,
    #[error("the path is absolute")]
    Absolute,
    #[error("the path leaves the project")]
    Escapes,
    #[error("the path starts with `~`, which is not expanded")]
    Home,
    #[error("the path holds a control character")]
    Control,
    #[error("the path holds a backslash; write `/` between folders")]
    Backslash,
    #[error("the path is longer than 1,024 bytes")]
    Long,
    #[error("a URL is not a path of the project")]
    Url,
}

/// `path` without `.`, `..` and double or final slashes; `.` for the project itself.
pub(super) fn normalise(path: &str) -> Result<String, Refusal> {
    if path.trim().is_empty() {
        return Err(Refusal::Empty);
    }
    if path.len() > 1024 {
        return Err(Refusal::Long);
    }
    if path.chars().any(char::is_control) {
        return Err(Refusal::Control);
    }
    if path.contains("://") {
        return Err(Refusal::Url);
    }
    if path.contains('\\') {
        return Err(Refusal::Backslash);
    }
    let drive = path.as_bytes().get(1) == Some(&b':')
        && path.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if path.starts_with('/') || drive {
        return Err(Refusal::Absolute);
    }
    if path.starts_with('~') {
        return Err(Refusal::Home);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or(Refusal::Escapes)?;
            }
            part => parts.push(part),
        }
    }
    Ok(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

#[cfg(test)]
mod tests {
    use super::{Refusal, normalise};

    #[test]
    fn paths_are_made_plain() {
        assert_eq!(normalise("./a//b/../c/").as_deref(), Ok("a/c"));
        assert_eq!(normalise("a/..").as_deref(), Ok("."));
        assert_eq!(normalise("..a/b..").as_deref(), Ok("..a/b.."));
        assert_eq!(normalise("data/ä ö").as_deref(), Ok("data/ä ö"));
    }

    #[test]
    fn what_leaves_the_project_is_refused() {
        for (path, refusal) in [
            ("", Refusal::Empty),
            ("  ", Refusal::Empty),
            ("/etc/passwd", Refusal::Absolute),
            ("C:/x", Refusal::Absolute),
            ("c:x", Refusal::Absolute),
            ("..", Refusal::Escapes),
            ("a/../../b", Refusal::Escapes),
            ("a/..//../b", Refusal::Escapes),
            ("~/x", Refusal::Home),
            ("~root", Refusal::Home),
            ("a\0b", Refusal::Control),
            ("a\nb", Refusal::Control),
            ("a\\..\\..\\b", Refusal::Backslash),
            ("file:///etc/passwd", Refusal::Url),
        ] {
            assert_eq!(normalise(path), Err(refusal), "{path:?}");
        }
    }
}

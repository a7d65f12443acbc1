//! Text to path.

use super::{Path, Root, Step};
use crate::expression::SyntaxError;

/// Bounds of a filter: its parser calls itself for what is nested.
const MAX_FILTER_NESTING: usize = 32;
const MAX_FILTER_BYTES: usize = 2_000;

/// Whether `text` can only be meant as a path.
#[must_use]
pub fn is_path(text: &str) -> bool {
    text.starts_with('$')
}

impl Path {
    /// Compiles a path that starts with `$`, `$$` or `$name`.
    ///
    /// # Errors
    /// [`SyntaxError`] where `text` is not a path.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let Some(rest) = text.strip_prefix('$') else {
            return Err(SyntaxError::new(format!("{text:?} is not a path: it has to start with $")));
        };
        let (root, rest) = match rest.strip_prefix('$') {
            Some(rest) => (Root::Context, rest),
            None => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                let (name, rest) = rest.split_at(end);
                if name.is_empty() {
                    (Root::Input, rest)
                } else if name.starts_with(|c: char| c.is_ascii_digit()) {
                    return Err(SyntaxError::new(format!(
                        "{text:?}: a variable's name starts with a letter"
                    )));
                } else {
                    (Root::Variable(name.to_owned()), rest)
                }
            }
        };
        let mut parser = Parser { text, rest };
        let steps = parser.steps()?;
        let definite = steps.iter().all(|step| matches!(step, Step::Name(_) | Step::Index(_)));
        let names = steps
            .iter()
            .map_while(|step| match step {
                Step::Name(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        Ok(Self { text: text.to_owned(), root, names, steps, definite })
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn error(&self, message: &str) -> SyntaxError {
        SyntaxError::new(format!("{:?}: {message}", self.text))
    }

    fn take(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn steps(&mut self) -> Result<Vec<Step>, SyntaxError> {
        let mut steps = Vec::new();
        while !self.rest.is_empty() {
            if self.take("..") {
                steps.push(Step::Descend);
                if self.rest.is_empty() {
                    return Err(self.error("`..` needs a name or a bracket after it"));
                }
                if !self.rest.starts_with('[') {
                    steps.push(self.name()?);
                }
            } else if self.take(".") {
                // `$.[0]` and `$.` are what Jayway lets pass, the latter as `$`.
                if self.rest.is_empty() {
                    return Err(self.error("a name is missing after the dot"));
                }
                if !self.rest.starts_with('[') {
                    steps.push(self.name()?);
                }
            } else if self.take("[") {
                steps.push(self.bracket()?);
            } else {
                return Err(self.error("expected `.` or `[`"));
            }
        }
        Ok(steps)
    }

    fn name(&mut self) -> Result<Step, SyntaxError> {
        if self.take("*") {
            return Ok(Step::Wildcard);
        }
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || ".[]()'\"*?$,@{}&|=<>!%".contains(c))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err(self.error("a name is missing: write it in brackets, as ['name']"));
        }
        self.rest = rest;
        Ok(Step::Name(name.to_owned()))
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn bracket(&mut self) -> Result<Step, SyntaxError> {
        self.space();
        let step = if self.take("*") {
            Step::Wildcard
        } else if self.rest.starts_with('?') {
            return self.filter();
        } else if self.rest.starts_with(['\'', '"']) {
            let mut names = vec![self.quoted()?];
            self.space();
            while self.take(",") {
                self.space();
                names.push(self.quoted()?);
                self.space();
            }
            match (names.len(), names.pop()) {
                (1, Some(name)) => Step::Name(name),
                (_, last) => Step::Names(names.into_iter().chain(last).collect()),
            }
        } else {
            self.numbers()?
        };
        self.space();
        if self.take("]") { Ok(step) } else { Err(self.error("expected `]`")) }
    }

    fn quoted(&mut self) -> Result<String, SyntaxError> {
        let mut chars = self.rest.char_indices();
        let Some((_, quote)) = chars.next().filter(|(_, c)| *c == '\'' || *c == '"') else {
            return Err(self.error("expected a name in quotes"));
        };
        let mut name = String::new();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.rest = self.rest.get(at + c.len_utf8()..).unwrap_or_default();
                return Ok(name);
            }
            // A backslash escapes itself and the quote; before anything else it stands for itself, as recorded.
            if c == '\\' {
                let after = chars.clone().next().map(|(_, c)| c);
                if let Some(escaped) = after.filter(|c| *c == '\\' || *c == quote) {
                    name.push(escaped);
                    chars.next();
                    continue;
                }
            }
            name.push(c);
        }
        Err(self.error("a quote is not closed"))
    }

    fn integer(&mut self) -> Option<i64> {
        let digits = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let count = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let end = self.rest.len() - digits.len() + count;
        let (number, rest) = self.rest.split_at(end);
        let value = number.parse().ok()?;
        self.rest = rest;
        Some(value)
    }

    fn numbers(&mut self) -> Result<Step, SyntaxError> {
        let first = self.integer();
        self.space();
        if self.take(":") {
            self.space();
            let end = self.integer();
            self.space();
            let mut step = 1;
            if self.take(":") {
                self.space();
                step = self.integer().unwrap_or(1);
            }
            if step <= 0 {
                return Err(self.error("a slice's step has to be positive"));
            }
            return Ok(Step::Slice { start: first, end, step });
        }
        let Some(first) = first else {
            return Err(self.error("expected an index, a name in quotes, `*` or `?`"));
        };
        let mut indices = vec![first];
        while self.take(",") {
            self.space();
            indices.push(self.integer().ok_or_else(|| self.error("expected an index"))?);
            self.space();
        }
        Ok(if indices.len() == 1 { Step::Index(first) } else { Step::Indices(indices) })
    }

    /// The filter's own language is left to serde_json_path (RFC 9535); here only its end is found.
    fn filter(&mut self) -> Result<Step, SyntaxError> {
        let mut depth = 0_usize;
        let mut quote: Option<char> = None;
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            match quote {
                Some(_) if escaped => escaped = false,
                Some(_) if c == '\\' => escaped = true,
                Some(open) if c == open => quote = None,
                Some(_) => {}
                None => match c {
                    '\'' | '"' => quote = Some(c),
                    '[' | '(' if depth < MAX_FILTER_NESTING && at < MAX_FILTER_BYTES => depth += 1,
                    '[' | '(' => return Err(self.error("a filter that is too long or nested too deep")),
                    ')' => depth = depth.saturating_sub(1),
                    ']' if depth > 0 => depth -= 1,
                    ']' => {
                        let (filter, rest) = self.rest.split_at(at);
                        if filter.len() > MAX_FILTER_BYTES {
                            return Err(self.error("a filter that is too long or nested too deep"));
                        }
                        let query = serde_json_path::JsonPath::parse(&format!("$[{filter}]"))
                            .map_err(|error| self.error(&format!("a bad filter: {error}")))?;
                        self.rest = rest.get(1..).unwrap_or_default();
                        return Ok(Step::Filter(Box::new(query)));
                    }
                    _ => {}
                },
            }
        }
        Err(self.error("a filter is not closed"))
    }
}

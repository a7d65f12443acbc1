//! Text to call.

use super::{Argument, Call, FUNCTIONS};
use crate::expression::{Path, SyntaxError};
use serde_json::Value;

/// Calls may stand this deep inside each other (AWS: "Up to 10 nested intrinsic functions").
const MAX_NESTING: usize = 10;

impl Call {
    /// Compiles a call; name, arguments and escapes are checked here, not when it runs.
    ///
    /// # Errors
    /// [`SyntaxError`] where `text` is not a call of a known function with as many arguments as it takes.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut parser = Parser { text, rest: text };
        let call = parser.call(1)?;
        if parser.rest.trim_start().is_empty() {
            Ok(call)
        } else {
            Err(parser.error("expected the end after the closing parenthesis"))
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    fn error(&self, message: &str) -> SyntaxError {
        SyntaxError::new(format!("{:?}: {message}", self.text))
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn call(&mut self, depth: usize) -> Result<Call, SyntaxError> {
        if depth > MAX_NESTING {
            return Err(self.error("more than 10 calls inside each other"));
        }
        let start = self.rest;
        let Some(end) = self.rest.find('(') else {
            return Err(self.error("an intrinsic function needs its arguments in parentheses"));
        };
        let (name, rest) = self.rest.split_at(end);
        let name = name.trim_end();
        let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
            return Err(self.error(&format!("{name:?} is not an intrinsic function")));
        };
        self.rest = rest.get(1..).unwrap_or_default();
        let mut arguments = Vec::new();
        self.space();
        if !self.take(')') {
            loop {
                let template = function.name == "States.Format" && arguments.is_empty();
                arguments.push(self.argument(depth, template)?);
                self.space();
                if self.take(')') {
                    break;
                }
                if !self.take(',') {
                    return Err(self.error("expected `,` or `)`"));
                }
            }
        }
        if arguments.len() < function.min_arguments || arguments.len() > function.max_arguments {
            return Err(self.error(&format!("{name} does not take {} arguments", arguments.len())));
        }
        let used = start.len() - self.rest.len();
        Ok(Call { text: start.get(..used).unwrap_or(start).to_owned(), function, arguments })
    }

    fn argument(&mut self, depth: usize, template: bool) -> Result<Argument, SyntaxError> {
        self.space();
        match self.rest.chars().next() {
            Some('\'') => self.literal(template).map(|text| Argument::Literal(Value::String(text))),
            Some('$') => {
                let (path, rest) = self.rest.split_at(self.path_end());
                let path = Path::parse(path.trim_end())?;
                self.rest = rest;
                Ok(Argument::Path(path))
            }
            Some('S') => self.call(depth + 1).map(|call| Argument::Call(Box::new(call))),
            _ => {
                let end = self.rest.find([',', ')']).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                match serde_json::from_str::<Value>(word.trim()) {
                    Ok(value) if !value.is_string() && !value.is_array() && !value.is_object() => {
                        self.rest = rest;
                        Ok(Argument::Literal(value))
                    }
                    _ => Err(self.error("an argument is a path, a call, a string in single quotes, a number, true, false or null")),
                }
            }
        }
    }

    /// The end of a path: the comma or parenthesis that is not inside its brackets.
    fn path_end(&self) -> usize {
        let mut depth = 0_usize;
        let mut quote = None;
        for (at, c) in self.rest.char_indices() {
            match (quote, c) {
                (Some(open), _) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') if depth > 0 => quote = Some(c),
                (None, '[' | '(') => depth += 1,
                (None, ']') => depth = depth.saturating_sub(1),
                (None, ')' | ',') if depth == 0 => return at,
                (None, ')') => depth -= 1,
                _ => {}
            }
        }
        self.rest.len()
    }

    /// A string in single quotes. Escapes are `\'`, `\\`, `\{` and `\}`; a template of States.Format keeps them, for
    /// `\{` is not `{` there.
    fn literal(&mut self, template: bool) -> Result<String, SyntaxError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('\'' | '\\' | '{' | '}'))) => {
                        if template {
                            text.push('\\');
                        }
                        text.push(escaped);
                    }
                    _ => return Err(self.error("a bad escape: only \\', \\\\, \\{ and \\} are known")),
                },
                c => text.push(c),
            }
        }
        Err(self.error("a string is not closed"))
    }
}

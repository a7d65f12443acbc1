//! `--set path=value`: changes of the tree before it is read, so that what a user sets on the command line is
//! checked like what stands in the file, and complaints name the argument.

use super::decode::Findings;
use super::scalar;
use super::suggest::nearest;
use super::tree::{Entry, Kind, Node, shown};
use super::yaml::MAX_DEPTH;
use crate::diagnostic::{Argument, Code, Diagnostic, Place};
use std::sync::Arc;

/// The longest value, in bytes. The YAML reader of the values is no bounded one.
const MAX_VALUE: usize = 4096;

/// One `--set path=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Keys from the root, joined by dots, e.g. `training.epochs`.
    pub path: String,
    /// YAML, e.g. `3` or `{batches: 2}`; `null` removes the key.
    pub value: String,
}

impl std::str::FromStr for Override {
    type Err = NotAnOverride;

    /// Reads `path=value`, as it stands after `--set`.
    fn from_str(text: &str) -> Result<Self, NotAnOverride> {
        match text.split_once('=') {
            Some((path, value)) if !path.trim().is_empty() => {
                Ok(Self { path: path.trim().to_owned(), value: value.to_owned() })
            }
            _ => Err(NotAnOverride(shown(text))),
        }
    }
}

/// An argument of `--set` without a path or a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form path=value, e.g. training.epochs=3")]
pub struct NotAnOverride(String);

/// Puts the overrides into the tree, in order.
pub(super) fn apply(root: &mut Node, overrides: &[Override], cx: &mut Findings) {
    for (index, change) in overrides.iter().enumerate() {
        let argument = Written::new(change, index);
        let keys: Vec<&str> = change.path.split('.').collect();
        if keys.len() > MAX_DEPTH / 2 || keys.iter().any(|key| key.is_empty()) {
            cx.report(
                Diagnostic::error(Code::BadOverride, format!("`{}` is not a path", shown(&change.path)))
                    .at(&argument.path(), "expected keys joined by dots, e.g. `training.epochs`"),
            );
            continue;
        }
        match argument.read() {
            Ok(None) => remove(root, &keys, &argument, cx),
            Ok(Some(value)) => insert(root, &keys, value, &argument),
            Err(problem) => cx.report(
                Diagnostic::error(
                    Code::BadOverride,
                    format!("the value of `--set {}` {problem}", shown(&change.path)),
                )
                .at(&argument.value(), "expected YAML, e.g. `3` or `{batches: 2}`")
                .hint("quote the whole argument for the shell, e.g. `--set 'exchange.every={batches: 2}'`"),
            ),
        }
    }
}

/// An override as it would be typed, with its places.
struct Written<'a> {
    change: &'a Override,
    text: Arc<str>,
    index: usize,
}

const FLAG: &str = "--set ";

impl<'a> Written<'a> {
    fn new(change: &'a Override, index: usize) -> Self {
        let Override { path, value } = change;
        Self { change, text: format!("{FLAG}{path}={value}").into(), index }
    }

    fn place(&self, start: usize, length: usize) -> Place {
        Place::Argument(Argument {
            text: Arc::clone(&self.text),
            span: start..start + length,
            index: self.index,
        })
    }

    fn path(&self) -> Place {
        self.place(FLAG.len(), self.change.path.len())
    }

    /// The place of one key of the path.
    fn key(&self, keys: &[&str], which: usize) -> Place {
        let before: usize = keys.iter().take(which).map(|key| key.len() + 1).sum();
        self.place(FLAG.len() + before, keys.get(which).map_or(0, |key| key.len()))
    }

    fn value(&self) -> Place {
        self.place(FLAG.len() + self.change.path.len() + 1, self.change.value.len())
    }

    /// The value; `None` for null.
    fn read(&self) -> Result<Option<Node>, String> {
        if self.change.value.len() > MAX_VALUE {
            return Err(format!("is longer than {MAX_VALUE} bytes"));
        }
        if self.change.value.trim().is_empty() {
            return Err("is empty; `null` removes the key".to_owned());
        }
        // Aliases of a value could only repeat parts of it; the tree of a spec has none.
        let value: serde_yaml::Value = serde_yaml::from_str(&self.change.value).map_err(|error| {
            format!("is not valid YAML: {}", error.to_string().replace(char::is_control, " "))
        })?;
        if value.is_null() { Ok(None) } else { self.node(value, 0).map(Some) }
    }

    fn node(&self, value: serde_yaml::Value, depth: usize) -> Result<Node, String> {
        use serde_yaml::Value;
        if depth > MAX_DEPTH / 2 {
            return Err("is nested too deep".to_owned());
        }
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(value),
            // Read again as a plain scalar, so that a number means the same as in the file.
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), ..) => Kind::Integer(value.into()),
                (_, Some(value), _) => Kind::Integer(value.into()),
                (_, _, Some(value)) => Kind::Float(value),
                _ => scalar::plain(&number.to_string()),
            },
            Value::String(text) => Kind::Text { quoted: scalar::plain(&text) != plain(&text), text },
            Value::Sequence(items) => Kind::List(
                items.into_iter().map(|item| self.node(item, depth + 1)).collect::<Result<_, _>>()?,
            ),
            Value::Mapping(entries) => {
                let mut read = Vec::new();
                for (key, value) in entries {
                    let Value::String(key) = key else {
                        return Err("has a key that is not text".to_owned());
                    };
                    read.push(Entry { key, key_place: self.value(), value: self.node(value, depth + 1)? });
                }
                Kind::Map(read)
            }
            Value::Tagged(_) => return Err("has a tag".to_owned()),
        };
        Ok(Node { place: self.value(), kind })
    }
}

fn plain(text: &str) -> Kind {
    Kind::Text { text: text.to_owned(), quoted: false }
}

/// Sets the value at the path; what is no mapping on the way becomes one.
fn insert(root: &mut Node, keys: &[&str], value: Node, argument: &Written<'_>) {
    let mut node = root;
    for (which, key) in keys.iter().enumerate() {
        let key_place = argument.key(keys, which);
        if !matches!(node.kind, Kind::Map(_)) {
            *node = Node { place: argument.value(), kind: Kind::Map(Vec::new()) };
        }
        let Kind::Map(entries) = &mut node.kind else {
            return;
        };
        let place = match entries.iter().position(|entry| entry.key == *key) {
            Some(place) => place,
            None => {
                let value = Node { place: argument.value(), kind: Kind::Map(Vec::new()) };
                entries.push(Entry { key: (*key).to_owned(), key_place: key_place.clone(), value });
                entries.len() - 1
            }
        };
        let Some(entry) = entries.get_mut(place) else {
            return;
        };
        if which + 1 == keys.len() {
            entry.key_place = key_place;
            entry.value = value;
            return;
        }
        node = &mut entry.value;
    }
}

/// Removes the key at the path.
fn remove(root: &mut Node, keys: &[&str], argument: &Written<'_>, cx: &mut Findings) {
    let mut node = root;
    for (which, key) in keys.iter().enumerate() {
        let Kind::Map(entries) = &mut node.kind else { break };
        let Some(place) = entries.iter().position(|entry| entry.key == *key) else {
            let near = nearest(key, entries.iter().map(|entry| entry.key.as_str())).map(str::to_owned);
            let mut finding = Diagnostic::error(
                Code::BadOverride,
                format!("there is no `{}` to remove", shown(&argument.change.path)),
            )
            .at(&argument.key(keys, which), "not in the spec");
            if let Some(near) = near {
                finding = finding.hint(format!("did you mean `{near}`?"));
            }
            cx.report(finding);
            return;
        };
        if which + 1 == keys.len() {
            entries.remove(place);
            return;
        }
        let Some(entry) = entries.get_mut(place) else {
            return;
        };
        node = &mut entry.value;
    }
    cx.report(
        Diagnostic::error(
            Code::BadOverride,
            format!("there is no `{}` to remove", shown(&argument.change.path)),
        )
        .at(&argument.path(), "not in the spec"),
    );
}

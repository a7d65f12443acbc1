//! The definition's scopes and states, as far as they can be made out: what all checks walk over.

use crate::diagnostic::{Diagnostic, Severity, pointer_push};
use crate::document::{MachineType, QueryLanguage};
use crate::json::{Node, Position};

/// A definition with its scopes.
pub(super) struct Outline<'a> {
    pub(super) root: &'a Node,
    pub(super) text: &'a str,
    /// For checks of what differs between Standard and Express.
    pub(super) machine_type: MachineType,
    /// The machine's own scope first, then those inside it, outer before inner.
    pub(super) scopes: Vec<Scope<'a>>,
}

/// A machine, a branch, or a Map's processor.
pub(super) struct Scope<'a> {
    pub(super) node: &'a Node,
    pub(super) pointer: String,
    pub(super) kind: ScopeKind,
    /// The scope around it, by its place in [`Outline::scopes`].
    pub(super) parent: Option<usize>,
    pub(super) states: Vec<State<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScopeKind {
    Machine,
    Branch,
    Processor,
}

/// A state.
pub(super) struct State<'a> {
    pub(super) name: &'a str,
    pub(super) node: &'a Node,
    pub(super) pointer: String,
    pub(super) language: QueryLanguage,
}

impl State<'_> {
    /// The value of `Type`, if it is a string.
    pub(super) fn kind(&self) -> &str {
        self.node.get("Type").and_then(Node::text).unwrap_or_default()
    }

    /// The pointer to a field.
    pub(super) fn field(&self, name: &str) -> String {
        pointer_push(&self.pointer, name)
    }

    /// The elements of an array field, with their pointers.
    pub(super) fn items(&self, name: &str) -> impl Iterator<Item = (String, &Node)> {
        let pointer = self.field(name);
        let items = self.node.get(name).and_then(Node::items).unwrap_or_default();
        items.iter().enumerate().map(move |(index, item)| (format!("{pointer}/{index}"), item))
    }

    /// Every place that names a state to go on with: pointer, node, name.
    pub(super) fn targets(&self) -> Vec<(String, &Node, &str)> {
        let mut result = Vec::new();
        for field in ["Next", "Default"] {
            if let Some(node) = self.node.get(field)
                && let Some(name) = node.text()
            {
                result.push((self.field(field), node, name));
            }
        }
        for list in ["Choices", "Catch"] {
            for (pointer, item) in self.items(list) {
                if let Some(node) = item.get("Next")
                    && let Some(name) = node.text()
                {
                    result.push((format!("{pointer}/Next"), node, name));
                }
            }
        }
        result
    }
}

impl<'a> Outline<'a> {
    pub(super) fn of(root: &'a Node, text: &'a str, machine_type: MachineType) -> Self {
        let mut outline = Self { root, text, machine_type, scopes: Vec::new() };
        let language = language(root).unwrap_or_default();
        outline.add(root, String::new(), ScopeKind::Machine, None, language);
        outline
    }

    /// Every state of every scope, with its scope's place.
    pub(super) fn states(&self) -> impl Iterator<Item = (usize, &State<'a>)> {
        self.scopes
            .iter()
            .enumerate()
            .flat_map(|(index, scope)| scope.states.iter().map(move |state| (index, state)))
    }

    fn add(
        &mut self,
        node: &'a Node,
        pointer: String,
        kind: ScopeKind,
        parent: Option<usize>,
        machine_language: QueryLanguage,
    ) {
        let index = self.scopes.len();
        let states_pointer = pointer_push(&pointer, "States");
        let states: Vec<State<'a>> = node
            .get("States")
            .and_then(Node::members)
            .unwrap_or_default()
            .iter()
            .filter(|member| member.value.members().is_some())
            .map(|member| State {
                name: &member.key,
                node: &member.value,
                pointer: pointer_push(&states_pointer, &member.key),
                language: language(&member.value).unwrap_or(machine_language),
            })
            .collect();
        let inner: Vec<(&'a Node, String, ScopeKind)> = states.iter().flat_map(inner_scopes).collect();
        self.scopes.push(Scope { node, pointer, kind, parent, states });
        for (node, pointer, kind) in inner {
            self.add(node, pointer, kind, Some(index), machine_language);
        }
    }
}

fn inner_scopes<'a>(state: &State<'a>) -> Vec<(&'a Node, String, ScopeKind)> {
    let mut scopes = Vec::new();
    if let Some(branches) = state.node.get("Branches").and_then(Node::items) {
        let pointer = state.field("Branches");
        for (index, branch) in branches.iter().enumerate() {
            scopes.push((branch, format!("{pointer}/{index}"), ScopeKind::Branch));
        }
    }
    for field in ["ItemProcessor", "Iterator"] {
        if let Some(processor) = state.node.get(field) {
            scopes.push((processor, state.field(field), ScopeKind::Processor));
        }
    }
    scopes.retain(|(node, _, _)| node.members().is_some());
    scopes
}

fn language(node: &Node) -> Option<QueryLanguage> {
    match node.get("QueryLanguage")?.text()? {
        "JSONPath" => Some(QueryLanguage::JSONPath),
        "JSONata" => Some(QueryLanguage::JSONata),
        _ => None,
    }
}

/// Where in a definition's text its values stand, for findings made after the checks.
#[derive(Debug, Clone)]
pub struct Place {
    text: String,
    root: Node,
}

impl Place {
    pub(super) fn new(text: &str, root: Node) -> Self {
        Self { text: text.to_owned(), root }
    }

    /// An error at the value that `pointer` leads to, or as near to it as there is one.
    #[must_use]
    pub fn error(&self, code: &'static str, pointer: &str, message: impl Into<String>) -> Diagnostic {
        let mut node = &self.root;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let next = match node.items() {
                Some(items) => token.parse::<usize>().ok().and_then(|index| items.get(index)),
                None => node.get(&token),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            pointer: pointer.to_owned(),
            span: node.span,
            position: Position::of(&self.text, node.span.start),
            hint: None,
        }
    }

    /// The definition's JSON.
    #[must_use]
    pub fn value(&self) -> serde_json::Value {
        self.root.to_value()
    }
}

//! A definition as its figures need it: scopes, states, and where a state leads to.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use stepgrad_asl::diagnostic::pointer_push;

/// A machine, a branch or a Map's processor.
pub(super) struct Scope<'a> {
    pub(super) node: &'a Value,
    pub(super) pointer: String,
}

/// Why there is no bound, and where.
pub(super) type Unbounded = (String, String);

/// What ways through a scope are measured by.
pub(super) trait Length: Clone + Default {
    /// One after the other.
    fn and(self, after: &Self) -> Result<Self, Unbounded>;
    /// The longer one, or what is at least as long as both.
    fn or(self, other: Self) -> Result<Self, Unbounded>;
}

/// A state.
#[derive(Clone)]
pub(super) struct State<'a> {
    pub(super) name: &'a str,
    pub(super) node: &'a Value,
    pub(super) pointer: String,
}

impl<'a> Scope<'a> {
    pub(super) fn of(definition: &'a Value) -> Self {
        Self { node: definition, pointer: String::new() }
    }

    /// The state that the scope starts at.
    pub(super) fn start(&self) -> Option<State<'a>> {
        self.state(self.node.get("StartAt")?.as_str()?)
    }

    pub(super) fn state(&self, name: &str) -> Option<State<'a>> {
        let (name, node) = self.node.get("States")?.as_object()?.get_key_value(name)?;
        let pointer = pointer_push(&pointer_push(&self.pointer, "States"), name);
        Some(State { name, node, pointer })
    }

    /// The length of the longest way from the scope's start to its end, by the length of each state. Definitions may
    /// have very many states in a row: no recursion here.
    pub(super) fn longest<L: Length>(
        &self,
        of: impl Fn(&State<'a>) -> Result<L, Unbounded>,
    ) -> Result<L, Unbounded> {
        let Some(start) = self.start() else { return Ok(L::default()) };
        let first = start.name;
        // From a state on to the end, by its name.
        let mut known: BTreeMap<&str, L> = BTreeMap::new();
        let mut way: BTreeSet<&str> = BTreeSet::new();
        let mut stack = vec![(start, false)];
        while let Some((state, is_followed)) = stack.pop() {
            let name = state.name;
            let after = state.next().into_iter().filter_map(|next| self.state(next));
            if is_followed {
                let mut longest = L::default();
                for next in after {
                    longest = longest.or(known.get(next.name).cloned().unwrap_or_default())?;
                }
                known.insert(name, of(&state)?.and(&longest)?);
                way.remove(name);
            } else if !known.contains_key(name) {
                way.insert(name);
                let after: Vec<_> = after.filter(|next| !known.contains_key(next.name)).collect();
                stack.push((state, true));
                for next in after {
                    if way.contains(next.name) {
                        let on = format!("how often the loop through {:?} is gone through", next.name);
                        return Err((on, next.pointer));
                    }
                    stack.push((next, false));
                }
            }
        }
        Ok(known.remove(first).unwrap_or_default())
    }

    /// The states of this scope and of all inside it.
    pub(super) fn all_states(&self) -> Vec<State<'a>> {
        let mut states = Vec::new();
        for name in
            self.node.get("States").and_then(Value::as_object).into_iter().flat_map(|states| states.keys())
        {
            let Some(state) = self.state(name) else { continue };
            let inner = state.scopes();
            states.push(state);
            states.extend(inner.iter().flat_map(Self::all_states));
        }
        states
    }
}

impl<'a> State<'a> {
    pub(super) fn text(&self, field: &str) -> Option<&'a str> {
        self.node.get(field)?.as_str()
    }

    pub(super) fn kind(&self) -> &'a str {
        self.text("Type").unwrap_or_default()
    }

    pub(super) fn items(&self, field: &str) -> &'a [Value] {
        self.node.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// A Map whose iterations are executions of their own.
    pub(super) fn is_distributed(&self) -> bool {
        let mode =
            self.node.get("ItemProcessor").and_then(|processor| processor.pointer("/ProcessorConfig/Mode"));
        mode.and_then(Value::as_str) == Some("DISTRIBUTED")
    }

    /// Branches, or a Map's processor.
    pub(super) fn scopes(&self) -> Vec<Scope<'a>> {
        let mut scopes = Vec::new();
        let branches = pointer_push(&self.pointer, "Branches");
        for (index, node) in self.items("Branches").iter().enumerate() {
            scopes.push(Scope { node, pointer: format!("{branches}/{index}") });
        }
        for field in ["ItemProcessor", "Iterator"] {
            if let Some(node) = self.node.get(field) {
                scopes.push(Scope { node, pointer: pointer_push(&self.pointer, field) });
            }
        }
        scopes
    }

    /// The names of the states that may come next; those of a Catch too.
    pub(super) fn next(&self) -> Vec<&'a str> {
        let own = ["Next", "Default"].into_iter().filter_map(|field| self.text(field));
        let listed = ["Choices", "Catch"].into_iter().flat_map(|field| self.items(field));
        own.chain(listed.filter_map(|item| item.get("Next")?.as_str())).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "retries are far fewer than 2^53")]
    /// Its retriers: retries at the most, and the longest that all their delays take together, in seconds.
    pub(super) fn retries(&self) -> (u64, f64) {
        let (mut retries, mut seconds) = (0_u64, 0.0);
        for retrier in self.items("Retry") {
            let number = |field: &str| retrier.get(field).and_then(Value::as_f64);
            let attempts = retrier.get("MaxAttempts").and_then(Value::as_u64).unwrap_or(3);
            retries = retries.saturating_add(attempts);
            let longest = number("MaxDelaySeconds").unwrap_or(f64::INFINITY);
            let (mut delay, rate) =
                (number("IntervalSeconds").unwrap_or(1.0), number("BackoffRate").unwrap_or(2.0));
            // Delays that do not grow any more need not be gone through one by one.
            let mut left = attempts;
            while left > 0 && delay < longest && left + 1_000 > attempts {
                seconds += delay;
                delay *= rate;
                left -= 1;
            }
            if left > 0 {
                seconds += delay.min(longest) * left as f64;
            }
        }
        (retries, seconds)
    }
}

/// Whether the data decides what a value is: something in it is a path, an intrinsic function or an expression.
pub(super) fn is_computed(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with("{%"),
        Value::Array(items) => items.iter().any(is_computed),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.ends_with(".$") || is_computed(value))
        }
        _ => false,
    }
}

//! The states of a scope, in the document's order.

use super::State;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The states of a scope, in the document's order; names are unique.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct States(pub Vec<(String, State)>);

impl States {
    /// The state of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&State> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, state)| state)
    }

    /// Names and states, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &State)> {
        self.0.iter().map(|(name, state)| (name.as_str(), state))
    }
}

impl<'de> Deserialize<'de> for States {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = States;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object of states")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<States, A::Error> {
                let mut states = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    states.push(entry);
                }
                Ok(States(states))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

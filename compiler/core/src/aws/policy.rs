//! Policy documents, as IAM and S3 read them (IAM User Guide, "IAM JSON policy elements reference").

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A condition: operator → key → values.
pub type Condition = BTreeMap<String, BTreeMap<String, String>>;

/// A policy document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Policy {
    /// The version of the language.
    pub version: String,
    /// What is allowed or denied.
    pub statement: Vec<Statement>,
}

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Statement {
    /// What it is for; letters and digits only.
    pub sid: String,
    /// Allowed or denied.
    pub effect: Effect,
    /// Whom it is about, in policies of resources and of trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// The actions, in order.
    pub action: Vec<String>,
    /// The ARNs; empty in policies of trust, which are about the role that has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource: Vec<String>,
    /// When it holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: Condition,
}

/// Whether a statement allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// What is allowed.
    Allow,
    /// What is denied, whatever else allows it.
    Deny,
}

/// Whom a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Principal {
    /// `*`: everyone.
    Everyone(String),
    /// A service.
    Service {
        /// E.g. `lambda.amazonaws.com`.
        #[serde(rename = "Service")]
        service: String,
    },
}

impl Policy {
    pub(super) fn of(statements: impl IntoIterator<Item = Statement>) -> Self {
        Self { version: "2012-10-17".to_owned(), statement: statements.into_iter().collect() }
    }

    /// The trust of a service.
    pub(super) fn trust(service: &str, condition: Condition) -> Self {
        Self::of([Statement {
            sid: "AssumedByTheService".to_owned(),
            effect: Effect::Allow,
            principal: Some(Principal::Service { service: service.to_owned() }),
            action: vec!["sts:AssumeRole".to_owned()],
            resource: Vec::new(),
            condition,
        }])
    }
}

impl Statement {
    /// Allows `actions` on `resources`; both come out in order and once.
    pub(super) fn allow(
        sid: &str,
        actions: &[&str],
        resources: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let ordered = |mut list: Vec<String>| {
            list.sort();
            list.dedup();
            list
        };
        Self {
            sid: sid.to_owned(),
            effect: Effect::Allow,
            principal: None,
            action: ordered(actions.iter().map(|action| (*action).to_owned()).collect()),
            resource: ordered(resources.into_iter().map(Into::into).collect()),
            condition: BTreeMap::new(),
        }
    }
}

/// A condition of one key.
pub(super) fn condition(operator: &str, key: &str, value: String) -> Condition {
    BTreeMap::from([(operator.to_owned(), BTreeMap::from([(key.to_owned(), value)]))])
}

//! Whether what a run would be started on is what the spec says: the definitions, version by version, and what bounds and
//! prices the calls of functions.

use crate::difference::{Difference, Differences};
use crate::error::{Error, call};
use crate::execution::Runs;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use stepgrad_compiler::aws::Resources;

impl Runs<'_> {
    /// In what the deployed `version` of the state machine that runs are started on, with all that it starts and calls, differs
    /// from the bundle: its `resources` and its `definitions`, by the state machine's name in the bundle.
    ///
    /// # Errors
    /// Where AWS does not answer.
    pub async fn deployed_otherwise(
        &self,
        version: &str,
        resources: &Resources,
        definitions: &BTreeMap<String, String>,
    ) -> Result<Vec<Difference>, Error> {
        let session = self.session;
        let mut differences = Differences::default();
        let started = resources.machines.iter().find(|machine| machine.alias.is_some());
        let mut machines: VecDeque<(&str, String)> =
            started.map(|machine| (machine.machine.as_str(), version.to_owned())).into_iter().collect();
        let (mut seen, mut functions) = (BTreeSet::new(), BTreeMap::new());
        while let Some((machine, arn)) = machines.pop_front() {
            if !seen.insert(machine) {
                continue;
            }
            let describe = session.states.describe_state_machine().state_machine_arn(&arn).send().await;
            let found = call("states:DescribeStateMachine", &arn).found(describe)?;
            let mut text = found.map(|found| found.definition).unwrap_or_default();
            for function in &resources.functions {
                let name = session.function_arn(&function.name);
                if let Some(version) = put_back(&mut text, &name, &function.placeholder) {
                    functions.insert(&function.name, (function, version));
                }
            }
            for child in &resources.machines {
                let name = session.state_machine_arn(&child.name);
                if let Some(version) = put_back(&mut text, &name, &child.placeholder) {
                    machines.push_back((&child.machine, format!("{name}:{version}")));
                }
            }
            let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
            let wanted = definitions.get(machine).map(String::as_str).unwrap_or_default();
            if parsed(&text) != parsed(wanted) {
                differences.push(&format!("definition of {machine}"), "another", "as in the bundle");
            }
        }
        for (name, (function, version)) in functions {
            let get = session.lambda.get_function_configuration().function_name(name).qualifier(&version);
            let arn = format!("{}:{version}", session.function_arn(name));
            let found = call("lambda:GetFunctionConfiguration", arn).found(get.send().await)?;
            let Some(found) = found else {
                differences.push(&format!("version {version} of {name}"), "none", "as in the bundle");
                continue;
            };
            let number = |number: Option<i32>| number.unwrap_or_default().to_string();
            let memory = format!("MB of memory of {name}");
            differences.field(&memory, &number(found.memory_size()), &function.memory_mb.to_string());
            let timeout = format!("seconds of {name} at the most");
            differences.field(&timeout, &number(found.timeout()), &function.timeout_s.to_string());
        }
        Ok(differences.0)
    }
}

/// Puts a placeholder where versions of `arn` stand, and gives the last of those.
fn put_back(text: &mut String, arn: &str, placeholder: &str) -> Option<String> {
    let beginning = format!("{arn}:");
    let mut found = None;
    let mut parts = text.split(&beginning);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (version, rest) = part.split_at(digits);
        if version.is_empty() {
            whole.push_str(&beginning);
        } else {
            whole.push_str(&format!("${{{placeholder}}}"));
            found = Some(version.to_owned());
        }
        whole.push_str(rest);
    }
    *text = whole;
    found
}

#[cfg(test)]
mod tests {
    use super::put_back;

    #[test]
    fn versions_become_placeholders_again() {
        let mut text =
            r#"{"a":"arn:f:x:12","b":"arn:f:x:live","c":"arn:f:xy:3","d":"arn:f:x:13"}"#.to_owned();
        assert_eq!(put_back(&mut text, "arn:f:x", "x").as_deref(), Some("13"));
        assert_eq!(text, r#"{"a":"${x}","b":"arn:f:x:live","c":"arn:f:xy:3","d":"${x}"}"#);
        assert_eq!(put_back(&mut text, "arn:f:z", "z"), None);
    }
}

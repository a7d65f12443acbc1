//! The Map state.

use super::{Catcher, Common, PathField, Retrier, Setting, SubMachine};
use serde::Deserialize;
use serde_json::Value;

/// Runs the same states for every item of an array.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Map {
    /// What most states have.
    #[serde(flatten)]
    pub common: Common,
    /// The states.
    pub item_processor: Option<SubMachine>,
    /// The states, under the old name.
    pub iterator: Option<SubMachine>,
    /// A reference path to the array (JSONPath).
    pub items_path: Option<String>,
    /// The array (JSONata).
    pub items: Option<Value>,
    /// A payload template: each iteration's input.
    pub item_selector: Option<Value>,
    /// The same, under the old name.
    pub parameters: Option<Value>,
    /// Iterations at a time; 0 for as many as can be (40 inline).
    pub max_concurrency: Option<Setting>,
    /// A path to it.
    pub max_concurrency_path: Option<String>,
    /// Iterations that may fail.
    pub tolerated_failure_count: Option<Setting>,
    /// A path to it.
    pub tolerated_failure_count_path: Option<String>,
    /// Share of the iterations that may fail, 0 to 100.
    pub tolerated_failure_percentage: Option<Setting>,
    /// A path to it.
    pub tolerated_failure_percentage_path: Option<String>,
    /// Where a distributed Map takes its items from.
    pub item_reader: Option<Value>,
    /// How a distributed Map groups its items.
    pub item_batcher: Option<Value>,
    /// Where a distributed Map writes its results.
    pub result_writer: Option<Value>,
    /// The prefix of a distributed Map's child executions.
    pub label: Option<String>,
    /// A payload template over the raw result.
    pub result_selector: Option<Value>,
    /// Where the outcome goes in the raw input.
    #[serde(default)]
    pub result_path: PathField,
    /// Tried in order.
    #[serde(default)]
    pub retry: Vec<Retrier>,
    /// Tried in order, after the retriers.
    #[serde(default)]
    pub catch: Vec<Catcher>,
}

impl Map {
    /// The states, under the new name or the old.
    #[must_use]
    pub fn processor(&self) -> Option<&SubMachine> {
        self.item_processor.as_ref().or(self.iterator.as_ref())
    }

    /// The mode: inline, unless the processor says otherwise.
    #[must_use]
    pub fn mode(&self) -> ProcessorMode {
        self.processor()
            .and_then(|processor| processor.processor_config.as_ref())
            .map_or(ProcessorMode::Inline, |config| config.mode)
    }
}

/// How a Map runs its iterations.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessorConfig {
    /// Inline if absent.
    #[serde(default)]
    pub mode: ProcessorMode,
    /// `STANDARD` or `EXPRESS`, of a distributed Map's child executions.
    pub execution_type: Option<String>,
}

/// Where a Map's iterations run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProcessorMode {
    /// In the execution itself.
    #[default]
    Inline,
    /// Each in a child execution.
    Distributed,
}

//! Document to program.

mod objects;

use super::flow::{JsonataFlow, Language, PathFlow, Selection};
use super::place::Place;
use super::{
    Amount, Catcher, Choice, ChoiceRule, Condition, Distributed, Fail, Flow, Items, Kind, Map, Name, Program,
    Resource, Retrier, Scope, ScopeId, Selector, State, StateId, Task, Text, Until, Wait,
};
use crate::diagnostic::{Diagnostic, pointer_push};
use crate::document::{self, Common, MachineType, PathField, QueryLanguage, Setting, States};
use crate::expression::jsonata::{JsonataTemplate, unwrapped};
use crate::expression::template::TemplateError;
use crate::expression::{Jsonata, Path, Query, Rule, Template, timestamp};
use crate::payload::Payload;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is right, and what this engine cannot run.
pub const NOT_BUILT: &str = "ASL090";

/// Puts the values of `placeholders` in the place of `${Name}` in every string of a definition's text, in the manner
/// of SAM's DefinitionSubstitutions. Unknown placeholders stay.
#[must_use]
pub fn substitute(definition: &str, placeholders: &BTreeMap<String, String>) -> String {
    let mut result = String::with_capacity(definition.len());
    let mut rest = definition;
    while let Some(at) = rest.find("${") {
        let (before, found) = rest.split_at(at);
        result.push_str(before);
        let name = found.get(2..).and_then(|name| name.split_once('}')).map(|(name, _)| name);
        match name.and_then(|name| placeholders.get(name).map(|value| (name, value))) {
            Some((name, value)) => {
                // Inside a JSON string: the value is escaped like one, without its quotes.
                let quoted = Value::String(value.clone()).to_string();
                result.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
                rest = found.get(name.len() + 3..).unwrap_or_default();
            }
            None => {
                result.push_str("${");
                rest = found.get(2..).unwrap_or_default();
            }
        }
    }
    result.push_str(rest);
    result
}

pub(super) fn load(text: &str, machine_type: MachineType) -> Result<Program, Vec<Diagnostic>> {
    let (machine, place) = crate::check::parse(text, machine_type)?;
    let mut compiler = Compiler {
        program: Program {
            machine_type,
            timeout_seconds: machine.timeout_seconds,
            scopes: Vec::new(),
            states: Vec::new(),
        },
        language: machine.query_language,
        faults: Vec::new(),
    };
    compiler.scope(&machine.start_at, &machine.states, "", "");
    if compiler.faults.is_empty() {
        Ok(compiler.program)
    } else {
        let faults = compiler.faults.into_iter();
        Err(faults.map(|(code, pointer, message)| place.error(code, &pointer, message)).collect())
    }
}

struct Compiler {
    program: Program,
    language: QueryLanguage,
    /// Code, pointer, message.
    faults: Vec<(&'static str, String, String)>,
}

/// The names of a scope's states, and the numbers they have.
struct Names<'a> {
    numbers: BTreeMap<&'a str, StateId>,
}

impl Names<'_> {
    /// The checks have seen to it that every name is known.
    fn get(&self, name: &str) -> StateId {
        self.numbers.get(name).copied().unwrap_or(StateId(u32::MAX))
    }
}

/// Where in the definition the compiler is, for faults.
struct Here<'a> {
    pointer: String,
    path: String,
    language: QueryLanguage,
    names: &'a Names<'a>,
}

impl Here<'_> {
    fn field(&self, name: &str) -> String {
        pointer_push(&self.pointer, name)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a definition of 1 MB has fewer than 2^32 states")]
impl Compiler {
    fn scope(&mut self, start_at: &str, states: &States, pointer: &str, path: &str) -> ScopeId {
        let id = ScopeId(self.program.scopes.len() as u32);
        let first = self.program.states.len();
        let numbers =
            states.iter().enumerate().map(|(place, (name, _))| (name, StateId((first + place) as u32)));
        let names = Names { numbers: numbers.collect() };
        self.program.scopes.push(Scope { start: names.get(start_at) });
        // Numbers are given before anything is compiled: inner scopes come after all states of this one.
        for (name, _) in states.iter() {
            self.program.states.push(placeholder(name));
        }
        let states_pointer = pointer_push(pointer, "States");
        for (place, (name, state)) in states.iter().enumerate() {
            let here = Here {
                pointer: pointer_push(&states_pointer, name),
                path: if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") },
                language: state.common().query_language.unwrap_or(self.language),
                names: &names,
            };
            let compiled = self.state(name, state, &here);
            if let Some(slot) = self.program.states.get_mut(first + place) {
                *slot = compiled;
            }
        }
        id
    }

    fn fault(&mut self, pointer: String, message: impl Into<String>) {
        self.faults.push(("ASL030", pointer, message.into()));
    }

    fn not_built(&mut self, pointer: String, what: &str) {
        self.faults.push((NOT_BUILT, pointer, format!("{what} is not built: this engine cannot run it")));
    }

    fn templates<T>(&mut self, result: Result<T, Vec<TemplateError>>, pointer: &str) -> Option<T> {
        match result {
            Ok(compiled) => Some(compiled),
            Err(errors) => {
                for error in errors {
                    self.fault(format!("{pointer}{}", error.pointer), error.message);
                }
                None
            }
        }
    }

    fn path(&mut self, text: &str, pointer: String) -> Option<Path> {
        Path::parse(text).map_err(|error| self.fault(pointer, error.message)).ok()
    }

    fn jsonata(&mut self, text: &str, pointer: String) -> Option<Jsonata> {
        let text = unwrapped(text).unwrap_or(text);
        Jsonata::parse(text).map_err(|error| self.fault(pointer, error.message)).ok()
    }

    fn state(&mut self, name: &str, state: &document::State, here: &Here<'_>) -> State {
        let common = state.common();
        let mut parts = Parts { common: Some(common), ..Parts::default() };
        let mut retry: &[document::Retrier] = &[];
        let mut catch: &[document::Catcher] = &[];
        let kind = match state {
            document::State::Pass(pass) => {
                parts.parameters = pass.parameters.as_ref();
                parts.result_path = Some(&pass.result_path);
                Kind::Pass(pass.result.clone().map(Payload::new))
            }
            document::State::Task(task) => {
                parts.parameters = task.parameters.as_ref();
                parts.arguments = task.arguments.as_ref();
                parts.result_selector = task.result_selector.as_ref();
                parts.result_path = Some(&task.result_path);
                (retry, catch) = (&task.retry, &task.catch);
                self.task(task, here)
            }
            document::State::Choice(choice) => self.choice(choice, here),
            document::State::Wait(wait) => self.wait(wait, here),
            document::State::Succeed(_) => Kind::Succeed,
            document::State::Fail(fail) => self.fail(fail, here),
            document::State::Parallel(parallel) => {
                parts.parameters = parallel.parameters.as_ref();
                parts.arguments = parallel.arguments.as_ref();
                parts.result_selector = parallel.result_selector.as_ref();
                parts.result_path = Some(&parallel.result_path);
                (retry, catch) = (&parallel.retry, &parallel.catch);
                let mut branches = Vec::with_capacity(parallel.branches.len());
                for (index, branch) in parallel.branches.iter().enumerate() {
                    let pointer = format!("{}/{index}", here.field("Branches"));
                    let path = format!("{}/{index}", here.path);
                    branches.push(self.scope(&branch.start_at, &branch.states, &pointer, &path));
                }
                Kind::Parallel(branches)
            }
            document::State::Map(map) => {
                parts.result_selector = map.result_selector.as_ref();
                parts.result_path = Some(&map.result_path);
                (retry, catch) = (&map.retry, &map.catch);
                self.map(map, here)
            }
        };
        let flow = self.flow(&parts, here, &here.pointer);
        let catch = catch
            .iter()
            .enumerate()
            .map(|(index, catcher)| {
                let parts = Parts {
                    result_path: Some(&catcher.result_path),
                    assign: catcher.assign.as_ref(),
                    output: catcher.output.as_ref(),
                    ..Parts::default()
                };
                let flow = self.flow(&parts, here, &format!("{}/{index}", here.field("Catch")));
                Catcher { errors: catcher.error_equals.clone(), flow, next: here.names.get(&catcher.next) }
            })
            .collect();
        State {
            name: Arc::from(name),
            path: Arc::from(here.path.as_str()),
            flow,
            retry: retry.iter().map(Retrier::compile).collect(),
            catch,
            next: common.next.as_deref().filter(|_| !common.end).map(|next| here.names.get(next)),
            kind,
        }
    }

    fn flow(&mut self, parts: &Parts<'_>, here: &Here<'_>, pointer: &str) -> Flow {
        let field = |name: &str| pointer_push(pointer, name);
        let assign = parts.assign.or(parts.common.and_then(|common| common.assign.as_ref()));
        let assign = assign.and_then(Value::as_object);
        let within = place(pointer.strip_prefix(here.pointer.as_str()).unwrap_or_default());
        Flow(match here.language {
            QueryLanguage::JSONPath => {
                let assign = assign.into_iter().flatten().filter_map(|(name, value)| {
                    // A variable's own name may end in `.$`, as a field's does.
                    let one = Value::Object(std::iter::once((name.clone(), value.clone())).collect());
                    match self.templates(Template::compile(&one), &field("Assign"))? {
                        Template::Object(mut members) => {
                            members.pop().map(|(name, value)| (Name::from(name), value))
                        }
                        _ => Some((Name::from(name.as_str()), Template::Literal(value.clone()))),
                    }
                });
                let assign = assign.collect();
                Language::Path(Box::new(PathFlow {
                    input: self.selection(parts.common.map(|common| &common.input_path), field("InputPath")),
                    parameters: parts
                        .parameters
                        .and_then(|value| self.templates(Template::compile(value), &field("Parameters"))),
                    result_selector: parts
                        .result_selector
                        .and_then(|value| self.templates(Template::compile(value), &field("ResultSelector"))),
                    result: Place::compile(parts.result_path.unwrap_or(&PathField::Absent)).unwrap_or_else(
                        |error| {
                            self.fault(field("ResultPath"), error.message);
                            Place::Whole
                        },
                    ),
                    output: self
                        .selection(parts.common.map(|common| &common.output_path), field("OutputPath")),
                    assign,
                }))
            }
            QueryLanguage::JSONata => {
                let assign = assign.into_iter().flatten().filter_map(|(name, value)| {
                    let place = format!("{within}Assign/{name}");
                    let compiled = self.templates(
                        JsonataTemplate::compile(value, &place),
                        &pointer_push(&field("Assign"), name),
                    )?;
                    Some((Name::from(name.as_str()), compiled))
                });
                let assign = assign.collect();
                let output = parts.output.or(parts.common.and_then(|common| common.output.as_ref()));
                Language::Jsonata(JsonataFlow {
                    arguments: parts.arguments.and_then(|value| {
                        self.templates(JsonataTemplate::compile(value, "Arguments"), &field("Arguments"))
                    }),
                    output: output.and_then(|value| {
                        self.templates(
                            JsonataTemplate::compile(value, &format!("{within}Output")),
                            &field("Output"),
                        )
                    }),
                    assign,
                })
            }
        })
    }

    fn selection(&mut self, field: Option<&PathField>, pointer: String) -> Selection {
        match field {
            None | Some(PathField::Absent) => Selection::Whole,
            Some(PathField::Null) => Selection::Nothing,
            Some(PathField::Path(text)) => match self.path(text, pointer) {
                Some(path) if path.is_input() => Selection::Whole,
                Some(path) => Selection::Path(path),
                None => Selection::Whole,
            },
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "bounded by the checks")]
    fn amount(
        &mut self,
        here: &Here<'_>,
        setting: Option<&Setting>,
        path: Option<&String>,
        name: &'static str,
    ) -> Option<Amount> {
        match (setting, path) {
            (Some(Setting::Integer(number)), _) => Some(Amount::Fixed(*number as f64)),
            (Some(Setting::Number(number)), _) => Some(Amount::Fixed(*number)),
            (Some(Setting::Expression(text)), _) => {
                self.jsonata(text, here.field(name)).map(|expression| Amount::Expression(expression, name))
            }
            (None, Some(path)) => self.path(path, here.field(&format!("{name}Path"))).map(Amount::Path),
            (None, None) => None,
        }
    }

    fn task(&mut self, task: &document::Task, here: &Here<'_>) -> Kind {
        let resource = match Resource::parse(&task.resource) {
            Ok(resource) => resource,
            Err(what) => {
                self.not_built(here.field("Resource"), &what);
                Resource::Function(task.resource.clone())
            }
        };
        if let Resource::S3(action) = resource {
            let given = task.parameters.as_ref().or(task.arguments.as_ref());
            self.s3_arguments(given, here, action);
        }
        Kind::Task(Box::new(Task {
            resource,
            timeout: self.amount(
                here,
                task.timeout_seconds.as_ref(),
                task.timeout_seconds_path.as_ref(),
                "TimeoutSeconds",
            ),
            heartbeat: self.amount(
                here,
                task.heartbeat_seconds.as_ref(),
                task.heartbeat_seconds_path.as_ref(),
                "HeartbeatSeconds",
            ),
        }))
    }

    fn choice(&mut self, choice: &document::Choice, here: &Here<'_>) -> Kind {
        let mut rules = Vec::with_capacity(choice.choices.len());
        for (index, rule) in choice.choices.iter().enumerate() {
            let pointer = format!("{}/{index}", here.field("Choices"));
            let condition = match here.language {
                QueryLanguage::JSONPath => match Rule::compile(rule) {
                    Ok(rule) => Condition::Rule(rule),
                    Err(error) => {
                        self.fault(pointer.clone(), error.message);
                        continue;
                    }
                },
                QueryLanguage::JSONata => match rule.get("Condition") {
                    Some(Value::Bool(constant)) => Condition::Constant(*constant),
                    Some(Value::String(text)) => match self.jsonata(text, format!("{pointer}/Condition")) {
                        Some(expression) => Condition::Expression(expression),
                        None => continue,
                    },
                    _ => {
                        self.fault(pointer, "a rule needs a Condition");
                        continue;
                    }
                },
            };
            let nothing = Value::Object(serde_json::Map::new());
            // The state's own Assign and Output are the default's: a rule without them has none.
            let parts = Parts {
                common: Some(&choice.common),
                assign: Some(rule.get("Assign").unwrap_or(&nothing)),
                output: rule.get("Output"),
                ..Parts::default()
            };
            let mut flow = self.flow(&parts, here, &pointer);
            if let (Language::Jsonata(flow), None) = (&mut flow.0, rule.get("Output")) {
                flow.output = None;
            }
            let next = here.names.get(rule.get("Next").and_then(Value::as_str).unwrap_or_default());
            rules.push(ChoiceRule { condition, flow, next });
        }
        Kind::Choice(Choice { rules, default: choice.default.as_deref().map(|name| here.names.get(name)) })
    }

    fn wait(&mut self, wait: &document::Wait, here: &Here<'_>) -> Kind {
        let seconds = self.amount(here, wait.seconds.as_ref(), wait.seconds_path.as_ref(), "Seconds");
        if let Some(seconds) = seconds {
            return Kind::Wait(Wait::Seconds(seconds));
        }
        let until = match (&wait.timestamp, &wait.timestamp_path) {
            (Some(text), _) => match timestamp::parse(text) {
                Some(time) => Some(Until::Fixed(time)),
                None => self.jsonata(text, here.field("Timestamp")).map(Until::Expression),
            },
            (None, Some(path)) => self.path(path, here.field("TimestampPath")).map(Until::Path),
            (None, None) => None,
        };
        match until {
            Some(until) => Kind::Wait(Wait::Until(until)),
            None => Kind::Wait(Wait::Seconds(Amount::Fixed(0.0))),
        }
    }

    fn fail(&mut self, fail: &document::Fail, here: &Here<'_>) -> Kind {
        Kind::Fail(Fail {
            error: self.text(here, fail.error.as_ref(), fail.error_path.as_ref(), "Error"),
            cause: self.text(here, fail.cause.as_ref(), fail.cause_path.as_ref(), "Cause"),
        })
    }

    fn text(
        &mut self,
        here: &Here<'_>,
        literal: Option<&String>,
        query: Option<&String>,
        name: &'static str,
    ) -> Option<Text> {
        match (literal, query) {
            (Some(text), _) if here.language == QueryLanguage::JSONata && unwrapped(text).is_some() => {
                self.jsonata(text, here.field(name)).map(|expression| Text::Expression(expression, name))
            }
            (Some(text), _) => Some(Text::Fixed(text.clone())),
            (None, Some(query)) => match Query::parse(query) {
                Ok(query) => Some(Text::Query(query)),
                Err(error) => {
                    self.fault(here.field(&format!("{name}Path")), error.message);
                    None
                }
            },
            (None, None) => None,
        }
    }

    fn map(&mut self, map: &document::Map, here: &Here<'_>) -> Kind {
        let name = if map.item_processor.is_some() { "ItemProcessor" } else { "Iterator" };
        let processor = match map.processor() {
            Some(processor) => {
                self.scope(&processor.start_at, &processor.states, &here.field(name), &here.path)
            }
            None => ScopeId(0),
        };
        let items = match (here.language, &map.items, &map.items_path) {
            (QueryLanguage::JSONata, Some(items), _) => self
                .templates(JsonataTemplate::compile(items, "Items"), &here.field("Items"))
                .map_or(Items::Input, Items::Jsonata),
            (QueryLanguage::JSONPath, _, Some(path)) => {
                self.path(path, here.field("ItemsPath")).map_or(Items::Input, Items::Path)
            }
            _ => Items::Input,
        };
        let selector = match (here.language, map.item_selector.as_ref().or(map.parameters.as_ref())) {
            (_, None) => None,
            (QueryLanguage::JSONPath, Some(value)) => {
                self.templates(Template::compile(value), &here.field("ItemSelector")).map(Selector::Template)
            }
            (QueryLanguage::JSONata, Some(value)) => self
                .templates(JsonataTemplate::compile(value, "ItemSelector"), &here.field("ItemSelector"))
                .map(Selector::Jsonata),
        };
        let distributed = (map.mode() == document::ProcessorMode::Distributed).then(|| {
            let config = map.processor().and_then(|processor| processor.processor_config.as_ref());
            let execution_type = config.and_then(|config| config.execution_type.as_deref());
            Distributed {
                label: map.label.clone().unwrap_or_else(|| label(&here.path)),
                machine_type: execution_type.and_then(MachineType::from_name).unwrap_or_default(),
            }
        });
        let (mut reader, mut batcher, mut writer) = (None, None, None);
        if distributed.is_some() {
            reader = self.reader(map, here);
            batcher = self.batcher(map, here);
            writer = self.writer(map, here);
        } else {
            self.refuse_inline(map, here);
        }
        Kind::Map(Box::new(Map {
            distributed,
            reader,
            batcher,
            writer,
            processor,
            items,
            selector,
            max_concurrency: self.amount(
                here,
                map.max_concurrency.as_ref(),
                map.max_concurrency_path.as_ref(),
                "MaxConcurrency",
            ),
            tolerated_count: self.amount(
                here,
                map.tolerated_failure_count.as_ref(),
                map.tolerated_failure_count_path.as_ref(),
                "ToleratedFailureCount",
            ),
            tolerated_percentage: self.amount(
                here,
                map.tolerated_failure_percentage.as_ref(),
                map.tolerated_failure_percentage_path.as_ref(),
                "ToleratedFailurePercentage",
            ),
        }))
    }
}

/// A label for a Map without one: the end of its path, with what ARNs cannot have left out.
fn label(path: &str) -> String {
    let fit: Vec<char> = path.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    fit.get(fit.len().saturating_sub(40)..).unwrap_or_default().iter().collect()
}

/// What a flow is made of.
#[derive(Default)]
struct Parts<'a> {
    common: Option<&'a Common>,
    parameters: Option<&'a Value>,
    arguments: Option<&'a Value>,
    result_selector: Option<&'a Value>,
    result_path: Option<&'a PathField>,
    /// In the place of the state's own.
    assign: Option<&'a Value>,
    /// In the place of the state's own.
    output: Option<&'a Value>,
}

fn placeholder(name: &str) -> State {
    State {
        name: Arc::from(name),
        path: Arc::from(name),
        flow: Flow(Language::Jsonata(JsonataFlow::default())),
        retry: Vec::new(),
        catch: Vec::new(),
        next: None,
        kind: Kind::Succeed,
    }
}

/// The rule or catcher that a pointer within a state leads to, as errors name it: `/Catch/1` is `Catch[1]/`.
fn place(pointer: &str) -> String {
    match pointer.strip_prefix('/').and_then(|pointer| pointer.split_once('/')) {
        Some((field, index)) => format!("{field}[{index}]/"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{NOT_BUILT, substitute};
    use crate::document::MachineType;
    use crate::program::{Kind, Program, StateId};
    use std::collections::BTreeMap;

    #[test]
    fn placeholders_are_filled_in() {
        let values = BTreeMap::from([("AArn".to_owned(), "arn:\"a\"".to_owned())]);
        assert_eq!(
            substitute("{\"x\": \"${AArn}\", \"y\": \"${B} ${\"}", &values),
            "{\"x\": \"arn:\\\"a\\\"\", \"y\": \"${B} ${\"}"
        );
    }

    #[test]
    fn states_have_numbers_and_paths() {
        let text = r#"{"StartAt": "M", "States": {
            "M": {"Type": "Map", "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": true}}}, "Next": "E"},
            "E": {"Type": "Succeed"}}}"#;
        let program = Program::load(text, MachineType::Standard).unwrap();
        let map = program.state(StateId(0)).unwrap();
        assert_eq!((&*map.name, map.next), ("M", Some(StateId(1))));
        let Kind::Map(map) = &map.kind else { panic!("a Map") };
        let inner = program.state(program.scope(map.processor).unwrap().start).unwrap();
        assert_eq!(&*inner.path, "M/I");
    }

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        let text = r#"{"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": true}}}"#;
        let found = Program::load(text, MachineType::Standard).unwrap_err();
        assert_eq!(found[0].code, NOT_BUILT);
        assert!(found[0].message.contains("sqs:sendMessage"), "{}", found[0].message);
    }
}

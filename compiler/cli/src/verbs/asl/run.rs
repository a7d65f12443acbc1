//! `stepgrad asl run`: one state machine, from its start to its end, in one line of JSON.

use super::objects::ObjectArgs;
use super::{Type, functions, read};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use stepgrad_engine::mocks::{MockError, Mocks};
use stepgrad_engine::run::{Definition, RunOptions, conformance_line};

/// The name of the machine that `--definition` gives.
const ROOT: &str = "main";
/// Calls of functions at once: Lambda's own default for an account.
const CALLS_AT_ONCE: usize = 1_000;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The definition, a JSON file.
    #[arg(long, value_name = "FILE")]
    definition: PathBuf,
    /// The input, a JSON file; {} if not given.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The type of the state machine.
    #[arg(long = "type", value_enum, ignore_case = true, default_value_t)]
    kind: Type,
    /// Where functions are called: POST URL/2015-03-31/functions/NAME/invocations.
    #[arg(long, value_name = "URL")]
    lambda_endpoint: Option<String>,
    #[command(flatten)]
    objects: ObjectArgs,
    /// A machine that can be started as a child; can be repeated.
    #[arg(long = "machine", value_name = "NAME=FILE", value_parser = parse_machine)]
    machines: Vec<(String, PathBuf)>,
    /// Give the history's events as well, as GetExecutionHistory does.
    #[arg(long)]
    trace: bool,
    /// Mocked states, in the format of Step Functions Local: a MockConfigFile.json.
    #[arg(long, value_name = "FILE", requires = "test_case")]
    mocks: Option<PathBuf>,
    /// The test case of the mocks: CASE, or MACHINE#CASE where several machines have one of that name.
    #[arg(long, value_name = "NAME", requires = "mocks")]
    test_case: Option<String>,
    #[command(flatten)]
    keep: super::keep::Keeping,
}

fn parse_machine(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && name != ROOT => Ok((name.to_owned(), PathBuf::from(file))),
        Some((ROOT, _)) => Err(format!("{ROOT} is the name of the machine that --definition gives")),
        _ => Err("give NAME=FILE".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let input: Value = match &args.input {
        None => json!({}),
        Some(path) => serde_json::from_str(&read(path)?).map_err(|error| {
            Failure::new(Exit::Invalid, format!("{} is not JSON: {error}", path.display()))
        })?,
    };
    let definition = |path: &PathBuf, machine_type| read(path).map(|text| Definition { text, machine_type });
    let mut definitions =
        BTreeMap::from([(ROOT.to_owned(), definition(&args.definition, args.kind.into())?)]);
    for (name, path) in &args.machines {
        definitions.insert(name.clone(), definition(path, Type::Standard.into())?);
    }
    let mut invoke = functions::at(args.lambda_endpoint.as_deref())?;
    if let (Some(path), Some(test_case)) = (&args.mocks, &args.test_case) {
        let refused = |error: MockError| Failure::new(Exit::Invalid, format!("{}: {error}", path.display()));
        let mocks = Mocks::read(&read(path)?, test_case).map_err(refused)?;
        // A definition that is no JSON is refused below, with its place.
        if let Some(root) = definitions.get_mut(ROOT)
            && let Ok(definition) = serde_json::from_str(&root.text)
        {
            root.text = mocks.apply(&definition).map_err(refused)?.to_string();
        }
        invoke = Arc::new(mocks.over(invoke));
    }
    let runtime = functions::runtime()?;
    let options = RunOptions {
        definitions,
        root: ROOT.to_owned(),
        execution_name: "execution".to_owned(),
        input,
        seed: 0,
        invoke,
        objects: args.objects.store()?,
        max_concurrent_invocations: CALLS_AT_ONCE,
        trace: args.trace,
    };
    let report = args.keep.run(options, &runtime)?;
    output::json(&conformance_line(&report));
    Ok(())
}

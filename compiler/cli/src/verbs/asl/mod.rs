//! `stepgrad asl`: any state machine of the Amazon States Language, training or not.

mod functions;
mod jsonata;
mod keep;
mod objects;
mod run;
mod test_state;
mod validate;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use std::path::Path;

/// What can be done with a state machine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Run a state machine to its end; one JSON line says how it ended.
    Run(Box<run::Args>),
    /// Say all that is wrong with a definition; one JSON line gives the verdict.
    Validate(validate::Args),
    /// Test one state by itself, as AWS's TestState does; one JSON line is the response.
    TestState(test_state::Args),
    /// Evaluate JSONata expressions, one JSON line each.
    Jsonata(jsonata::Args),
}

/// The type of a state machine, as AWS writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Type {
    /// Up to a year, every step recorded.
    #[default]
    Standard,
    /// Up to five minutes.
    Express,
}

impl From<Type> for stepgrad_asl::document::MachineType {
    fn from(kind: Type) -> Self {
        match kind {
            Type::Standard => Self::Standard,
            Type::Express => Self::Express,
        }
    }
}

pub(crate) fn run(verb: &Verb, format: Format) -> Result<(), Failure> {
    match verb {
        Verb::Run(args) => run::run(args),
        Verb::Validate(args) => validate::run(args, format),
        Verb::TestState(args) => test_state::run(args),
        Verb::Jsonata(args) => jsonata::run(args),
    }
}

/// The text of a definition or an input.
#[expect(clippy::disallowed_methods, reason = "the verb reads files")]
fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::Usage,
            std::io::ErrorKind::InvalidData => Exit::Invalid,
            _ => Exit::Internal,
        };
        Failure::new(exit, format!("cannot read {}: {error}", path.display()))
    })
}

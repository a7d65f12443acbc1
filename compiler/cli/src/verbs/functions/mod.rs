//! `stepgrad functions`: the binaries of the functions, built and packaged for Lambda.

mod build;
mod package;

use crate::failure::Failure;
use crate::output::Format;

/// What can be done with functions.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Build the functions' binaries for Lambda, from stepgrad's own sources.
    Build(build::Args),
    /// Make Lambda packages of the functions' binaries: zips, or a container image's files.
    Package(package::Args),
}

pub(crate) fn run(verb: &Verb, format: Format) -> Result<(), Failure> {
    match verb {
        Verb::Build(args) => build::run(args, format),
        Verb::Package(args) => package::run(args, format),
    }
}

//! `stepgrad functions build`: the binaries for Lambda by cargo, for this processor or, where the tools are there, for the
//! other one. What is missing is named before anything is compiled, and what was built is checked as Lambda would load it. The same
//! sources, compilers and libtorch give the same bytes, wherever they lie.
#![expect(clippy::disallowed_methods, reason = "starts cargo and looks for tools")]

mod missing;
mod places;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use missing::{missing, tools};
use places::Places;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use stepgrad_contract::function::Artefact;
use stepgrad_package::{Architecture, elf};

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The processor; without it, this computer's.
    #[arg(long, value_name = "ARCH", value_parser = ["arm64", "x86_64"])]
    arch: Option<String>,
    /// Build only the binary that needs no libtorch.
    #[arg(long)]
    light_only: bool,
    /// The folder of stepgrad's sources; without it, this one or the first above it that holds them.
    #[arg(long, value_name = "DIR")]
    sources: Option<PathBuf>,
    /// The folder of a libtorch for that processor; without it, the variable LIBTORCH, or `.libtorch` of the sources.
    #[arg(long, value_name = "DIR")]
    libtorch: Option<PathBuf>,
}

/// The profile of Cargo.toml that it is built with.
const PROFILE: &str = "lambda";
/// A file that only stepgrad's sources have.
const MARK: &str = "runtime/functions/Cargo.toml";

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    let architecture = match &args.arch {
        Some(name) => Architecture::from_name(name),
        None => Architecture::of_this_machine(),
    };
    let architecture = architecture.ok_or_else(|| {
        Failure::new(Exit::Usage, "Lambda has no such processor as this computer's: name one with --arch")
    })?;
    let sources = sources(args)?;
    let libtorch = args.libtorch.clone().or_else(|| std::env::var_os("LIBTORCH").map(PathBuf::from));
    // Cargo and what it starts work in other folders than this one.
    let libtorch = absolute(&libtorch.unwrap_or_else(|| sources.join(".libtorch")))?;
    let missing: Vec<String> = missing(architecture, (!args.light_only).then_some(&libtorch))
        .iter()
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        let what = format!("cannot build for {architecture} here; missing:\n  - {}", missing.join("\n  - "));
        return Err(Failure::new(Exit::Usage, what));
    }
    let places = Places::of(&metadata(architecture, &sources)?)?;
    let folder = places.target.join(architecture.target()).join(PROFILE);
    let mut artefacts = vec![Artefact::Light];
    if !args.light_only {
        artefacts.push(Artefact::Torch);
    }
    for artefact in artefacts {
        build(artefact, architecture, &sources, &libtorch, &places)?;
        let path = folder.join(artefact.name());
        let bytes = std::fs::read(&path).map_err(|error| Failure::file("read", &path, &error))?;
        // What Lambda would not load is told now, and not when it is packaged.
        let _ = elf::check(&path, &bytes, architecture)?;
    }
    if format == Format::Json {
        output::json(&json!({"version": 1, "architecture": architecture, "binaries": folder}));
    } else {
        output::say(&format!(
            "built for {architecture}; next: stepgrad functions package SPEC --arch {architecture} --binaries {}",
            folder.display()
        ));
    }
    Ok(())
}

/// The folder of stepgrad's sources.
fn sources(args: &Args) -> Result<PathBuf, Failure> {
    let start = match &args.sources {
        Some(folder) => folder.clone(),
        None => std::env::current_dir().map_err(|error| {
            Failure::new(Exit::Internal, format!("cannot tell which folder this is: {error}"))
        })?,
    };
    let folders: Vec<&Path> = if args.sources.is_some() { vec![&start] } else { start.ancestors().collect() };
    folders.into_iter().find(|folder| folder.join(MARK).is_file()).map(Path::to_owned).ok_or_else(|| {
        let what = format!(
            "{} does not hold stepgrad's sources ({MARK}): name their folder with --sources",
            start.display()
        );
        Failure::new(Exit::Usage, what)
    })
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::file("find", path, &error))
}

/// What a program says, if it is there and content.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

/// The first line of it.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    said(program, arguments).map(|text| text.lines().next().unwrap_or_default().to_owned())
}

/// What cargo knows of the workspace; it fetches the crates that are not here.
fn metadata(architecture: Architecture, sources: &Path) -> Result<Vec<u8>, Failure> {
    let mut command = Command::new("cargo");
    let arguments = ["metadata", "--locked", "--format-version", "1", "--filter-platform"];
    command.args(arguments).arg(architecture.target()).current_dir(sources);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(not_started)?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(Failure::new(Exit::Internal, "cargo could not read the workspace: see above")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` takes")]
fn not_started(error: std::io::Error) -> Failure {
    Failure::new(Exit::Internal, format!("cannot start cargo: {error}"))
}

fn build(
    artefact: Artefact,
    architecture: Architecture,
    sources: &Path,
    libtorch: &Path,
    places: &Places,
) -> Result<(), Failure> {
    let (target, tools) = (architecture.target(), tools(architecture));
    let name = target.replace('-', "_");
    let mut command = Command::new("cargo");
    command
        .args(["build", "--locked", "--profile", PROFILE, "--package", "stepgrad-runtime"])
        .args(["--target", target, "--bin", artefact.name()])
        .current_dir(sources)
        .env(format!("CC_{name}"), &tools.c)
        .env(format!("CXX_{name}"), &tools.cpp)
        // In the place of any flags of the user's: whoever builds it, it is the same.
        .env("CARGO_ENCODED_RUSTFLAGS", places.rustflags())
        .env(format!("CFLAGS_{name}"), places.cflags(None))
        .env(format!("CXXFLAGS_{name}"), places.cflags(Some((libtorch, "/libtorch"))))
        .env("CC_SHELL_ESCAPED_FLAGS", "1")
        // It looks for its libraries beside itself, and not where this computer has them.
        .env("STEPGRAD_PACKAGE", "1");
    // For this processor it would be the linker of cargo's own helpers too, and they, and all that they help with, would be built
    // again whenever another processor's turn has been.
    if Architecture::of_this_machine() != Some(architecture) {
        command.env(format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), &tools.c);
    }
    for other in ["LIBTORCH_USE_PYTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_STATIC"] {
        command.env_remove(other);
    }
    match artefact {
        Artefact::Light => command.args(["--no-default-features", "--features", "light"]),
        Artefact::Torch => command.env("LIBTORCH", libtorch),
    };
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().map_err(not_started)?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(Exit::Internal, format!("cargo could not build {artefact}: see above"))),
    }
}

//! `stepgrad functions build`: the binaries for Lambda by cargo, for this processor or, where the tools are there, for the
//! other one. What is missing is named before anything is compiled.
#![expect(clippy::disallowed_methods, reason = "starts cargo and looks for tools")]

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use stepgrad_contract::function::Artefact;
use stepgrad_package::{Architecture, PackageError};

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
    let libtorch = libtorch.unwrap_or_else(|| sources.join(".libtorch"));
    let missing = missing(architecture, &libtorch, args.light_only);
    if !missing.is_empty() {
        let what = format!("cannot build for {architecture} here; missing:\n  - {}", missing.join("\n  - "));
        return Err(Failure::new(Exit::Usage, what));
    }
    let mut artefacts = vec![Artefact::Light];
    if !args.light_only {
        artefacts.push(Artefact::Torch);
    }
    for artefact in artefacts {
        build(artefact, architecture, &sources, &libtorch)?;
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sources.join("target"), PathBuf::from);
    let folder = target.join(architecture.target()).join(PROFILE);
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

/// What is not here and has to be, with what to do about it.
fn missing(architecture: Architecture, libtorch: &Path, light_only: bool) -> Vec<String> {
    let mut missing = Vec::new();
    if first_line("cargo", &["--version"]).is_none() {
        missing.push("cargo: install Rust from https://rustup.rs".to_owned());
    }
    let target = architecture.target();
    let library = first_line("rustc", &["--print", "target-libdir", "--target", target]);
    if !library.is_some_and(|folder| Path::new(&folder).is_dir()) {
        missing.push(format!("Rust's standard library for {target}: rustup target add {target}"));
    }
    let tools = tools(architecture);
    for (tool, package) in [(&tools.c, tools.package), (&tools.cpp, tools.package)] {
        if first_line(tool, &["--version"]).is_none() {
            missing.push(format!("the compiler {tool}: install {package}"));
        }
    }
    if !light_only && let Err(why) = fits(libtorch, architecture) {
        let way = match Architecture::of_this_machine() == Some(architecture) {
            true => "make setup".to_owned(),
            false => format!("python3 setup/libtorch.py --arch {architecture} DIR"),
        };
        missing.push(format!(
            "a libtorch for {architecture} ({why}): get one by `{way}` and name its folder with --libtorch, or build with --light-only"
        ));
    }
    missing
}

/// Whether there is a libtorch for the processor in the folder.
fn fits(libtorch: &Path, architecture: Architecture) -> Result<(), String> {
    let path = libtorch.join("lib/libtorch_cpu.so");
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    match stepgrad_package::elf::check(&path, &bytes, architecture) {
        Err(PackageError::Architecture { found, .. }) => {
            Err(format!("the one in {} is for {found}", libtorch.display()))
        }
        other => other.map(drop).map_err(|error| error.to_string()),
    }
}

/// Compilers for a processor, and the package of Debian and Ubuntu that they come with.
struct Tools {
    c: String,
    cpp: String,
    package: &'static str,
}

fn tools(architecture: Architecture) -> Tools {
    let named =
        |prefix: &str, package| Tools { c: format!("{prefix}gcc"), cpp: format!("{prefix}g++"), package };
    match (architecture, Architecture::of_this_machine()) {
        (wanted, Some(own)) if wanted == own => named("", "g++"),
        (Architecture::Arm64, _) => named("aarch64-linux-gnu-", "g++-aarch64-linux-gnu"),
        (Architecture::X86, _) => named("x86_64-linux-gnu-", "g++-x86-64-linux-gnu"),
    }
}

/// The first line of what a program says, if it is there and content.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

fn build(
    artefact: Artefact,
    architecture: Architecture,
    sources: &Path,
    libtorch: &Path,
) -> Result<(), Failure> {
    let (target, tools) = (architecture.target(), tools(architecture));
    let name = target.replace('-', "_");
    let mut command = Command::new("cargo");
    command
        .args([
            "build",
            "--locked",
            "--profile",
            PROFILE,
            "--package",
            "stepgrad-runtime",
            "--target",
            target,
        ])
        .args(["--bin", artefact.name()])
        .current_dir(sources)
        .env(format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), &tools.c)
        .env(format!("CC_{name}"), &tools.c)
        .env(format!("CXX_{name}"), &tools.cpp);
    match artefact {
        Artefact::Light => command.args(["--no-default-features", "--features", "light"]),
        Artefact::Torch => command.env("LIBTORCH", libtorch),
    };
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot start cargo: {error}")))?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(Exit::Internal, format!("cargo could not build {artefact}: see above"))),
    }
}

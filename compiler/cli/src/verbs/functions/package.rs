//! `stepgrad functions package SPEC|BUNDLE`: Lambda packages for what the spec needs. All is checked before anything is
//! written; the same binaries give the same bytes.
#![expect(clippy::disallowed_methods, reason = "reads the user's files and the environment")]

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project::{Loaded, SpecArgs};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use stepgrad_compiler::aws::emit;
use stepgrad_compiler::bundle::Index;
use stepgrad_contract::function::Artefact;
use stepgrad_package::{Architecture, Package, PackageError, image, layout, limits, write};

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A spec, or the folder that `stepgrad compile` wrote.
    #[arg(value_name = "SPEC|BUNDLE")]
    what: PathBuf,
    /// The folder that the packages are written to.
    #[arg(long, value_name = "DIR", default_value = "packages")]
    out: PathBuf,
    /// The folder of the binaries `bootstrap` and `bootstrap-light`; without it, the folder of this program.
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// The folder of the libtorch that `bootstrap` was linked with; without it, the variable LIBTORCH, or `.libtorch`.
    #[arg(long, value_name = "DIR")]
    libtorch: Option<PathBuf>,
    /// Package for this processor, in place of the spec's functions.architecture.
    #[arg(long, value_name = "ARCH", value_parser = ["arm64", "x86_64"])]
    arch: Option<String>,
    /// Package only the functions that need no libtorch.
    #[arg(long, conflicts_with = "image")]
    light_only: bool,
    /// Write the files of a container image, in place of a zip, for the functions that need libtorch.
    #[arg(long)]
    image: bool,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    let index = index(args, format)?;
    let (architecture, wanted) = wanted(args, &index)?;
    let binaries = match &args.binaries {
        Some(folder) => folder.clone(),
        None => std::env::current_exe()
            .ok()
            .and_then(|own| own.parent().map(Path::to_owned))
            .ok_or_else(|| Failure::new(Exit::Internal, "cannot tell where this executable is"))?,
    };
    let light = binaries.join(Artefact::Light.name());
    let full = binaries.join(Artefact::Torch.name());
    let mut packages = BTreeMap::new();
    for artefact in wanted {
        let package = match artefact {
            Artefact::Light => {
                built(&light, architecture)?;
                let files = layout::light(&light, architecture)?;
                Package::zip(artefact.name(), &files, limits::LIGHT)?
            }
            Artefact::Torch => {
                built(&full, architecture)?;
                let libraries = libraries(args)?;
                match args.image {
                    true => {
                        let dockerfile = emit::dockerfile(&index);
                        Package::Image(image::context(&full, &libraries, architecture, dockerfile)?)
                    }
                    false => {
                        let files = layout::torch(&full, &light, &libraries, architecture)?;
                        Package::zip(artefact.name(), &files, limits::UNPACKED)?
                    }
                }
            }
        };
        packages.insert(artefact.name().to_owned(), package);
    }
    let written = write(&args.out, architecture, &packages)?;
    if format == Format::Json {
        output::json(&json!({"version": 1, "out": args.out, "package": written}));
        return Ok(());
    }
    for packaged in written.packages.values() {
        let way = match packaged.sha256.is_some() && packaged.bytes > limits::DIRECT_UPLOAD {
            true => ", too large for a direct upload: it goes by way of S3",
            false => "",
        };
        output::say(&format!(
            "wrote {} for {architecture}: {} bytes, {} unpacked{way}",
            args.out.join(&packaged.file).display(),
            packaged.bytes,
            packaged.unpacked_bytes
        ));
    }
    Ok(())
}

/// What is packaged, and for which processor.
fn wanted(args: &Args, index: &Index) -> Result<(Architecture, BTreeSet<Artefact>), Failure> {
    let name = index.functions.first().map(|entry| entry.architecture.as_str());
    let architecture = name.and_then(Architecture::from_name).ok_or_else(|| {
        Failure::new(Exit::Invalid, format!("{} names no processor of Lambda's", args.what.display()))
    })?;
    let mut wanted: BTreeSet<Artefact> = index.functions.iter().map(|entry| entry.artefact).collect();
    if args.light_only {
        wanted.retain(|artefact| *artefact == Artefact::Light);
    }
    Ok((architecture, wanted))
}

/// The functions of a bundle, or of what a spec compiles to, for the processor that is asked for.
fn index(args: &Args, format: Format) -> Result<Index, Failure> {
    let mut index = compiled(args, format)?;
    if let Some(name) = &args.arch {
        index.functions.iter_mut().for_each(|entry| entry.architecture.clone_from(name));
    }
    Ok(index)
}

fn compiled(args: &Args, format: Format) -> Result<Index, Failure> {
    if !args.what.is_dir() {
        let spec = SpecArgs { spec: args.what.clone(), overrides: Vec::new(), templates: None };
        return Ok(Loaded::load(&spec, format)?.compile(&spec, format)?.bundle.index);
    }
    let path = args.what.join("bundle.json");
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("{}: {error}; name a spec, or a folder of `stepgrad compile`", path.display()),
        )
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::new(Exit::Invalid, format!("{} is no bundle: {error}", path.display())))
}

fn built(binary: &Path, architecture: Architecture) -> Result<(), Failure> {
    match binary.is_file() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Usage,
            format!(
                "{} is not there: build it with `stepgrad functions build --arch {architecture}`, and name the folder with --binaries",
                binary.display()
            ),
        )),
    }
}

/// The folder of libtorch's libraries.
fn libraries(args: &Args) -> Result<PathBuf, Failure> {
    let folder = args.libtorch.clone().or_else(|| std::env::var_os("LIBTORCH").map(PathBuf::from));
    let folder = folder.unwrap_or_else(|| PathBuf::from(".libtorch")).join("lib");
    match folder.is_dir() {
        true => Ok(folder),
        false => Err(Failure::new(
            Exit::Usage,
            format!("{} is not there: name libtorch's folder with --libtorch", folder.display()),
        )),
    }
}

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        let exit = match &error {
            PackageError::Size { .. } => Exit::Limit,
            PackageError::File { .. } | PackageError::Zip(_) | PackageError::Compress(..) => Exit::Internal,
            _ => Exit::Usage,
        };
        Self::new(exit, error.to_string())
    }
}

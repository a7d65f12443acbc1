//! `stepgrad init`: a commented spec for a topology, that runs as it stands, or an example of a fault file, and the
//! schema for editors.
#![expect(clippy::disallowed_methods, reason = "the verb writes files")]

mod library;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use library::{Example, LIBRARY};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The topologies that a spec can be written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Topology {
    /// Every peer collects from all others and updates its own replica.
    #[default]
    PeerToPeer,
    /// A server collects from all workers and updates the one model.
    ParameterServer,
}

impl Topology {
    const fn spec(self) -> &'static str {
        match self {
            Self::PeerToPeer => include_str!("peer_to_peer.yaml"),
            Self::ParameterServer => include_str!("parameter_server.yaml"),
        }
    }
}

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to write, train.yaml or NAME.yaml if not given; `-` writes to stdout.
    path: Option<PathBuf>,
    /// Write the example NAME of a fault file; without NAME list them all.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", conflicts_with = "topology")]
    faults: Option<String>,
    /// Who exchanges with whom.
    #[arg(long, value_enum, default_value_t)]
    topology: Topology,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    let Some(name) = &args.faults else {
        let path = args.path.clone().unwrap_or_else(|| PathBuf::from("train.yaml"));
        let schema = stepgrad_compiler::spec::schema();
        let next = format!("stepgrad run {}", path.display());
        return write(
            &path,
            args.topology.spec(),
            ("train.schema.json", &schema),
            ("spec", &next),
            args.force,
            format,
        );
    };
    if name.is_empty() {
        list(format);
        return Ok(());
    }
    let Some(example) = LIBRARY.iter().find(|example| example.name == *name) else {
        let what = format!("there is no example {name}; `stepgrad init --faults` lists them");
        return Err(Failure::new(Exit::Usage, what));
    };
    let path = args.path.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.yaml")));
    let schema = stepgrad_compiler::faults::schema();
    let next = format!("stepgrad rerun RUN --faults {}", path.display());
    // In the project the schema stands elsewhere.
    let text = example.text.replacen("$schema=../../specs/", "$schema=", 1);
    write(&path, &text, ("faults.schema.json", &schema), ("faults", &next), args.force, format)
}

fn list(format: Format) {
    if format == Format::Json {
        let one = |example: &Example| serde_json::json!({"name": example.name, "title": example.title()});
        let all: Vec<_> = LIBRARY.iter().map(one).collect();
        output::json(&serde_json::json!({"version": 1, "faults": all}));
        return;
    }
    for example in LIBRARY {
        output::data(&format!("{:22} {}\n", example.name, example.title()));
    }
    output::say("write one: stepgrad init --faults NAME");
}

/// Writes a file and its schema beside it; `next` is what can be done with it, which `key` names in data.
fn write(
    path: &Path,
    text: &str,
    (schema_name, own): (&str, &serde_json::Value),
    (key, next): (&str, &str),
    force: bool,
    format: Format,
) -> Result<(), Failure> {
    if path == Path::new("-") {
        output::data(text);
        return Ok(());
    }
    let schema = path.with_file_name(schema_name);
    // An older version's schema is of no use; another schema of this name is somebody's.
    let replace = force || is_ours(&schema, own);
    if schema.exists() && !replace {
        let what = format!("{} is there and is not stepgrad's; replace it with --force", schema.display());
        return Err(Failure::new(Exit::Usage, what));
    }
    create(path, text, force)?;
    create(&schema, &format!("{own:#}\n"), replace)?;
    if format == Format::Json {
        output::json(&serde_json::json!({"version": 1, key: path, "schema": schema}));
    } else {
        output::say(&format!("wrote {} and, for editors, {}", path.display(), schema.display()));
        output::say(&format!("next: {next}"));
    }
    Ok(())
}

/// Whether the file is such a schema, of whatever version.
fn is_ours(path: &Path, own: &serde_json::Value) -> bool {
    let there =
        std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    there.is_some_and(|there| there["title"].is_string() && there["title"] == own["title"])
}

fn create(path: &Path, text: &str, replace: bool) -> Result<(), Failure> {
    // Under its name it is whole: a full disk leaves nothing, or what was there.
    let failed = |error: &std::io::Error| Failure::file("write", path, error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let begun = tempfile::Builder::new().prefix(".stepgrad-").permissions(readable).tempfile_in(folder);
    let mut begun = begun.map_err(|error| failed(&error))?;
    begun.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    let named = if replace { begun.persist(path) } else { begun.persist_noclobber(path) };
    named.map(drop).map_err(|error| match error.error {
        error if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let what =
                format!("{} is there already; name another file, or replace it with --force", path.display());
            Failure::new(Exit::Usage, what)
        }
        error => failed(&error),
    })
}

//! `stepgrad init`: a commented spec for a topology, that runs as it stands, and the schema for editors.
#![expect(clippy::disallowed_methods, reason = "the verb writes files")]

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
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
    /// The file to write; `-` writes to stdout.
    #[arg(default_value = "train.yaml")]
    path: PathBuf,
    /// Who exchanges with whom.
    #[arg(long, value_enum, default_value_t)]
    topology: Topology,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    if args.path == Path::new("-") {
        output::data(args.topology.spec());
        return Ok(());
    }
    let schema = args.path.with_file_name("train.schema.json");
    let own = stepgrad_compiler::spec::schema();
    // An older version's schema is of no use; another schema of this name is somebody's.
    let replace = args.force || is_ours(&schema, &own);
    if schema.exists() && !replace {
        let what = format!("{} is there and is not stepgrad's; replace it with --force", schema.display());
        return Err(Failure::new(Exit::Usage, what));
    }
    create(&args.path, args.topology.spec(), args.force)?;
    create(&schema, &format!("{own:#}\n"), replace)?;
    if format == Format::Json {
        output::json(&serde_json::json!({"version": 1, "spec": args.path, "schema": schema}));
    } else {
        let path = args.path.display();
        output::say(&format!("wrote {path} and, for editors, {}", schema.display()));
        output::say(&format!("next: stepgrad run {path}"));
    }
    Ok(())
}

/// Whether the file is a schema of specs, of whatever version.
fn is_ours(path: &Path, own: &serde_json::Value) -> bool {
    let there =
        std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    there.is_some_and(|there| there["title"].is_string() && there["title"] == own["title"])
}

fn create(path: &Path, text: &str, replace: bool) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    if replace {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut file = options.open(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            let what =
                format!("{} is there already; name another file, or replace it with --force", path.display());
            Failure::new(Exit::Usage, what)
        } else {
            Failure::file("write", path, &error)
        }
    })?;
    file.write_all(text.as_bytes()).map_err(|error| Failure::file("write", path, &error))
}

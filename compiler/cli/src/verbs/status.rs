//! `stepgrad status RUN`: where a run on AWS stands; with `--watch` until it ends, and then with its record here.

use crate::cloud::{self, Known, KnownArgs, training};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::record::Status;
use crate::show::summary;
use serde_json::json;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    run: KnownArgs,
    /// Follow the run to its end, and write its record.
    #[arg(long)]
    watch: bool,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    cloud::block_on(async {
        let known = Known::open(&args.run, format).await?;
        let runs = known.runs()?;
        if args.watch {
            let (record, run) = known.record(&args.run).await?;
            let run = training::follow(&runs, &record, run, format == Format::Json).await?;
            if format == Format::Json {
                output::json(&summary::line(&run));
            } else {
                output::data(&format!("{}\n", summary::text(&run)));
            }
            return if run.status == Status::Succeeded {
                Ok(())
            } else {
                Err(Failure::told(Exit::RunFailed))
            };
        }
        let id = &args.run.id;
        let stands = runs.describe(&runs.arn(id)).await.map_err(cloud::failure)?;
        let progress = training::newest(&runs, id, 0).await?;
        if format == Format::Json {
            output::json(&json!({
                "version": 1,
                "run": id,
                "status": stands.status,
                "error": stands.error,
                "round": progress.as_ref().map(|progress| progress.round),
                "epochs": progress.as_ref().map(|progress| progress.epochs),
                "training": progress.as_ref().and_then(|progress| progress.training),
                "validation": progress.as_ref().and_then(|progress| progress.validation),
            }));
        } else {
            let mut line = format!("{id}: {}", stands.status);
            if let Some(progress) = &progress {
                line.push_str(&format!(" · {}", training::line_of(progress)));
            }
            if let Some(error) = &stands.error {
                line.push_str(&format!(" · {error}"));
            }
            output::data(&format!("{line}\n"));
        }
        Ok(())
    })
}

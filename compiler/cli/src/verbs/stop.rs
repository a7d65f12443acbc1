//! `stepgrad stop RUN`: ends a run on AWS, with all that it has started, and writes its record.

use crate::cloud::{self, Known, KnownArgs, training};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::show::summary;

/// What Step Functions keeps as the reason.
const CAUSE: &str = "stopped by `stepgrad stop`";

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    run: KnownArgs,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    cloud::block_on(async {
        let known = Known::open(&args.run, format).await?;
        let (runs, id) = (known.runs()?, &args.run.id);
        let stands = runs.describe(&runs.arn(id)).await.map_err(cloud::failure)?;
        // Of one that has ended, something may be under way: an earlier `stop` may have been interrupted.
        let stopped = runs.stop(id, stands.is_running(), CAUSE).await.map_err(cloud::failure)?;
        if !stands.is_running() && stopped == 0 {
            return Err(Failure::new(Exit::Usage, format!("run {id} has ended already: {}", stands.status)));
        }
        let (record, run) = match known.record(&args.run).await {
            Ok(found) => found,
            // Whoever follows it writes its record.
            Err(failure) => {
                output::say(&format!(
                    "run {id} is stopped; its record is not written here: {}",
                    failure.message
                ));
                return Ok(());
            }
        };
        let run = training::follow(&runs, &record, run, true).await?;
        if format == Format::Json {
            output::json(&summary::line(&run));
        } else {
            output::data(&format!("{}\n", summary::text(&run)));
        }
        Ok(())
    })
}

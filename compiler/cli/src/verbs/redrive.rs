//! `stepgrad redrive RUN`: goes on with a run on AWS that was stopped or ran out of time, and follows it to its end.

use crate::cloud::{self, Known, KnownArgs, training};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::record::{self, Status, folder_of};
use crate::show::summary;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    run: KnownArgs,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    let id = &args.run.id;
    if let Ok(folder) = folder_of(&args.run.runs, id)
        && record::read(&folder)?.aws.is_none()
    {
        let what = format!("run {id} is of this computer: `stepgrad run --resume {id}` goes on with it");
        return Err(Failure::new(Exit::Usage, what));
    }
    cloud::block_on(async {
        let known = Known::open(&args.run, format).await?;
        let runs = known.runs()?;
        let executions = runs.redrivable(id).await.map_err(cloud::failure)?;
        let (record, mut run) = known.record(&args.run).await?;
        runs.redrive(id, &executions).await.map_err(cloud::failure)?;
        run.status = Status::Running;
        run.finished = None;
        record.write(&run)?;
        let run = training::follow(&runs, &record, run, format == Format::Json).await?;
        if format == Format::Json {
            output::json(&summary::line(&run));
        } else {
            output::data(&format!("{}\n", summary::text(&run)));
        }
        if run.status == Status::Succeeded { Ok(()) } else { Err(Failure::told(Exit::RunFailed)) }
    })
}

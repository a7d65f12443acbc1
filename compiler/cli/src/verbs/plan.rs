//! `stepgrad plan SPEC`: what `deploy` would do, and what a training may cost at the most. Changes nothing.

use crate::cloud::{self, AwsArgs, PackageArgs, Site};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project::SpecArgs;
use crate::show::bounds;
use serde_json::json;
use stepgrad_deploy::Plan;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    packages: PackageArgs,
    /// Exit with 7 where `deploy` would change something.
    #[arg(long)]
    detailed_exitcode: bool,
    #[command(flatten)]
    aws: AwsArgs,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    let plan = cloud::block_on(async {
        let site = Site::open(&args.spec, &args.aws, &args.packages, format).await?;
        let plan = Plan::make(&site.session, &site.desired).await.map_err(cloud::failure)?;
        let bounds = &site.compiled.bounds;
        if format == Format::Json {
            let mut document = cloud::json(&site.session, &site.desired.owned, &plan);
            let figures = bounds.figures.iter().map(|figure| {
                json!({"what": figure.what, "worst": figure.worst, "limit": figure.limit, "unit": figure.unit})
            });
            document["limits"] = figures.collect();
            output::json(&document);
        } else {
            let place = &site.session.place;
            output::data(&format!(
                "{} in account {}, {}\n\n",
                site.compiled.bundle.index.name, place.account, place.region
            ));
            output::data(&cloud::text(&plan.steps));
            output::data(&format!("\n{}\n\n{}", cloud::sum(&plan), bounds::text(bounds)));
        }
        Ok(plan)
    })?;
    plan.refuse_foreign().map_err(cloud::failure)?;
    if args.detailed_exitcode && !plan.is_empty() { Err(Failure::told(Exit::Changes)) } else { Ok(()) }
}

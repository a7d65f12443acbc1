//! `stepgrad deploy SPEC`: makes on AWS what the spec compiles to. Run again, it does what is left, or nothing.

use crate::cloud::{self, AwsArgs, PackageArgs, Quotas, Site, Told};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project::SpecArgs;
use serde_json::json;
use std::time::Duration;
use stepgrad_deploy::{Plan, deploy};

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    packages: PackageArgs,
    #[command(flatten)]
    aws: AwsArgs,
    /// Wait so long after a change of what roles may do: IAM tells it to all its places by and by.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=300))]
    iam_propagation: u64,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    cloud::block_on(async {
        let site = Site::open(&args.spec, &args.aws, &args.packages, format).await?;
        let Site { session, desired, .. } = &site;
        let plan = Plan::make(session, desired).await.map_err(cloud::failure)?;
        plan.refuse_foreign().map_err(cloud::failure)?;
        let quotas = Quotas::of(&site).await;
        quotas.hold()?;
        let quiet = format == Format::Json;
        if !quiet {
            for warning in quotas.warnings() {
                output::say(&format!("warning: {warning}"));
            }
            output::say(&cloud::sum(&plan));
        }
        let told = Told::new(quiet);
        let deployed =
            deploy(session, desired, &plan, Duration::from_secs(args.iam_propagation), &told).await;
        told.finish();
        let deployed = deployed.map_err(cloud::failure)?;
        if quiet {
            let mut document = cloud::json(session, &desired.owned, &plan);
            document["start"] = json!(deployed.start);
            document["quotas"] = quotas.json();
            output::json(&document);
        } else {
            output::data(&format!("{}\n", deployed.start));
        }
        Ok(())
    })
}

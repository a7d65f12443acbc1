//! `stepgrad plan SPEC`: what `deploy` would do, what a run will do and cost, and what the account has to allow. Changes nothing.

use crate::cloud::{self, AwsArgs, PackageArgs, Quotas, Site};
use crate::estimate::{self, Costs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project::SpecArgs;
use crate::show::bounds;
use serde_json::json;
use stepgrad_compiler::bound::Figure;
use stepgrad_compiler::limits;
use stepgrad_deploy::Plan;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    packages: PackageArgs,
    #[command(flatten)]
    costs: estimate::CostArgs,
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
        let mut bounds = site.compiled.bounds.clone();
        bounds.figures.extend(site.desired.longest_policy().map(|(role, length)| Figure {
            what: "longest policy of a role".to_owned(),
            worst: length,
            limit: limits::ROLE_POLICY_CHARACTERS.into(),
            unit: "characters",
            because: role.to_owned(),
        }));
        let costs = Costs::of(&args.costs, &site.compiled, Some(&site.root)).await?;
        let costs = costs.deployed(&site.session.place.region, site.desired.stored_bytes());
        let quotas = Quotas::of(&site).await;
        if format == Format::Json {
            let mut document = cloud::json(&site.session, &site.desired.owned, &plan);
            let figures = bounds.figures.iter().map(|figure| {
                json!({"what": figure.what, "worst": figure.worst, "limit": figure.limit, "unit": figure.unit})
            });
            document["limits"] = figures.collect();
            document["cost"] = estimate::json(&costs);
            document["quotas"] = quotas.json();
            output::json(&document);
        } else {
            let place = &site.session.place;
            output::data(&format!(
                "{} in account {}, {}\n\n",
                site.compiled.bundle.index.name, place.account, place.region
            ));
            output::data(&cloud::text(&plan.steps));
            output::data(&format!("\n{}\n\n{}\n", cloud::sum(&plan), estimate::text(&costs)));
            output::data(&format!("{}\n{}", quotas.text(), bounds::text(&bounds)));
        }
        Ok(plan)
    })?;
    plan.refuse_foreign().map_err(cloud::failure)?;
    if args.detailed_exitcode && !plan.is_empty() { Err(Failure::told(Exit::Changes)) } else { Ok(()) }
}

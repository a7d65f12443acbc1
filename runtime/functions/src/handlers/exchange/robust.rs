//! The exchange by a robust rule: what can be seen to be no contribution is left out and counts as caught, the
//! rule makes one of the rest, and what was amiss is written down, the same by every peer.
//!
//! Where less is left than the rule needs, nothing is guessed. If peers were lost or caught, the run ends
//! ([`ErrorKind::RobustnessLost`]). If the round has too few peers with work by its schedule (the last batches of
//! an epoch where shards differ in size), its exchange changes nothing, and the report says so.

use super::super::Environment;
use super::super::lineage::Made;
use super::super::run::Run;
use super::ground::Start;
use super::{anomalies_key, published};
use crate::aggregation::{self, Contribution, too_few};
use stepgrad_contract::anomaly::{Anomalies, Anomaly, Why};
use stepgrad_contract::progress::{Members, Sums};
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::{ErrorKind, FunctionError};

/// What the rule makes of what the members published; `None` where the round changes nothing.
pub(super) async fn aggregate(
    run: &Run,
    environment: &Environment,
    members: &Members,
    start: Made,
) -> Result<Option<TensorFile>, FunctionError> {
    let (rule, round) = (&run.training.aggregation, members.round);
    let (contributions, mut anomalous) = gather(run, environment, members, start).await?;
    published::check_quorum(run, members, &anomalous)?;
    let (left, caught) = (contributions.len(), u32::try_from(anomalous.len()).unwrap_or(u32::MAX));
    let diverged = anomalous.iter().all(|anomaly| anomaly.why == Why::NotFinite);
    if left == 0 && caught > 0 && diverged {
        let message = format!(
            "nothing that was published in round {round} is a finite number: lower training.optimizer.sgd.learning_rate, or scale the data with data.preprocess"
        );
        return Err(FunctionError::new(ErrorKind::NotFinite, message));
    }
    let working = scheduled(run, round, 1..=run.training.peers);
    let (mut one, mut skipped) = (None, None);
    match rule.least(caught) {
        Some(least) if left >= least as usize => {
            let ground = Start::load(run, environment, round, start).await?;
            let outcome = aggregation::aggregate(rule, caught, contributions, &ground)?;
            anomalous.extend(outcome.anomalous);
            one = Some(TensorFile { tensors: outcome.tensors, sums: Sums::default() });
        }
        Some(least) if working < run.training.peers as usize => {
            skipped = Some(format!(
                "{working} of {} peers have batches in this round, {left} contributions are left, and {} needs {least}",
                run.training.peers,
                rule.name()
            ));
        }
        _ => return Err(too_few(rule, caught, left)),
    }
    anomalous.sort_by_key(|anomaly| anomaly.peer);
    let key = anomalies_key(run, members);
    environment.store.put_document(&key, &Anomalies { anomalous, skipped }).await?;
    Ok(one)
}

/// Contributions that a rule can look at, and who is left out before.
async fn gather(
    run: &Run,
    environment: &Environment,
    members: &Members,
    start: Made,
) -> Result<(Vec<Contribution>, Vec<Anomaly>), FunctionError> {
    let round = members.round;
    let form = aggregation::Form::of(&start.get(environment, run).await?);
    let (mut contributions, mut caught) = (Vec::new(), Vec::new());
    for peer in &members.members {
        let file = match published::read(run, environment, round, *peer).await? {
            Ok(file) => file,
            Err(why) => {
                caught.push(Anomaly::new(*peer, why, None));
                continue;
            }
        };
        // Who has work is known from the schedule; what a file says of its samples is only a claim.
        let (works, empty) = (scheduled(run, round, *peer..=*peer) == 1, file.sums.samples == 0);
        let why = if !works && empty {
            continue;
        } else if works == empty {
            Why::Unscheduled
        } else if !form.fits(&file) {
            Why::Misfit
        } else if !aggregation::is_finite(&file) {
            Why::NotFinite
        } else {
            contributions.push(Contribution { peer: *peer, file });
            continue;
        };
        caught.push(Anomaly::new(*peer, why, None));
    }
    Ok((contributions, caught))
}

/// How many of these peers have batches in the round.
fn scheduled(run: &Run, round: u32, peers: std::ops::RangeInclusive<u32>) -> usize {
    peers.filter(|peer| run.schedule.work(round, *peer).places().next().is_some()).count()
}

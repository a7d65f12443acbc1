//! The exchange by a robust rule: what can be seen to be no contribution is left out and counts as caught, the
//! rule makes one of the rest, and what was amiss is written down, the same by every peer.
//!
//! Where less is left than the rule needs, nothing is guessed. If peers were lost or caught, the run ends
//! ([`ErrorKind::RobustnessLost`]). If the round has too few peers with work by its schedule (the last batches of
//! an epoch where shards differ in size), its exchange changes nothing, and the report says so.

use super::super::lineage::Made;
use super::super::run::Run;
use super::super::{Environment, claims};
use super::ground::{self, Start};
use super::{anomalies_key, published};
use crate::aggregation::{self, Contribution, too_few};
use stepgrad_contract::anomaly::{Anomalies, Anomaly, Why};
use stepgrad_contract::progress::{Members, Sums};
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::{ErrorKind, FunctionError};

/// What the rule makes of what the members published, `None` where the round changes nothing; and what the round
/// started from, where the rule has held on to it.
pub(super) async fn aggregate(
    run: &Run,
    environment: &Environment,
    members: &Members,
    start: Made,
) -> Result<(Option<TensorFile>, Option<TensorFile>), FunctionError> {
    let (rule, round) = (&run.training.aggregation, members.round);
    let file = start.get(environment, run).await?;
    let form = aggregation::Form::of(&file);
    // Rules that do not look at it let go of it, before the files of all peers stand in memory.
    let start = Some(file).filter(|_| ground::is_asked(rule));
    let (contributions, mut anomalous) = gather(run, environment, members, &form).await?;
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
    let thin = rule.least(0).is_some_and(|least| working < least as usize);
    let (mut one, mut skipped) = (None, None);
    match rule.least(caught) {
        Some(least) if left >= least as usize => {
            let ground = Start::load(run, environment, round, start.as_ref()).await?;
            let outcome = aggregation::aggregate(rule, caught, contributions, &ground)?;
            anomalous.extend(outcome.anomalous);
            one = Some(TensorFile { tensors: outcome.tensors, sums: Sums::default() });
        }
        Some(least) if thin => {
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
    Ok((one, start))
}

/// Contributions that a rule can look at, and who is left out before.
async fn gather(
    run: &Run,
    environment: &Environment,
    members: &Members,
    form: &aggregation::Form,
) -> Result<(Vec<Contribution>, Vec<Anomaly>), FunctionError> {
    let round = members.round;
    let (mut contributions, mut caught) = (Vec::new(), Vec::new());
    for peer in &members.members {
        let file = match published::read(run, environment, round, *peer).await? {
            Ok(file) => file,
            Err(why) => {
                caught.push(Anomaly::new(*peer, why, None));
                continue;
            }
        };
        // Who has work, and of how many samples, is known; what a file says of it is only a claim.
        let samples = claims::samples(run, round, *peer);
        let why = if samples == 0 && file.sums.samples == 0 {
            continue;
        } else if let Some(why) = claims::check(&file.sums, samples) {
            why
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

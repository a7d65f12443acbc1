//! Whom a stage maps over, as the state machines take it.

use super::run::Run;
use stepgrad_contract::fanout::{Batches, Fanout, Member};
use stepgrad_contract::progress::Progress;
use stepgrad_contract::training::Algorithm;
use stepgrad_contract::{ErrorKind, FunctionError};

/// All peers that are not gone with their batches of `round`; without batches, where each trains on its own. Who was
/// left out of the round before is probed first.
pub(super) fn of_round(run: &Run, round: u32, before: &Progress) -> Result<Fanout, FunctionError> {
    let choice = run.choice().ok_or_else(|| too_many(run))?;
    let batches = |peer| match run.training.algorithm {
        Algorithm::GradientAveraging => {
            let work = run.schedule.work(round, peer);
            Batches::carried(work.first, work.last, choice)
        }
        Algorithm::ModelAveraging => Batches::None,
    };
    let probe = |peer| before.away.iter().any(|away| away.peer == peer);
    let members = run.present(before).map(|peer| Member { peer, probe: probe(peer), batches: batches(peer) });
    let members = members.collect();
    Ok(Fanout::carried(members, choice, run.training.max_concurrency))
}

/// These members, without batches.
pub(super) fn of_members(run: &Run, members: &[u32]) -> Result<Fanout, FunctionError> {
    let choice = run.choice().ok_or_else(|| too_many(run))?;
    let members =
        members.iter().map(|peer| Member { peer: *peer, probe: false, batches: Batches::None }).collect();
    Ok(Fanout::carried(members, choice, run.training.max_concurrency))
}

pub(super) fn too_many(run: &Run) -> FunctionError {
    let message = format!(
        "{} peers of up to {} batches a round fit no execution's history: use larger batches, fewer peers or exchange.every: {{batches: k}}",
        run.training.peers,
        run.manifest.largest_shard()
    );
    FunctionError::new(ErrorKind::LimitExceeded, message)
}

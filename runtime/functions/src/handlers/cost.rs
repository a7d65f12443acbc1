//! What `prepare` and `evaluate` say of the budget: the state machine decides by it whether a round is begun.

use super::run::Run;
use super::{fanout, invalid_event};
use stepgrad_contract::FunctionError;
use stepgrad_contract::budget::{Cost, Load};
use stepgrad_contract::events::EvaluateEvent;
use stepgrad_contract::progress::Progress;
use stepgrad_contract::training::{Algorithm, Training};

/// Before the preparation is done: nothing is decided by it yet.
pub(super) fn open(training: &Training, began: Option<&String>) -> Result<Option<Cost>, FunctionError> {
    let Some(_) = &training.budget else { return Ok(None) };
    let since = began.cloned().ok_or_else(nothing_said)?;
    Ok(Some(Cost { spent: 0, at_most: 0, since, cause: String::new() }))
}

/// Before the first round.
pub(super) fn begin(
    run: &Run,
    began: Option<&String>,
    before: &Progress,
) -> Result<Option<Cost>, FunctionError> {
    let Some(budget) = &run.training.budget else { return Ok(None) };
    let since = began.cloned().ok_or_else(nothing_said)?;
    Ok(Some(budget.begin(&run.training.carriers, since, &load(run, 1, before)?)))
}

/// After the round of `event`, between what was known `before` it and `after` it.
pub(super) fn after(
    run: &Run,
    event: &EvaluateEvent,
    before: &Progress,
    after: &Progress,
) -> Result<Option<Cost>, FunctionError> {
    let Some(budget) = &run.training.budget else { return Ok(None) };
    let (Some(cost), Some(now)) = (&event.cost, &event.now) else { return Err(nothing_said()) };
    let past = load(run, event.round, before)?;
    let next = match after.stop {
        Some(_) => None,
        None => Some(load(run, event.round + 1, after)?),
    };
    budget.after(&run.training.carriers, cost, now.clone(), &past, next.as_ref()).map(Some)
}

/// What a round has to do, by what was known before it.
fn load(run: &Run, round: u32, before: &Progress) -> Result<Load, FunctionError> {
    let batches = |peer| match run.training.algorithm {
        Algorithm::GradientAveraging => {
            u32::try_from(run.schedule.work(round, peer).places().count()).unwrap_or(u32::MAX)
        }
        Algorithm::ModelAveraging => 0,
    };
    Ok(Load {
        round,
        opens_segment: round.saturating_sub(1).is_multiple_of(run.training.rounds_per_segment.max(1)),
        batches: run.present(before).map(batches).collect(),
        choice: run.choice().ok_or_else(|| fanout::too_many(run))?,
    })
}

fn nothing_said() -> FunctionError {
    invalid_event(
        "the training has a budget, and the state machine says nothing of the time: compile and deploy both anew",
    )
}

//! What a training's calls and transitions cost on AWS. How they are added up stands in [`stepgrad_contract::budget`], what a
//! unit costs in [`crate::prices`]; AWS Lambda Developer Guide, "Lambda execution environment lifecycle" (10 seconds of
//! initialisation at the most).

use crate::aws::storage_mb;
use crate::bound::history;
use crate::bound::{Bounds, Size, retries_of};
use crate::lower::Machine;
use crate::prices::{Prices, US_EAST_1};
use crate::spec::{Processor, Spec};
use stepgrad_contract::Function;
use stepgrad_contract::budget::{Budget, Load, Rate};
use stepgrad_contract::fanout::Choice;

/// What it is counted with, wherever it is deployed.
const PRICES: Prices = US_EAST_1;
/// MB of `/tmp` that cost nothing.
const STORAGE_FREE_MB: u64 = 512;
/// Seconds that Lambda waits for a function's initialisation, which are billed beside the call's own.
pub(crate) const INITIALISATION_S: u32 = 10;

/// What the functions of a spec cost, with the limit of its budget; with none that can be reached where it has no budget.
pub(crate) fn rates(spec: &Spec, functions: &[Function], machines: &[Machine]) -> Budget {
    let rate = |function: &Function| (*function, rate(spec, *function, machines));
    Budget {
        limit: spec.budget.as_ref().map_or(u64::MAX, crate::spec::Budget::limit),
        request: PRICES.request,
        transition: PRICES.transition,
        segment_events: history::of_one("segment", machines),
        train_events: history::of_one("train", machines),
        calls: functions.iter().map(rate).collect(),
    }
}

fn rate(spec: &Spec, function: Function, machines: &[Machine]) -> Rate {
    let settings = spec.functions.of(function);
    let (gb_second, architecture) = match spec.functions.architecture.value {
        Processor::X86 => (PRICES.gb_second_x86_64, "x86_64"),
        Processor::Arm64 => (PRICES.gb_second_arm64, "arm64"),
    };
    let storage = u64::from(storage_mb(function.name(), architecture)).saturating_sub(STORAGE_FREE_MB);
    let of_gb = |mb: u64, price: u64| mb.saturating_mul(price).div_ceil(1_024);
    let retries =
        machines.iter().map(|machine| retries_of(&machine.definition, &function.placeholder())).max();
    let calls =
        if function.hands_over() { spec.functions.hand_over.at_most.value.saturating_add(1) } else { 1 };
    Rate {
        second: of_gb(settings.memory_mb.value.into(), gb_second) + of_gb(storage, PRICES.storage_gb_second),
        longest_s: settings.timeout_s.value.saturating_add(INITIALISATION_S),
        attempts: retries.unwrap_or(0).saturating_add(1).saturating_mul(calls),
    }
}

/// The first round, as far as the spec tells; where only `prepare` can, with one batch for each peer.
pub(crate) fn first(size: Size, bounds: &Bounds) -> Load {
    let whole = Choice { peers_per_execution: None, batches_per_execution: None };
    Load {
        round: 1,
        opens_segment: true,
        batches: vec![size.batches.unwrap_or(1); size.peers as usize],
        choice: bounds.carried.unwrap_or(whole),
    }
}

//! What is deleted behind a training: the objects of rounds that no later step reads.

use crate::store::Store;
use stepgrad_contract::{FunctionError, keys};

/// Deletes the rounds up to `round` − 1 − `retain`. The progress of the round before stays, because
/// `evaluate` of this round may be called again.
pub(super) async fn sweep(store: &Store, run: &str, round: u32, retain: u32) -> Result<(), FunctionError> {
    let Some(last) = round.checked_sub(1).and_then(|before| before.checked_sub(retain)) else {
        return Ok(());
    };
    let rounds = keys::round(run, 0);
    let Some((folder, _)) = rounds.rsplit_once('/') else {
        return Ok(());
    };
    for name in store.folders(folder).await? {
        let number = name.strip_prefix("round-").and_then(|number| number.parse().ok());
        if let Some(number) = number.filter(|number: &u32| *number <= last) {
            let keep = (number + 1 == round).then(|| keys::progress(run, number));
            store.delete_prefix(&format!("{folder}/{name}"), keep.as_deref()).await?;
        }
    }
    Ok(())
}

//! What a member published, read and verified. A tensor file that is missing or damaged is made again, to the same
//! bytes, for which the peer's own signature holds. A message that is not rightly signed is refused for good: so is
//! one whose signature is damaged, which only its peer could make again. If it ended the others' exchange instead,
//! any peer could end the training by writing what is no signature.

use super::super::Environment;
use super::super::lineage::Made;
use super::super::run::Run;
use stepgrad_contract::anomaly::{Anomaly, Why};
use stepgrad_contract::digest::sha256;
use stepgrad_contract::progress::Members;
use stepgrad_contract::signing::{PublicKey, Refusal, Signature};
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::{ErrorKind, FunctionError, keys};

/// What `peer` published in `round`, or why it is refused.
///
/// # Errors
/// As [`Made::get`]; [`ErrorKind::ObjectUnavailable`] where the signature cannot be read for now.
pub(super) async fn read(
    run: &Run,
    environment: &Environment,
    round: u32,
    peer: u32,
) -> Result<Result<TensorFile, Why>, FunctionError> {
    let (bytes, file) = Made::Published { round, peer }.read(environment, run).await?;
    let Some(public) = &run.training.public_keys else { return Ok(Ok(file)) };
    let digest = sha256(&bytes);
    drop(bytes);
    let verdict = match verify(run, environment, public, round, peer, &digest).await? {
        // What was read may have been damaged on its way, or an earlier object that a store still had in its place.
        Err(_) => verify(run, environment, public, round, peer, &digest).await?,
        right => right,
    };
    Ok(verdict.map(|()| file).map_err(Why::from))
}

async fn verify(
    run: &Run,
    environment: &Environment,
    public: &[PublicKey],
    round: u32,
    peer: u32,
    digest: &str,
) -> Result<Result<(), Refusal>, FunctionError> {
    let signature: Signature =
        match environment.store.get_document(&keys::signature(&run.id, round, peer)).await {
            Ok(signature) => signature,
            // Not there, no whole document, or a whole one of another kind.
            Err(error)
                if matches!(
                    error.kind,
                    ErrorKind::ObjectMissing | ErrorKind::ChecksumMismatch | ErrorKind::Internal
                ) =>
            {
                return Ok(Err(Refusal::Unsigned));
            }
            Err(error) => return Err(error),
        };
    Ok(signature.check(public, &run.id, round, peer, digest))
}

/// Ends the run where so many were refused that the quorum is not left.
pub(super) fn check_quorum(run: &Run, members: &Members, anomalous: &[Anomaly]) -> Result<(), FunctionError> {
    const NAMED: usize = 8;
    let refused: Vec<&Anomaly> = anomalous.iter().filter(|anomaly| anomaly.why.is_refused()).collect();
    let (here, round) = (members.members.len(), members.round);
    let left = here.saturating_sub(refused.len());
    if refused.is_empty() || left >= run.training.quorum.max(1) as usize {
        return Ok(());
    }
    let named: Vec<_> = refused.iter().take(NAMED).map(ToString::to_string).collect();
    let message = format!(
        "{left} of {here} members published what is rightly signed in round {round}, the quorum is {}; refused: {}",
        run.training.quorum,
        named.join(", ")
    );
    Err(FunctionError::new(ErrorKind::QuorumLost, message))
}

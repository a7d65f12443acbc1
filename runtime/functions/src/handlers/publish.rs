//! What `combine` and `train` end with: the file for all others, and its signature where the spec asks for one.
//!
//! Where the file is made again on the peer's behalf, it is not signed: its bytes are the same, so the peer's own
//! signature holds, and nobody but the peer needs its key.

use super::Environment;
use super::run::Run;
use stepgrad_contract::signing::{FOLDER_VARIABLE, PrivateKey};
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::{ErrorKind, FunctionError, keys};

/// Publishes what `peer` has for the exchange of `round`. Nobody reads either object before both are written: the
/// function has not replied.
pub(super) async fn publish(
    environment: &Environment,
    run: &Run,
    round: u32,
    peer: u32,
    file: &TensorFile,
) -> Result<(), FunctionError> {
    let digest = environment.store.put_tensors(&keys::published(&run.id, round, peer), file).await?;
    if environment.is_repair() {
        return Ok(());
    }
    let Some(private) = own_key(environment, run, peer).await? else { return Ok(()) };
    let signature = private.sign(&run.id, round, peer, &digest);
    environment.store.put_document(&keys::signature(&run.id, round, peer), &signature).await
}

/// The private key of `peer`, where peers sign what they publish: the one whose public key the spec lists.
///
/// # Errors
/// [`ErrorKind::KeyUnavailable`] where it is not at hand, or another one is.
pub(super) async fn own_key(
    environment: &Environment,
    run: &Run,
    peer: u32,
) -> Result<Option<PrivateKey>, FunctionError> {
    let Some(public) = &run.training.public_keys else { return Ok(None) };
    let unavailable = |message| FunctionError::new(ErrorKind::KeyUnavailable, message);
    let private = environment.keys.as_ref().ok_or_else(|| {
        unavailable(format!(
            "peers sign what they publish, and {FOLDER_VARIABLE} is not set: set it to their place"
        ))
    })?;
    let private = private.of(peer).await?;
    if (peer as usize).checked_sub(1).and_then(|place| public.get(place)) != Some(&private.public()) {
        return Err(unavailable(format!(
            "the private key of peer {peer} is not the one of the public key in exchange.signatures: use the folder that was made with it"
        )));
    }
    Ok(Some(private))
}

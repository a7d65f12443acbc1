//! Object keys, relative to the store's root. A run's keys stand under its id, in the layout of a run's
//! record: `<run>/model.safetensors`, `<run>/objects/round-000003/peer-0002/replica.safetensors`.
//!
//! A key names what the object *is* (run, round, peer, batch), never how it came to be: a retry, a duplicate
//! and a late zombie all write the same bytes under the same key.

/// The metadata by which an object of S3 that no function wrote, data or a package, tells the SHA-256 of its content, in hexadecimal
/// digits: S3's own checksum of an upload in parts is one of checksums.
pub const SHA256: &str = "stepgrad-sha256";

/// The training configuration ([`crate::Training`]) as JSON.
#[must_use]
pub fn training(run: &str) -> String {
    format!("{run}/objects/training.json")
}

/// What goes wrong in the run ([`crate::faults::Plan`]) as JSON; there in a rerun with faults only.
#[must_use]
pub fn faults(run: &str) -> String {
    format!("{run}/objects/faults.json")
}

/// A scripted module of the user's, as it was handed in.
#[must_use]
pub fn torchscript(run: &str) -> String {
    format!("{run}/objects/model.pt")
}

/// What `prepare` found out about the data ([`crate::manifest::Manifest`]) as JSON.
#[must_use]
pub fn manifest(run: &str) -> String {
    format!("{run}/objects/data/manifest.json")
}

/// One batch of a peer's shard, by its place in the shard.
#[must_use]
pub fn batch(run: &str, peer: u32, batch: u32) -> String {
    format!("{run}/objects/data/peer-{peer:04}/batch-{batch:06}.safetensors")
}

/// One batch of the validation set.
#[must_use]
pub fn validation_batch(run: &str, batch: u32) -> String {
    format!("{run}/objects/data/validation/batch-{batch:06}.safetensors")
}

/// Everything of one round.
#[must_use]
pub fn round(run: &str, round: u32) -> String {
    format!("{run}/objects/round-{round:06}")
}

/// The gradient of one batch, by its place in the epoch's order.
#[must_use]
pub fn batch_gradient(run: &str, round: u32, peer: u32, batch: u32) -> String {
    format!("{}/peer-{peer:04}/batch-{batch:06}.safetensors", self::round(run, round))
}

/// What a peer publishes in a round: its average gradient, or its locally trained model.
#[must_use]
pub fn published(run: &str, round: u32, peer: u32) -> String {
    format!("{}/peer-{peer:04}/published.safetensors", self::round(run, round))
}

/// The signature of what a peer publishes in a round ([`crate::signing::Signature`]) as JSON.
#[must_use]
pub fn signature(run: &str, round: u32, peer: u32) -> String {
    format!("{}/peer-{peer:04}/published.sig", self::round(run, round))
}

/// The file of a peer's private key, in the folder of keys, which is no part of a store.
#[must_use]
pub fn private_key(peer: u32) -> String {
    format!("peer-{peer:04}.key")
}

/// A peer's replica after a round: parameters and buffers.
#[must_use]
pub fn replica(run: &str, round: u32, peer: u32) -> String {
    format!("{}/peer-{peer:04}/replica.safetensors", self::round(run, round))
}

/// A peer's optimiser state after a round (momentum buffers).
#[must_use]
pub fn optimizer(run: &str, round: u32, peer: u32) -> String {
    format!("{}/peer-{peer:04}/optimizer.safetensors", self::round(run, round))
}

/// A peer's local model in the middle of a round: parameters and buffers before the batch at `place` of its work.
/// Read and written by `train` alone, where a call hands over to the next one.
#[must_use]
pub fn local_model(run: &str, round: u32, peer: u32, place: u32) -> String {
    format!("{}/{place:010}.safetensors", local_states(run, round, peer))
}

/// The optimiser's state that belongs to a [`local_model`].
#[must_use]
pub fn local_optimizer(run: &str, round: u32, peer: u32, place: u32) -> String {
    format!("{}/{place:010}-momentum.safetensors", local_states(run, round, peer))
}

/// The folder of a peer's local models of a round.
#[must_use]
pub fn local_states(run: &str, round: u32, peer: u32) -> String {
    format!("{}/peer-{peer:04}/handed-over", self::round(run, round))
}

/// The place of a [`local_model`]; `None` for another key.
#[must_use]
pub fn local_place(key: &str) -> Option<u32> {
    let (folder, file) = key.rsplit_once('/')?;
    let place = file.strip_suffix(".safetensors").filter(|_| folder.ends_with("/handed-over"))?;
    place.parse().ok()
}

/// The server's model after a round; in round 0, what every replica starts from.
#[must_use]
pub fn server_replica(run: &str, round: u32) -> String {
    format!("{}/server/replica.safetensors", self::round(run, round))
}

/// The server's optimiser state after a round.
#[must_use]
pub fn server_optimizer(run: &str, round: u32) -> String {
    format!("{}/server/optimizer.safetensors", self::round(run, round))
}

/// Who took part in a round's exchange ([`crate::progress::Members`]) as JSON.
#[must_use]
pub fn members(run: &str, round: u32) -> String {
    format!("{}/members.json", self::round(run, round))
}

/// What a round's exchange found amiss ([`crate::anomaly::Anomalies`]) as JSON; not written for a plain mean.
#[must_use]
pub fn anomalies(run: &str, round: u32) -> String {
    format!("{}/anomalies.json", self::round(run, round))
}

/// What `evaluate` measured and decided after a round ([`crate::progress::Progress`]) as JSON.
#[must_use]
pub fn progress(run: &str, round: u32) -> String {
    format!("{}/progress.json", self::round(run, round))
}

/// The key of what comes of a round's exchange (members, anomalies, replicas, optimiser states) in a view of its
/// members ([`crate::view`]). The first view has no folder of its own.
#[must_use]
pub fn in_view(key: String, view: u32) -> String {
    let parts = key.split_once("/round-").and_then(|(before, after)| Some((before, after.split_once('/')?)));
    match parts {
        Some((before, (round, rest))) if view > 1 => format!("{before}/round-{round}/view-{view}/{rest}"),
        _ => key,
    }
}

/// What a tensor file under `key` says that it is, so that one that comes in its place is noticed: the key
/// below the run's objects, without the peer for a replica, because all replicas of a view are the same bytes.
/// `None` for files that are not the run's own objects.
#[must_use]
pub fn identity(key: &str) -> Option<String> {
    let (_, object) = key.split_once("/objects/")?;
    let object = object.strip_suffix(".safetensors")?;
    let mut parts: Vec<&str> = object.split('/').collect();
    if parts.last() == Some(&"replica") && parts.len() > 2 {
        parts.remove(parts.len() - 2);
    }
    Some(parts.join("/"))
}

/// The key of the same object `rounds` rounds earlier; `None` where it is not of a round, or of an early one.
#[must_use]
pub fn earlier(key: &str, rounds: u32) -> Option<String> {
    let (before, after) = key.split_once("/round-")?;
    let (number, rest) = after.split_once('/')?;
    let round = number.parse::<u32>().ok()?.checked_sub(rounds)?;
    Some(format!("{before}/round-{round:06}/{rest}"))
}

/// The parameters before the first round, in the record.
#[must_use]
pub fn initial_model(run: &str) -> String {
    format!("{run}/init.safetensors")
}

/// The trained parameters, in the record.
#[must_use]
pub fn trained_model(run: &str) -> String {
    format!("{run}/model.safetensors")
}

#[cfg(test)]
mod tests {
    use super::{earlier, identity};

    #[test]
    fn an_object_says_what_it_is() {
        let is = |key: String| identity(&key);
        assert_eq!(is(super::published("a", 3, 2)).as_deref(), Some("round-000003/peer-0002/published"));
        assert_eq!(is(super::replica("a", 3, 2)), is(super::replica("b", 3, 1)));
        assert_eq!(is(super::replica("a", 3, 2)), is(super::server_replica("a", 3)));
        assert_ne!(is(super::replica("a", 3, 2)), is(super::replica("a", 4, 2)));
        assert_ne!(is(super::optimizer("a", 3, 2)), is(super::optimizer("a", 3, 1)));
        assert_eq!(is(super::trained_model("a")), None);
    }

    #[test]
    fn a_later_view_has_a_folder_of_its_own() {
        let second = |key: String| super::in_view(key, 2);
        assert_eq!(super::in_view(super::members("a", 3), 1), super::members("a", 3));
        assert_eq!(second(super::members("a", 3)), "a/objects/round-000003/view-2/members.json");
        let replica = second(super::replica("a", 3, 2));
        assert_eq!(replica, "a/objects/round-000003/view-2/peer-0002/replica.safetensors");
        assert_eq!(identity(&replica).as_deref(), Some("round-000003/view-2/replica"));
        assert_eq!(identity(&replica), identity(&second(super::replica("a", 3, 1))));
        assert_eq!(
            identity(&second(super::optimizer("a", 3, 2))).as_deref(),
            Some("round-000003/view-2/peer-0002/optimizer")
        );
    }

    #[test]
    fn a_local_model_tells_its_place() {
        let key = super::local_model("a", 3, 2, 17);
        assert_eq!(super::local_place(&key), Some(17));
        assert_eq!(super::local_place(&super::local_optimizer("a", 3, 2, 17)), None);
        assert_eq!(super::local_place(&super::published("a", 3, 2)), None);
        assert_eq!(identity(&key).as_deref(), Some("round-000003/peer-0002/handed-over/0000000017"));
        assert!(key.starts_with(&format!("{}/", super::round("a", 3))), "swept with its round");
    }

    #[test]
    fn the_earlier_object_of_a_key() {
        assert_eq!(earlier(&super::published("a", 3, 2), 1), Some(super::published("a", 2, 2)));
        assert_eq!(earlier(&super::published("a", 3, 2), 4), None);
        assert_eq!(earlier(&super::manifest("a"), 1), None);
    }
}

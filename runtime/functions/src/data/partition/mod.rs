//! How samples are shared out over the peers, one file each. Every sample is placed exactly once, no peer is
//! left empty, and the seed decides.

mod by_label;
mod dirichlet;
mod iid;

use super::invalid;
use crate::seeds;
use rand::seq::SliceRandom;
use stepgrad_contract::FunctionError;
use stepgrad_contract::training::Partition;

/// The shard of each peer: places in `labels`, shuffled. `samples` are the places to share out, `labels` the
/// classes of all.
///
/// # Errors
/// [`stepgrad_contract::ErrorKind::InvalidData`] where there are fewer samples than peers, or α is not a
/// positive number.
pub fn share_out(
    partition: &Partition,
    samples: &[u32],
    labels: &[u32],
    peers: u32,
    seed: u64,
) -> Result<Vec<Vec<u32>>, FunctionError> {
    let count = peers as usize;
    if count == 0 || samples.len() < count {
        return Err(invalid(format!(
            "{} training samples cannot be shared out over {peers} peers: use as many peers as samples at the most, or more data",
            samples.len()
        )));
    }
    let mut shards = match partition {
        Partition::Iid => iid::share_out(samples, count, seed),
        Partition::Dirichlet(alpha) => dirichlet::share_out(samples, labels, count, *alpha, seed)?,
        Partition::ByLabel => by_label::share_out(samples, labels, count, seed),
    };
    for (shard, peer) in shards.iter_mut().zip(1..) {
        shard.shuffle(&mut seeds::generator(seed, "shard", &[peer]));
    }
    Ok(shards)
}

/// `samples` in order, in `parts` parts as equal as can be; the first ones have one more.
fn equal_parts(samples: &[u32], parts: usize) -> Vec<Vec<u32>> {
    let (size, rest) = (samples.len() / parts.max(1), samples.len() % parts.max(1));
    let mut samples = samples.iter().copied();
    (0..parts).map(|part| samples.by_ref().take(size + usize::from(part < rest)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::share_out;
    use stepgrad_contract::training::Partition;

    #[test]
    fn every_sample_is_placed_once_and_no_peer_is_empty() {
        let labels: Vec<u32> = (0..1_000).map(|place| place % 10).collect();
        let samples: Vec<u32> = (0..1_000).filter(|place| place % 7 != 0).collect();
        let partitions = [
            Partition::Iid,
            Partition::ByLabel,
            Partition::Dirichlet(0.01),
            Partition::Dirichlet(0.5),
            Partition::Dirichlet(100.0),
        ];
        for partition in partitions {
            for peers in [1, 3, 16, 857] {
                let shards = share_out(&partition, &samples, &labels, peers, 7).unwrap();
                assert_eq!(shards, share_out(&partition, &samples, &labels, peers, 7).unwrap());
                assert_eq!(shards.len(), peers as usize);
                assert!(shards.iter().all(|shard| !shard.is_empty()), "{partition:?} {peers}");
                let mut placed: Vec<u32> = shards.into_iter().flatten().collect();
                placed.sort_unstable();
                assert_eq!(placed, samples, "{partition:?} {peers}");
            }
            let error = share_out(&partition, &samples, &labels, 858, 7).unwrap_err();
            assert!(error.message.contains("858 peers"));
        }
        assert!(share_out(&Partition::Dirichlet(0.0), &samples, &labels, 2, 7).is_err());
        assert!(share_out(&Partition::Dirichlet(f64::NAN), &samples, &labels, 2, 7).is_err());
    }

    #[test]
    fn skew_follows_the_partition() {
        let labels: Vec<u32> = (0..10_000).map(|place| place % 10).collect();
        let samples: Vec<u32> = (0..10_000).collect();
        // The share of a peer's samples that are of its most frequent class, averaged over peers.
        let skew = |partition: Partition| {
            let shards = share_out(&partition, &samples, &labels, 10, 7).unwrap();
            let top = |shard: &Vec<u32>| {
                let most = (0..10)
                    .map(|class| shard.iter().filter(|sample| labels[**sample as usize] == class).count())
                    .max();
                most.unwrap() as f64 / shard.len() as f64
            };
            shards.iter().map(top).sum::<f64>() / 10.0
        };
        assert_eq!(skew(Partition::ByLabel), 1.0);
        assert!(skew(Partition::Iid) < 0.15);
        assert!(skew(Partition::Dirichlet(0.1)) > 0.5);
        assert!(skew(Partition::Dirichlet(100.0)) < 0.2);
    }
}

//! `topology`: who exchanges with whom.

use super::choice::{Choice, Named, choice};
use super::decode::{Fields, Findings, Value, whole};
use super::spanned::Spanned;
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::RangeInclusive;
use stepgrad_contract::training::Topology as Kind;

pub(super) const PEERS: RangeInclusive<u32> = 1..=10_000;

/// Who exchanges with whom.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Topology {
    /// How the peers are connected.
    #[schemars(with = "Named<Kind>")]
    pub kind: Spanned<Kind>,
    /// Peers (workers); each holds a shard of the data and a replica of the model.
    #[schemars(range(min = *PEERS.start(), max = *PEERS.end()))]
    pub peers: Spanned<u32>,
}

impl Choice for Kind {
    const WHAT: &'static str = "topology";
    const BUILT: &'static [(&'static str, Self, &'static str)] = &[
        (
            "peer_to_peer",
            Self::PeerToPeer,
            "every peer collects from all others and updates its own replica (Barrak et al.)",
        ),
        (
            "parameter_server",
            Self::ParameterServer,
            "a server collects from all workers and updates the one model",
        ),
    ];
    const PLANNED: &'static [&'static str] = &["all_reduce", "scatter_reduce", "hierarchical"];
    const ALIASES: &'static [(&'static str, &'static str)] =
        &[("p2p", "peer_to_peer"), ("ps", "parameter_server"), ("server", "parameter_server")];
}

impl Topology {
    pub(super) fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open(value, cx);
        let topology = Self {
            kind: fields.required("kind", cx, choice),
            peers: fields.required("peers", cx, |value, cx| whole(value, &PEERS, cx)),
        };
        fields.finish(cx);
        topology
    }
}

//! `fault_tolerance`: what a run survives.

use super::decode::{Fields, Findings, Value, whole};
use super::spanned::Spanned;
use super::topology::{PEERS, Topology};
use crate::diagnostic::{Code, Diagnostic};
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::RangeInclusive;

const DETECT_WITHIN: RangeInclusive<u32> = 1..=604_800;
const GONE_AFTER: RangeInclusive<u32> = 1..=1_000_000;
const ATTEMPTS: RangeInclusive<u32> = 0..=10;
const DEFAULT_ATTEMPTS: u32 = 3;

/// What a run survives.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FaultTolerance {
    /// Peers that have to remain for a round to count; by default all.
    #[schemars(with = "Option<u32>", range(min = *PEERS.start(), max = *PEERS.end()))]
    pub quorum: Spanned<u32>,
    /// How calls are repeated.
    #[schemars(with = "Option<Retries>")]
    pub retries: Retries,
    /// Seconds after which the others have to go on without a dead peer, at the most; by default what timeouts and
    /// retries come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u32>", range(min = *DETECT_WITHIN.start(), max = *DETECT_WITHIN.end()))]
    pub detect_within_s: Option<Spanned<u32>>,
    /// Rounds in a row without a peer after which it is gone for good: it is not called any more. By default a peer that
    /// is lost is asked in every round whether it is back, which is one call, and only one that says that it leaves is
    /// gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u32>", range(min = *GONE_AFTER.start(), max = *GONE_AFTER.end()))]
    pub gone_after_rounds: Option<Spanned<u32>>,
}

/// How calls are repeated.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Retries {
    /// Repetitions of a call that failed, at the most; 0 repeats none.
    #[schemars(range(min = *ATTEMPTS.start(), max = *ATTEMPTS.end()), default = "default_attempts")]
    pub max_attempts: Spanned<u32>,
}

fn default_attempts() -> u32 {
    DEFAULT_ATTEMPTS
}

impl FaultTolerance {
    pub(super) fn read(value: &Value<'_>, topology: &Topology, cx: &mut Findings) -> Self {
        let mut fields = Fields::open_optional(value, cx);
        let quorum = fields.or("quorum", topology.peers.value, cx, |value, cx| whole(value, &PEERS, cx));
        let retries = Retries::read(&fields.take("retries"), cx);
        let detect_within_s =
            fields.optional("detect_within_s", cx, |value, cx| whole(value, &DETECT_WITHIN, cx));
        let gone_after_rounds =
            fields.optional("gone_after_rounds", cx, |value, cx| whole(value, &GONE_AFTER, cx));
        fields.finish(cx);
        if let (Some(least), Some(peers)) = (quorum.known(), topology.peers.known())
            && least > peers
        {
            cx.report(
                Diagnostic::error(Code::Quorum, format!("a quorum of {least} is more than there are peers"))
                    .at(&quorum.place(), format!("expected a whole number from 1 to {peers}"))
                    .also(&topology.peers.place(), "the peers")
                    .hint("with fewer peers than the quorum no round could ever count"),
            );
        }
        Self { quorum, retries, detect_within_s, gone_after_rounds }
    }
}

impl Retries {
    fn read(value: &Value<'_>, cx: &mut Findings) -> Self {
        let mut fields = Fields::open_optional(value, cx);
        let max_attempts =
            fields.or("max_attempts", DEFAULT_ATTEMPTS, cx, |value, cx| whole(value, &ATTEMPTS, cx));
        fields.finish(cx);
        Self { max_attempts }
    }
}

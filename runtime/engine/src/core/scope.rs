//! What expressions of a frame can reach: variables, the context object, time and chance.

use super::Time;
use super::execution::Identity;
use super::frame::{Frame, Item};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::cell::Cell;
use stepgrad_asl::document::MachineType;
use stepgrad_asl::expression::{Scope, timestamp};
use stepgrad_asl::program::{Kind, State};

/// A frame as its expressions see it.
pub(super) struct FrameScope<'a> {
    pub(super) identity: &'a Identity,
    pub(super) frame: &'a Frame,
    pub(super) state: &'a State,
    /// The item that an ItemSelector is evaluated for, in place of the frame's own.
    pub(super) item: Option<&'a Item>,
    pub(super) token: Option<String>,
    pub(super) now: Time,
    pub(super) seed: u64,
    pub(super) draws: Cell<u64>,
}

impl FrameScope<'_> {
    fn map_item(&self) -> Option<&Item> {
        self.item.or(self.frame.item.as_ref())
    }

    fn state_object(&self) -> Value {
        let mut state = json!({
            "Name": &*self.state.name,
            "EnteredTime": timestamp::format(self.frame.entered_at),
        });
        if let (Value::Object(members), Kind::Task(_) | Kind::Map(_) | Kind::Parallel(_)) =
            (&mut state, &self.state.kind)
        {
            members.insert("RetryCount".to_owned(), Value::from(self.frame.attempt));
        }
        state
    }

    fn whole(&self) -> Value {
        let identity = self.identity;
        let mut context = Map::new();
        let mut execution = json!({
            "Id": identity.arn,
            "Input": identity.input.value(),
            "StartTime": timestamp::format(identity.started_at),
            "Name": identity.name,
            "RoleArn": identity.role,
        });
        // An Express execution cannot be redriven.
        if let (Value::Object(members), MachineType::Standard) = (&mut execution, identity.machine_type) {
            members.insert("RedriveCount".to_owned(), Value::from(identity.redrives));
            if let Some(time) = identity.redriven_at {
                members.insert("RedriveTime".to_owned(), Value::from(timestamp::format(time)));
            }
        }
        context.insert("Execution".to_owned(), execution);
        if let Some(item) = self.map_item() {
            let mut entry = json!({"Index": item.index, "Value": item.value.value()});
            if let (Value::Object(members), Some(source)) = (&mut entry, &item.source) {
                members.insert("Source".to_owned(), Value::from(&**source));
            }
            context.insert("Map".to_owned(), json!({"Item": entry}));
        }
        context.insert(
            "StateMachine".to_owned(),
            json!({"Id": identity.machine.arn, "Name": identity.machine.name}),
        );
        context.insert("State".to_owned(), self.state_object());
        if let Some(token) = &self.token {
            context.insert("Task".to_owned(), json!({"Token": token}));
        }
        Value::Object(context)
    }
}

impl Scope for FrameScope<'_> {
    fn variable(&self, name: &str) -> Option<&Value> {
        self.frame.variables.get(name).map(stepgrad_asl::Payload::value)
    }

    fn now(&self) -> i64 {
        self.now
    }

    fn context<'a>(&'a self, names: &[String]) -> (Cow<'a, Value>, usize) {
        let names: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
        let identity = self.identity;
        match names[..] {
            ["Execution", "Input", ..] => (Cow::Borrowed(identity.input.value()), 2),
            ["Execution", "Name", ..] => (Cow::Owned(Value::from(identity.name.as_str())), 2),
            ["Execution", "Id", ..] => (Cow::Owned(Value::from(identity.arn.as_str())), 2),
            ["Map", "Item", "Value", ..] if self.map_item().is_some() => match self.map_item() {
                Some(item) => (Cow::Borrowed(item.value.value()), 3),
                None => (Cow::Owned(Value::Null), 3),
            },
            ["Map", "Item", "Index", ..] if self.map_item().is_some() => {
                (Cow::Owned(Value::from(self.map_item().map(|item| item.index))), 3)
            }
            ["State", ..] => (Cow::Owned(self.state_object()), 1),
            _ => (Cow::Owned(self.whole()), 0),
        }
    }

    fn random(&self) -> u64 {
        let draw = self.draws.get();
        self.draws.set(draw + 1);
        self.frame.chance(self.seed, &self.identity.key, &self.state.path, draw)
    }
}

impl Frame {
    /// The random number `draw` of the frame's state: the same whatever else happened before.
    pub(super) fn chance(&self, seed: u64, execution: &str, path: &str, draw: u64) -> u64 {
        chance(seed, &[execution, path], &[self.coordinate, self.visits, u64::from(self.attempt), draw])
    }
}

/// Two random numbers as a UUID of version 4.
pub(super) fn uuid(high: u64, low: u64) -> String {
    let high = high & !0xF000 | 0x4000;
    let low = low & !(0b11 << 62) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    )
}

/// A random number that is a function of its arguments: FNV-1a over them, then SplitMix64's finaliser. No state is
/// kept, so a replayed run draws the same.
pub(crate) fn chance(seed: u64, names: &[&str], numbers: &[u64]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64 ^ seed;
    let mut eat = |byte: u8| {
        hash ^= u64::from(byte);
        hash = hash.wrapping_mul(0x0000_0100_0000_01B3);
    };
    for name in names {
        name.bytes().for_each(&mut eat);
        eat(0xFF);
    }
    for number in numbers {
        number.to_le_bytes().into_iter().for_each(&mut eat);
    }
    let mut z = hash.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

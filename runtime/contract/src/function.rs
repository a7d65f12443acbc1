//! The functions by name, and what they run from.

use serde::{Deserialize, Serialize};

/// A function that a state machine calls. Its name is the Lambda handler name (`_HANDLER`), and the
/// placeholder of its ARN in a definition is `${<Name>FunctionArn}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Reads the data source, partitions it over the peers, writes batches and the manifest.
    Prepare,
    /// Writes the parameters that every replica starts from.
    Initialise,
    /// The gradient of the loss on one batch at the peer's parameters.
    Gradient,
    /// Trains a local model on a part of, or several passes over, the peer's shard.
    Train,
    /// Averages one peer's batch gradients, weighted by samples, and publishes the average.
    Combine,
    /// Tells that a peer is there which was left out of the round before, and that it can go on.
    Heartbeat,
    /// Decides from the peers' reports who takes part in this round's exchange, and whether the quorum holds.
    Membership,
    /// Collects what all members published and updates one peer's replica.
    Synchronise,
    /// Tells which members' contributions a peer can read that could not read all.
    Reach,
    /// Collects what all members published and updates the server's model.
    Aggregate,
    /// Checks the replicas, measures loss and accuracy, decides what comes next.
    Evaluate,
    /// Writes the trained model.
    Finish,
}

impl Function {
    /// Every function, in the order in which a run first calls them.
    pub const ALL: [Self; 12] = [
        Self::Prepare,
        Self::Initialise,
        Self::Gradient,
        Self::Train,
        Self::Combine,
        Self::Heartbeat,
        Self::Membership,
        Self::Synchronise,
        Self::Reach,
        Self::Aggregate,
        Self::Evaluate,
        Self::Finish,
    ];

    /// The handler name, e.g. `gradient`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Initialise => "initialise",
            Self::Gradient => "gradient",
            Self::Train => "train",
            Self::Combine => "combine",
            Self::Heartbeat => "heartbeat",
            Self::Membership => "membership",
            Self::Synchronise => "synchronise",
            Self::Reach => "reach",
            Self::Aggregate => "aggregate",
            Self::Evaluate => "evaluate",
            Self::Finish => "finish",
        }
    }

    /// Whether it has private keys of peers, where they sign: who publishes signs, and only who can sign comes back.
    #[must_use]
    pub const fn signs(self) -> bool {
        matches!(self, Self::Heartbeat | Self::Combine | Self::Train)
    }

    /// The function of a handler name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    /// What stands for the function's ARN in a definition, e.g. `${GradientFunctionArn}`, in the manner of
    /// SAM's DefinitionSubstitutions.
    #[must_use]
    pub fn placeholder(self) -> String {
        let name = self.name();
        let mut letters = name.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        format!("${{{}{}FunctionArn}}", first.map(String::from).unwrap_or_default(), letters.as_str())
    }

    /// Whether a call that comes near its time limit hands over to another one; see the handlers' `hand_over`.
    #[must_use]
    pub const fn hands_over(self) -> bool {
        matches!(self, Self::Prepare | Self::Train)
    }

    /// Whether the function needs libtorch: it computes the model, or it may have to make an object again that only a
    /// computation of the model gives (a gradient, a replica).
    #[must_use]
    pub const fn needs_torch(self) -> bool {
        !matches!(self, Self::Prepare | Self::Membership | Self::Heartbeat | Self::Reach)
    }

    /// What the function runs from.
    #[must_use]
    pub const fn artefact(self) -> Artefact {
        if self.needs_torch() { Artefact::Torch } else { Artefact::Light }
    }

    /// Whether the function computes the model (forward or backward passes), as opposed to moving tensors.
    #[must_use]
    pub const fn computes(self) -> bool {
        matches!(self, Self::Gradient | Self::Train | Self::Evaluate)
    }
}

/// A binary of functions, and the package that is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Artefact {
    /// Serves the functions that need no libtorch; small, and starts at once.
    #[serde(rename = "bootstrap-light")]
    Light,
    /// Serves every function.
    #[default]
    #[serde(rename = "bootstrap")]
    Torch,
}

impl Artefact {
    /// The name of the binary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Light => "bootstrap-light",
            Self::Torch => "bootstrap",
        }
    }
}

impl std::fmt::Display for Artefact {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl std::fmt::Display for Function {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Function;

    #[test]
    fn names_lead_back_to_their_functions() {
        for function in Function::ALL {
            assert_eq!(Function::from_name(function.name()), Some(function));
        }
        assert_eq!(Function::from_name("gradients"), None);
        assert_eq!(Function::Gradient.placeholder(), "${GradientFunctionArn}");
    }
}

//! The codes. A code keeps its number for ever; its page (`pages/<code>.md`) says what it means, why, shows an
//! example that gives it, and how to mend it. To add one: a line below, a page, and (if it is not one of the
//! spec's) a test that its example gives it.

use std::fmt;
use std::str::FromStr;

macro_rules! codes {
    ($($(#[doc = $title:literal])+ $variant:ident = $name:literal,)+) => {
        /// What kind of finding a diagnostic is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $($(#[doc = $title])+ $variant,)+ }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code as it is shown, e.g. `SG012`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it means, in a few words.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => concat!($($title),+).trim(),)+ }
            }

            /// The page, Markdown.
            #[must_use]
            pub const fn page(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("pages/", $name, ".md")),)+ }
            }
        }
    };
}

codes! {
    /// the text is not YAML
    Syntax = "SG001",
    /// the spec is too large
    TooLarge = "SG002",
    /// the spec is nested too deep or holds too many values
    TooDeep = "SG003",
    /// the spec is empty
    Empty = "SG004",
    /// the file holds more than one document
    SeveralDocuments = "SG005",
    /// anchors, aliases and merge keys are refused
    Alias = "SG006",
    /// tags and directives are refused
    Tag = "SG007",
    /// a key stands twice
    DuplicateKey = "SG008",
    /// a key is not text
    KeyNotText = "SG009",
    /// a key is unknown
    UnknownKey = "SG010",
    /// a key is missing
    MissingKey = "SG011",
    /// a value has the wrong type
    WrongType = "SG012",
    /// a value is none of those possible
    UnknownValue = "SG013",
    /// something is not built yet
    NotBuilt = "SG014",
    /// a number is out of range
    OutOfRange = "SG015",
    /// the name is not usable
    BadName = "SG016",
    /// the version is not known
    BadVersion = "SG017",
    /// a `--set` argument cannot be applied
    BadOverride = "SG018",
    /// a path leaves the project
    PathEscapes = "SG019",
    /// not exactly one of several keys
    OneOf = "SG020",
    /// too many errors to show
    TooManyErrors = "SG021",
    /// exchange every few epochs without model averaging
    EpochsNeedModelAveraging = "SG030",
    /// local epochs that nothing could use
    LocalEpochs = "SG031",
    /// the loss does not fit the model
    LossMismatch = "SG032",
    /// the quorum is larger than the number of peers
    Quorum = "SG033",
    /// an image model on data that are not images
    ImageModel = "SG034",
    /// a key that belongs to another data format
    KeyOfOtherFormat = "SG035",
    /// Nesterov's momentum without momentum
    Nesterov = "SG036",
    /// the lowest learning rate is above the first
    MinLearningRate = "SG037",
    /// a list names something twice
    ListedTwice = "SG038",
    /// the aggregation cannot bear what it is set to among so few peers
    Breakdown = "SG039",
    /// the training is steered by its own loss
    NoValidation = "SG040",
    /// settings for a function that the training never calls
    UnusedFunction = "SG041",
    /// an aggregation that judges by held-out samples, of which there are none
    NothingHeldOut = "SG042",
    /// the public keys are not one for each peer
    PublicKeys = "SG043",
    /// a limit of AWS would be exceeded
    Limit = "SG050",
    /// a function has too little memory for the model
    Memory = "SG051",
    /// fewer samples than peers
    TooFewSamples = "SG052",
    /// a dead peer would be noticed too late
    DetectedTooLate = "SG053",
    /// the budget holds no round
    BudgetTooSmall = "SG054",
    /// a file that the spec names is not there
    FileMissing = "SG060",
    /// a link leads out of the project
    LinkEscapes = "SG061",
    /// something runs here and not on AWS
    NotOnAws = "SG070",
    /// a fault has no usable id of its own
    FaultId = "SG101",
    /// a fault asks for a coordinate that its action does not have
    FaultPlace = "SG102",
    /// a fault is about something that the run does not have
    FaultBeyond = "SG103",
    /// a fault can never fire
    FaultNever = "SG104",
    /// an earlier fault leaves nothing to a later one
    FaultCovered = "SG105",
    /// a fault starts after one that gives it no start
    FaultOrder = "SG106",
    /// an expectation cannot hold
    Expectation = "SG107",
    /// FIS does a fault otherwise, or not at all
    FisCannot = "SG108",
    /// a fault cannot be brought about on AWS
    FaultNotOnAws = "SG109",
}

/// The example of a code's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// The phase that gives the code: empty for the spec itself, else the word after `yaml` in the fence.
    pub phase: &'static str,
    /// The spec; its comments `# set: path=value` stand for overrides.
    pub text: &'static str,
}

impl Code {
    /// The fenced `yaml` blocks of the page in order: first the one that gives the code, then those that mend it.
    #[must_use]
    pub fn examples(self) -> Vec<Example> {
        let mut examples = Vec::new();
        let mut rest = self.page();
        while let Some((_, after)) = rest.split_once("\n```yaml") {
            let Some((info, body)) = after.split_once('\n') else {
                break;
            };
            let Some((text, tail)) = body.split_once("\n```") else {
                break;
            };
            examples.push(Example { phase: info.trim(), text });
            rest = tail;
        }
        examples
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// No diagnostic has this code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no diagnostic has the code `{0}`; codes look like SG010")]
pub struct UnknownCode(pub String);

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let wanted = text.trim();
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.name().eq_ignore_ascii_case(wanted))
            .ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

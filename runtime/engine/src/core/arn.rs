//! The names of things as AWS writes them.

/// Where the machines seem to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// In ARNs.
    pub region: String,
    /// In ARNs, twelve digits.
    pub account: String,
    /// `$$.Execution.RoleArn`.
    pub role: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account: "111111111111".to_owned(),
            role: "arn:aws:iam::111111111111:role/stepgrad".to_owned(),
        }
    }
}

impl Settings {
    /// The ARN of a machine.
    #[must_use]
    pub fn machine(&self, machine: &str) -> String {
        format!("arn:aws:states:{}:{}:stateMachine:{machine}", self.region, self.account)
    }

    /// The ARN of a Standard execution.
    #[must_use]
    pub fn execution(&self, machine: &str, execution: &str) -> String {
        format!("arn:aws:states:{}:{}:execution:{machine}:{execution}", self.region, self.account)
    }

    /// The ARN of a Map Run.
    #[must_use]
    pub fn map_run(&self, machine: &str, label: &str, id: &str) -> String {
        format!("arn:aws:states:{}:{}:mapRun:{machine}/{label}:{id}", self.region, self.account)
    }

    /// The ARN of an Express execution: names may come again there, so an id follows.
    #[must_use]
    pub fn express(&self, machine: &str, execution: &str, id: &str) -> String {
        format!("arn:aws:states:{}:{}:express:{machine}:{execution}:{id}", self.region, self.account)
    }
}

/// The machine's name in its ARN, or the name itself.
pub(super) fn machine_name(arn: &str) -> &str {
    match arn.split_once(":stateMachine:") {
        // A version or alias may follow the name.
        Some((_, name)) => name.split(':').next().unwrap_or(name),
        None => arn,
    }
}

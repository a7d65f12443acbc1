//! What the host is told: its limits, and the functions it serves. Checked before anything starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::name;

/// Environment variables that a function's configuration cannot set, because the host does (AWS page "Using
/// Lambda environment variables", reserved variables). Credentials are left to the configuration: there is no
/// execution role here that would provide them.
const RESERVED_VARIABLES: [&str; 3] = ["_HANDLER", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"];
/// Of those that begin like Lambda's own, the one that is the user's: the program that starts the runtime.
const WRAPPER_VARIABLE: &str = "AWS_LAMBDA_EXEC_WRAPPER";

/// One function, with the names and units of Lambda's `CreateFunction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionConfig {
    /// The function's name: 1 to 64 of letters, digits, `-` and `_`.
    pub name: String,
    /// What the environment finds in `_HANDLER`.
    pub handler: String,
    /// The most memory a process may hold resident, in MB (MiB, as on AWS).
    pub memory_mb: u32,
    /// The longest an invocation may take, in seconds: 1 to 900.
    pub timeout_s: u32,
    /// Environment variables of the function.
    pub environment: BTreeMap<String, String>,
    /// The executable that this function runs, where it is another one than the host's.
    pub bootstrap: Option<PathBuf>,
    /// How many invocations of this function may run at a time; this much of the host's concurrency is then
    /// kept for it. Zero throttles every call.
    pub reserved_concurrency: Option<usize>,
}

impl FunctionConfig {
    /// A function called `name` with the handler of the same name, 128 MB, 3 s: the defaults of AWS.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            handler: name.clone(),
            name,
            memory_mb: 128,
            timeout_s: 3,
            environment: BTreeMap::new(),
            bootstrap: None,
            reserved_concurrency: None,
        }
    }
}

/// The host's own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// The executable that every environment runs.
    pub bootstrap: PathBuf,
    /// The working directory and `LAMBDA_TASK_ROOT`; the folder of `bootstrap` if absent.
    pub task_root: Option<PathBuf>,
    /// The most invocations, and with that processes, at a time.
    pub max_concurrency: usize,
    /// The most processes kept waiting for work.
    pub max_idle: usize,
    /// How many calls may wait for a process; one more is throttled.
    pub queue_size: usize,
    /// The longest a process may take to ask for its first invocation. One that takes longer is started again in the
    /// function's own time.
    pub init_timeout: Duration,
    /// How long a process may take to end after SIGTERM at shutdown.
    pub shutdown_grace: Duration,
    /// The region in ARNs and in `AWS_REGION`.
    pub region: String,
    /// The twelve digits of the account in ARNs.
    pub account: String,
}

impl HostConfig {
    /// Settings for `bootstrap`: AWS's limits where it has them, 16 idle processes, 10,000 waiting calls.
    #[must_use]
    pub fn new(bootstrap: impl Into<PathBuf>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            task_root: None,
            max_concurrency: 100,
            max_idle: 16,
            queue_size: 10_000,
            init_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_millis(300),
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
        }
    }

    /// The ARN of the function called `name`.
    #[must_use]
    pub fn arn(&self, name: &str) -> String {
        format!("arn:aws:lambda:{}:{}:function:{name}", self.region, self.account)
    }

    /// These settings with absolute paths, as the processes run in another folder, if they make sense for
    /// `functions`.
    pub(super) fn check(mut self, functions: &[FunctionConfig]) -> Result<Self, ConfigError> {
        let absolute = |path| std::path::absolute(&path).map_err(|_| ConfigError::NoBootstrap(path));
        self.bootstrap = absolute(self.bootstrap)?;
        self.task_root = self.task_root.map(absolute).transpose()?;
        if !self.bootstrap.is_file() {
            return Err(ConfigError::NoBootstrap(self.bootstrap));
        }
        if self.max_concurrency == 0 {
            return Err(ConfigError::NoConcurrency);
        }
        let mut names = BTreeSet::new();
        for function in functions {
            if !name::is_valid(&function.name) {
                return Err(ConfigError::Name(function.name.clone()));
            }
            if !names.insert(function.name.as_str()) {
                return Err(ConfigError::Twice(function.name.clone()));
            }
            if let Some(own) = function.bootstrap.as_ref().filter(|own| !own.is_absolute() || !own.is_file())
            {
                return Err(ConfigError::NoBootstrap(own.clone()));
            }
            if !(1..=900).contains(&function.timeout_s) {
                return Err(ConfigError::Timeout(function.name.clone(), function.timeout_s));
            }
            let reserved = |key: &&String| {
                let own = key.starts_with("AWS_LAMBDA_") && *key != WRAPPER_VARIABLE;
                own || RESERVED_VARIABLES.contains(&key.as_str())
            };
            if let Some(key) = function.environment.keys().find(reserved) {
                return Err(ConfigError::Reserved(function.name.clone(), key.clone()));
            }
            let malformed = |(key, value): &(&String, &String)| {
                key.is_empty() || key.contains(['=', '\0']) || value.contains('\0')
            };
            if let Some((key, _)) = function.environment.iter().find(malformed) {
                return Err(ConfigError::Variable(function.name.clone(), key.clone()));
            }
        }
        let reserved: usize = functions.iter().filter_map(|function| function.reserved_concurrency).sum();
        let shares = functions.iter().any(|function| function.reserved_concurrency.is_none());
        if reserved + usize::from(shares) > self.max_concurrency {
            return Err(ConfigError::OverReserved { reserved, maximum: self.max_concurrency });
        }
        Ok(self)
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such executable.
    #[error("no file {} to run functions with: build bootstrap or give its path", .0.display())]
    NoBootstrap(PathBuf),
    /// Nothing could ever run.
    #[error("max_concurrency is 0: allow at least one environment")]
    NoConcurrency,
    /// Not a function name.
    #[error("`{0}` is not a function name: use 1 to 64 of letters, digits, - and _")]
    Name(String),
    /// Two functions of one name.
    #[error("function `{0}` is configured twice: remove one")]
    Twice(String),
    /// A timeout that Lambda would refuse.
    #[error("function `{0}` has a timeout of {1} s: choose 1 to 900")]
    Timeout(String, u32),
    /// The host sets this variable.
    #[error("function `{0}` sets the reserved environment variable `{1}`: remove it")]
    Reserved(String, String),
    /// No process can be given this variable.
    #[error("function `{0}` has a malformed environment variable `{1}`: remove `=` and NUL")]
    Variable(String, String),
    /// Region or account cannot be part of an ARN.
    #[error("region or account holds characters that no ARN has: correct them")]
    Arn,
    /// The process that ends functions after the host's death could not be started.
    #[error("no shell could be started to watch over the functions: {0}")]
    Guardian(String),
    /// The reservations leave nothing for the others.
    #[error(
        "{reserved} of {maximum} environments are reserved: lower reserved_concurrency or raise max_concurrency"
    )]
    OverReserved {
        /// The sum of reservations.
        reserved: usize,
        /// The host's limit.
        maximum: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::{ConfigError, FunctionConfig, HostConfig};

    fn check(change: impl FnOnce(&mut HostConfig, &mut Vec<FunctionConfig>)) -> Result<(), ConfigError> {
        let mut host = HostConfig::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let mut functions = vec![FunctionConfig::new("gradient"), FunctionConfig::new("combine")];
        change(&mut host, &mut functions);
        host.check(&functions).map(drop)
    }

    #[test]
    fn accepts_the_defaults_and_names_what_is_wrong() {
        assert_eq!(check(|_, _| ()), Ok(()));
        assert!(matches!(check(|host, _| host.bootstrap.push("x")), Err(ConfigError::NoBootstrap(_))));
        assert!(matches!(
            check(|_, all| all[0].bootstrap = Some("x".into())),
            Err(ConfigError::NoBootstrap(_))
        ));
        assert!(matches!(check(|_, all| all[0].name = "../x".into()), Err(ConfigError::Name(_))));
        assert!(matches!(check(|_, all| all[0].name = "combine".into()), Err(ConfigError::Twice(_))));
        assert!(matches!(check(|_, all| all[0].timeout_s = 901), Err(ConfigError::Timeout(..))));
        let set = |key: &'static str| {
            check(move |_, all| drop(all[0].environment.insert(key.to_owned(), "1".to_owned())))
        };
        assert!(matches!(set("AWS_LAMBDA_FUNCTION_NAME"), Err(ConfigError::Reserved(..))));
        assert!(matches!(set("A=B"), Err(ConfigError::Variable(..))));
        assert_eq!(set("AWS_ACCESS_KEY_ID"), Ok(()));
    }

    #[test]
    fn reservations_leave_one_environment_for_the_others() {
        let reserve = |count| {
            check(move |host, all| {
                host.max_concurrency = 4;
                all[0].reserved_concurrency = Some(count);
            })
        };
        assert_eq!(reserve(3), Ok(()));
        assert!(matches!(reserve(4), Err(ConfigError::OverReserved { reserved: 4, maximum: 4 })));
    }
}

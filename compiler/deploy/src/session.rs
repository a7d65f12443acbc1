//! Who asks AWS for what: credentials, region, account, and a client of each service. Settings come in the manner of
//! the AWS CLI: arguments, then `AWS_*` variables, then the profile (single sign-on, assumed roles and credential
//! processes included).

use crate::error::{Error, call};
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_http_client::tls;
use std::time::Duration;

/// Whose integrations the definitions name.
const PARTITION: &str = "aws";
/// Times that a call is made at the most. Between them the SDK waits, longer each time, by a random share.
const ATTEMPTS: u32 = 5;
/// Likewise for a call of Service Quotas.
const QUOTA_ATTEMPTS: u32 = 2;
/// The longest pause between two attempts; and none is longer than an answer is waited for.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// For the answer to a call, as in the AWS CLI (its `--cli-read-timeout`). `CreateFunction` reads its code from S3 meanwhile.
const ATTEMPT: Duration = Duration::from_secs(60);
/// Bytes per second that the slowest line carries: for so long the answer to a call that sends content is waited for in
/// addition.
const SLOWEST: u64 = 32 << 10;
/// For content that is on its way and stands still.
const STANDSTILL: Duration = Duration::from_secs(20);
/// For credentials, which a program of the user's may have to fetch.
const CREDENTIALS: Duration = Duration::from_secs(120);

/// What the command line says about AWS.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A profile of `~/.aws/config`.
    pub profile: Option<String>,
    /// A region; the profile's or the environment's if not given.
    pub region: Option<String>,
    /// Another place than AWS's own, for all services: an endpoint of a VPC, or a stand-in on this computer.
    pub endpoint_url: Option<String>,
    /// How long the answer to a call is waited for, before it is made again; a minute if not given.
    pub read_timeout: Option<Duration>,
}

/// Where a deployment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `aws`, `aws-cn`, …
    pub partition: String,
    /// The region.
    pub region: String,
    /// The account's number.
    pub account: String,
}

/// Clients of one account and region.
#[derive(Debug, Clone)]
pub struct Session {
    /// Where.
    pub place: Place,
    /// As whom: an ARN.
    pub caller: String,
    /// How long the answer to a call is waited for.
    attempt: Duration,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) lambda: aws_sdk_lambda::Client,
    pub(crate) logs: aws_sdk_cloudwatchlogs::Client,
    pub(crate) quotas: aws_sdk_servicequotas::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) ssm: aws_sdk_ssm::Client,
    pub(crate) states: aws_sdk_sfn::Client,
}

impl Session {
    /// Loads the configuration, and asks AWS who this is.
    ///
    /// # Errors
    /// Without a region or credentials, in another partition than `aws`, or where AWS cannot be asked.
    pub async fn open(options: &Options) -> Result<Self, Error> {
        let config = load(options).await?;
        let region = config.region().map(ToString::to_string).ok_or(Error::NoRegion)?;
        let provider =
            config.credentials_provider().ok_or_else(|| Error::NoCredentials("none is set".to_owned()))?;
        // By itself, because a call would only say that it could not be sent.
        let provided = tokio::time::timeout(CREDENTIALS, provider.provide_credentials()).await;
        let provided = provided.map_err(|_| {
            Error::NoCredentials(format!("what provides them gave none in {} s", CREDENTIALS.as_secs()))
        })?;
        provided.map_err(|error| {
            let why = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), |why| format!("{error}: {why}"));
            Error::NoCredentials(why)
        })?;
        let (partition, account, caller) = who(&aws_sdk_sts::Client::new(&config)).await?;
        if partition != PARTITION {
            return Err(Error::Partition { partition, region });
        }
        // Buckets are parts of the path where host names are not AWS's own.
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            .force_path_style(config.endpoint_url().is_some())
            .build();
        // Of what nothing depends on, few attempts are enough.
        let few = retries(options.read_timeout.unwrap_or(ATTEMPT)).with_max_attempts(QUOTA_ATTEMPTS);
        let quotas = aws_sdk_servicequotas::config::Builder::from(&config).retry_config(few).build();
        Ok(Self {
            place: Place { partition, region, account },
            caller,
            attempt: options.read_timeout.unwrap_or(ATTEMPT),
            iam: aws_sdk_iam::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            quotas: aws_sdk_servicequotas::Client::from_conf(quotas),
            s3: aws_sdk_s3::Client::from_conf(s3),
            ssm: aws_sdk_ssm::Client::new(&config),
            states: aws_sdk_sfn::Client::new(&config),
        })
    }
}

/// Partition, account and ARN of the caller.
async fn who(sts: &aws_sdk_sts::Client) -> Result<(String, String, String), Error> {
    let who = call("sts:GetCallerIdentity", "*").ok(sts.get_caller_identity().send().await)?;
    let unsaid = |what: &str| Error::Broken {
        what: "the answer to sts:GetCallerIdentity".to_owned(),
        reason: format!("it names no {what}"),
    };
    let account = who.account().filter(|account| !account.is_empty()).ok_or_else(|| unsaid("account"))?;
    let caller = who.arn().ok_or_else(|| unsaid("ARN"))?;
    let partition =
        caller.split(':').nth(1).filter(|part| !part.is_empty()).ok_or_else(|| unsaid("partition"))?;
    Ok((partition.to_owned(), account.to_owned(), caller.to_owned()))
}

fn longest_pause(attempt: Duration) -> Duration {
    LONGEST_BACKOFF.min(attempt)
}

fn retries(attempt: Duration) -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(longest_pause(attempt))
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT.min(attempt))
        .operation_attempt_timeout(attempt)
        // Enough for all attempts and the pauses between them: only a call that hangs otherwise meets it.
        .operation_timeout((attempt + longest_pause(attempt)) * ATTEMPTS)
        .build()
}

async fn load(options: &Options) -> Result<SdkConfig, Error> {
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let attempt = options.read_timeout.unwrap_or(ATTEMPT);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(client.clone())
        .retry_config(retries(attempt))
        .timeout_config(timeouts(attempt))
        // Of content on its way, in both directions.
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled().grace_period(attempt.min(STANDSTILL)).build(),
        );
    let provider = ProviderConfig::without_region().with_http_client(client);
    let region = region(options, &provider).await.ok_or(Error::NoRegion)?;
    loader = loader.region(region.clone());
    if let Some(profile) = &options.profile {
        // As with the AWS CLI, the credentials of a profile that is named go before those of the environment.
        let provider = provider.with_region(Some(region));
        let credentials =
            ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile);
        loader = loader.profile_name(profile).credentials_provider(credentials.build());
    }
    if let Some(url) = &options.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    Ok(loader.load().await)
}

/// The region that the command line, the environment or the profile names. The SDK would also take that of the machine that it
/// runs on, where that is one of EC2: nobody chose it for this.
async fn region(options: &Options, provider: &ProviderConfig) -> Option<Region> {
    if let Some(region) = &options.region {
        return Some(Region::new(region.clone()));
    }
    if let Some(region) = EnvironmentVariableRegionProvider::new().region().await {
        return Some(region);
    }
    let mut of_profile = ProfileFileRegionProvider::builder().configure(provider);
    if let Some(profile) = &options.profile {
        of_profile = of_profile.profile_name(profile);
    }
    of_profile.build().region().await
}

impl Session {
    /// What a call that sends so many bytes has otherwise than the others.
    pub(crate) fn sending(&self, bytes: u64) -> aws_sdk_s3::config::Builder {
        let line = Duration::from_secs(bytes / SLOWEST);
        aws_sdk_s3::config::Builder::new().timeout_config(timeouts(self.attempt + line))
    }

    /// How often what was begun to be read is read again: as often as a call.
    pub(crate) const fn attempts(&self) -> u32 {
        ATTEMPTS
    }

    /// The ARN of something in this account and region.
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        let Place { partition, region, account } = &self.place;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::{ATTEMPT, ATTEMPTS, LONGEST_BACKOFF, retries, timeouts, who};
    use crate::error::{Error, Kind};
    use aws_config::{BehaviorVersion, Region};
    use aws_credential_types::Credentials;
    use aws_smithy_runtime_api::client::http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    };
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A server that takes every call and says nothing.
    #[derive(Debug, Clone, Default)]
    struct Silent(Arc<AtomicU32>);

    impl HttpConnector for Silent {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let _ = self.0.fetch_add(1, Ordering::SeqCst);
            HttpConnectorFuture::new(std::future::pending())
        }
    }

    impl HttpClient for Silent {
        fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
            SharedHttpConnector::new(self.clone())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_nobody_answers_ends() {
        let silent = Silent::default();
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .http_client(silent.clone())
            .retry_config(retries(ATTEMPT))
            .timeout_config(timeouts(ATTEMPT))
            .build();
        let begin = tokio::time::Instant::now();
        let ended = who(&aws_sdk_sts::Client::from_conf(config)).await;
        let Err(Error::Api(error)) = ended else { panic!("{ended:?}") };
        assert_eq!(error.kind, Kind::TimedOut);
        assert!(
            error.to_string().contains("sts:GetCallerIdentity on * had no whole answer in time"),
            "{error}"
        );
        assert!(begin.elapsed() <= (ATTEMPT + LONGEST_BACKOFF) * ATTEMPTS, "{:?}", begin.elapsed());
        let calls = silent.0.load(Ordering::SeqCst);
        assert_eq!(calls, ATTEMPTS);
    }
}

//! LocalStack in a process of its own, on a free port and with a data folder of its own, and calls of its Step Functions.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// Where both engines' state machines are.
pub(crate) const STATES: &str = "arn:aws:states:us-east-1:111111111111";
/// The role of both engines' executions.
pub(crate) const ROLE: &str = "arn:aws:iam::111111111111:role/stepgrad";
/// For LocalStack to answer, a large Python program: machines are slow.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
/// For the answer to one call.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// For an execution to end.
const ENDS_WITHIN: Duration = Duration::from_secs(180);
/// Between two looks at what sends no news.
const LOOK: Duration = Duration::from_millis(50);

/// A server, which ends with the test.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    folder: tempfile::TempDir,
}

impl Server {
    /// A new one, which calls functions at `functions`; `None`, with the test told as skipped, where there is none to
    /// be had.
    pub(crate) async fn start(test: &str, functions: SocketAddr) -> Option<Self> {
        let root = stepgrad_tests::root();
        let python = root.join("target/servers/localstack/bin/python");
        if !python.is_file() {
            stepgrad_tests::skip(test, "localstack is not there: `make setup` installs it");
            return None;
        }
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(python)
            .arg(root.join("setup/engines/localstack_without_docker.py"))
            .env("STEPGRAD_LAMBDA_ENDPOINT", format!("http://{functions}"))
            .env("GATEWAY_LISTEN", address.to_string())
            .env("SERVICES", "stepfunctions,sts,iam")
            .env("FILESYSTEM_ROOT", folder.path().join("data"))
            .env("TMPDIR", folder.path())
            .envs([("DISABLE_EVENTS", "1"), ("SKIP_SSL_CERT_DOWNLOAD", "1")])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut server = Self { process, address, client, folder };
        let deadline = Instant::now() + STARTS_WITHIN;
        while server.ask("ListStateMachines", &json!({})).await.is_err() {
            let ended = server.process.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "LocalStack does not start: {}",
                server.log()
            );
            tokio::time::sleep(LOOK).await;
        }
        Some(server)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What an action of Step Functions answers.
    pub(crate) async fn call(&self, action: &str, request: &Value) -> Value {
        self.ask(action, request).await.unwrap_or_else(|error| panic!("{action}: {error}"))
    }

    async fn ask(&self, action: &str, request: &Value) -> Result<Value, String> {
        // Nobody checks the signature; its credential names the account and the region.
        let authorization = "AWS4-HMAC-SHA256 Credential=111111111111/20200101/us-east-1/states/aws4_request, \
                             SignedHeaders=host, Signature=0";
        let request = Request::post(format!("http://{}/", self.address))
            .header("Content-Type", "application/x-amz-json-1.0")
            .header("X-Amz-Target", format!("AWSStepFunctions.{action}"))
            .header("Authorization", authorization)
            .body(Full::new(Bytes::from(request.to_string())))
            .unwrap();
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            let text = String::from_utf8_lossy(&body);
            if !status.is_success() {
                return Err(format!("{status}: {text}"));
            }
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
        };
        tokio::time::timeout(ANSWERS_WITHIN, answer).await.map_err(|_| "no answer".to_owned())?
    }

    /// Waits for the end of an execution; gives what DescribeExecution says of it then.
    pub(crate) async fn ended(&self, execution: &str) -> Value {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            let described = self.call("DescribeExecution", &json!({"executionArn": execution})).await;
            if described["status"] != "RUNNING" {
                return described;
            }
            assert!(Instant::now() < deadline, "{execution} does not end: {}", self.log());
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

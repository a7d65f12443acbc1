//! Real servers of S3, moto or ministack, in a process of their own on a free port, one for each test, with nothing in them but
//! a bucket.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use std::collections::BTreeMap;
use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use stepgrad_runtime::store::Store;

pub(crate) const BUCKET: &str = "runs-of-a-test";
/// For the server to say that it listens: it is a large Python program, and machines are slow.
const DEADLINE: Duration = Duration::from_secs(120);

/// A server, which ends with the test.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
}

impl Server {
    /// A new moto with [`BUCKET`] in it; `None`, with the test told as skipped, where there is none to be had.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let mut command = python("moto", test)?;
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let said = std::io::BufReader::new(process.stderr.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        // Reads on until the end, so that the server is never held up by a full pipe.
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("Running on http://") {
                    let _ = sender.send(address.trim().to_owned());
                }
            }
        });
        let address = receiver.recv_timeout(DEADLINE).unwrap();
        Some(Self::ready(process, address).await)
    }

    /// A new ministack, likewise.
    pub(crate) async fn start_ministack(test: &str) -> Option<Self> {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = python("ministack", test)?;
        command.args(["-c", "from ministack.app import main; main()"]).stderr(Stdio::null());
        let process = command.env("GATEWAY_PORT", address.port().to_string()).spawn().unwrap();
        stepgrad_tests::wait_for("ministack to listen", || std::net::TcpStream::connect(address).ok());
        Some(Self::ready(process, address.to_string()).await)
    }

    async fn ready(process: Child, address: String) -> Self {
        let server = Self { process, address };
        server.client().create_bucket().bucket(BUCKET).send().await.unwrap();
        server
    }

    /// A client of the SDK, to look behind the store.
    pub(crate) fn client(&self) -> Client {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(format!("http://{}", self.address))
            .force_path_style(true);
        Client::from_conf(config.build())
    }

    /// What a function finds in its environment.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        variables(&self.address)
    }

    pub(crate) fn store(&self) -> Store {
        store(&self.variables())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Python of a server.
fn python(name: &str, test: &str) -> Option<Command> {
    let python = stepgrad_tests::root().join("target/servers").join(name).join("bin/python");
    if !python.is_file() {
        stepgrad_tests::skip(test, &format!("{name} is not there: `make setup` installs it"));
        return None;
    }
    let mut command = Command::new(python);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Some(command)
}

/// The variables of a function whose store is behind `address`.
pub(crate) fn variables(address: &str) -> BTreeMap<String, String> {
    let pairs = [
        ("STEPGRAD_STORE", format!("s3://{BUCKET}/some/runs")),
        ("STEPGRAD_DATA", format!("s3://{BUCKET}/some/data")),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_ENDPOINT_URL_S3", format!("http://{address}")),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

pub(crate) fn store(variables: &BTreeMap<String, String>) -> Store {
    Store::open(&variables["STEPGRAD_STORE"], |name| variables.get(name).cloned()).unwrap()
}

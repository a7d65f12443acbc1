//! What the tests share: a host over the fixture, its log and its records.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use stepgrad_engine::host::{
    FunctionConfig, Host, HostConfig, HostError, InvocationRecord, LogFolder, ProcessInfo, ProcessState,
};
use stepgrad_engine::integrations::lambda::InvokeReply;

/// Every wait of a test ends here, on the slowest machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Bench {
    pub(crate) host: Host,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) records: Arc<Mutex<Vec<InvocationRecord>>>,
}

/// The fixture as an executable in `folder`, run by the Python interpreter itself and not by a version manager.
pub(crate) fn bootstrap(folder: &std::path::Path) -> PathBuf {
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    let python = String::from_utf8(asked.stdout).unwrap();
    let path = folder.join("bootstrap");
    let script = include_str!("../fixtures/bootstrap.py");
    // Written and closed by another process: a concurrent test that forks while this one has the file open for
    // writing would make it "text file busy".
    let mut install = Command::new("sh");
    install
        .args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(&path)
        .stdin(std::process::Stdio::piped());
    let mut child = install.spawn().unwrap();
    let text = format!("#!{} -SE\n{script}", python.trim());
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    path
}

/// A function of the fixture under the name of its handler, with a timeout that no test waits for.
pub(crate) fn function(handler: &str) -> FunctionConfig {
    FunctionConfig { timeout_s: 60, ..FunctionConfig::new(handler) }
}

impl Bench {
    pub(crate) fn new(functions: Vec<FunctionConfig>, change: impl FnOnce(&mut HostConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = HostConfig::new(bootstrap(folder.path()));
        // A loaded machine takes long to start Python.
        config.init_timeout = PATIENCE;
        change(&mut config);
        let records = Arc::new(Mutex::new(Vec::new()));
        let observer = {
            let records = Arc::clone(&records);
            move |record: &InvocationRecord| records.lock().unwrap().push(record.clone())
        };
        let sink = Arc::new(LogFolder::new(folder.path().join("logs")).unwrap());
        let host = Host::new(config, functions, sink, Arc::new(observer)).unwrap();
        Self { host, folder, records }
    }

    pub(crate) async fn call(&self, function: &str, event: Value) -> InvokeReply {
        self.try_call(function, event).await.unwrap()
    }

    pub(crate) async fn try_call(&self, function: &str, event: Value) -> Result<InvokeReply, HostError> {
        self.host.call(function, Bytes::from(event.to_string())).await
    }

    /// A call that runs beside the test.
    pub(crate) fn spawn(
        &self,
        function: &'static str,
        event: Value,
    ) -> tokio::task::JoinHandle<Result<InvokeReply, HostError>> {
        let host = self.host.clone();
        tokio::spawn(async move { host.call(function, Bytes::from(event.to_string())).await })
    }

    pub(crate) fn record(&self) -> InvocationRecord {
        self.records.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn log(&self, function: &str) -> String {
        let path = self.folder.path().join(format!("logs/{function}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    pub(crate) fn in_state(&self, state: ProcessState) -> Vec<ProcessInfo> {
        let mut processes = self.host.live_processes();
        processes.retain(|process| process.state == state);
        processes
    }

    /// The process of the one busy invocation, once it is there.
    pub(crate) async fn busy(&self) -> u32 {
        until(|| self.in_state(ProcessState::Busy).first().map(|process| process.pid)).await
    }
}

pub(crate) fn value(reply: &InvokeReply) -> Value {
    serde_json::from_slice(&reply.payload).unwrap()
}

/// Asserts that the platform ended the call, and returns its message.
pub(crate) fn failure(reply: &InvokeReply, kind: &str) -> String {
    assert_eq!(reply.function_error.as_deref(), Some("Unhandled"));
    let value = value(reply);
    assert_eq!(value["errorType"], kind, "{value}");
    value["errorMessage"].as_str().unwrap().to_owned()
}

/// Looks again and again until there is something to see.
pub(crate) async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begin.elapsed() < PATIENCE, "waited too long");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether the process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

pub(crate) fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

//! One execution environment: a process, the Runtime API it is given on a port of its own, and what it prints.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use axum::serve::ListenerExt;
use nix::sys::signal::Signal;
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::config::{FunctionConfig, HostConfig};
use super::failure::Exit;
use super::guardian::Guardian;
use super::limits::Probe;
use super::output::Output;
use super::pool::Pool;
use super::runtime_api::{self, Answer, Delivery, Phase, RuntimeApi};
use super::{clock, log::LogSink};

/// A process and what the host keeps of it. Dropping it kills the process.
pub(super) struct Environment {
    pub(super) id: u64,
    /// The function's place in the host's list.
    pub(super) function: usize,
    pub(super) pid: u32,
    api: Arc<RuntimeApi>,
    signals: mpsc::UnboundedSender<Signal>,
    probe: Probe,
    peak_memory_mb: AtomicU64,
    output: Arc<Output>,
}

/// What a new environment is made from.
pub(super) struct Blueprint<'a> {
    pub(super) host: &'a HostConfig,
    pub(super) config: &'a FunctionConfig,
    /// The function's place in the host's list.
    pub(super) function: usize,
    pub(super) id: u64,
    /// 32 hexadecimal digits for the log stream's name.
    pub(super) stream: String,
    pub(super) sink: Arc<dyn LogSink>,
    pub(super) guardian: Arc<Guardian>,
}

impl Environment {
    /// Starts a process and enters it into `pool`.
    pub(super) async fn start(blueprint: Blueprint<'_>, pool: &Arc<Pool>) -> io::Result<Arc<Self>> {
        let Blueprint { host, config, function, id, stream, sink, guardian } = blueprint;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (output, writer) = Output::new(&config.name, sink)?;
        let output = Arc::new(output);

        let variables = variables(host, config, &address, &stream);
        let (for_stdout, for_stderr) = (Stdio::from(writer.try_clone()?), Stdio::from(writer));
        let mut command =
            CommandWrap::with_new(config.bootstrap.as_ref().unwrap_or(&host.bootstrap), |command| {
                command.env_clear().envs(variables).current_dir(task_root(host));
                command.stdin(Stdio::null()).stdout(for_stdout).stderr(for_stderr);
            });
        command.wrap(ProcessGroup::leader()).wrap(KillOnDrop);
        let child = command.spawn()?;
        // The command holds the pipe's writing end; the process has its own by now.
        drop(command);
        let pid = child.id().ok_or_else(|| io::Error::other("the process was gone before it had an id"))?;
        guardian.watch(pid);

        let api = RuntimeApi::new();
        let (signals, received) = mpsc::unbounded_channel();
        let environment = Arc::new(Self {
            id,
            function,
            pid,
            api: Arc::clone(&api),
            signals,
            probe: Probe::new(pid),
            peak_memory_mb: AtomicU64::new(0),
            output: Arc::clone(&output),
        });
        pool.enter(Arc::clone(&environment));

        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let server = tokio::spawn(async move {
            drop(axum::serve(listener, runtime_api::router(api)).await);
        });
        let reader = tokio::spawn({
            let output = Arc::clone(&output);
            async move { output.run().await }
        });
        let api = Arc::clone(&environment.api);
        let pool = Arc::downgrade(pool);
        tokio::spawn(async move {
            let status = wait(child, received).await;
            guardian.forget(pid);
            bury(status, id, &output, &api, &pool, [server, reader]);
        });
        Ok(environment)
    }

    /// Waits until the process asks for work, or is gone without having done so.
    pub(super) async fn started(&self) -> Phase {
        self.phase(|phase| *phase != Phase::Starting).await
    }

    /// Waits until the process is gone.
    pub(super) async fn gone(&self) {
        self.phase(|phase| matches!(phase, Phase::Gone(_))).await;
    }

    fn phase(&self, wanted: impl FnMut(&Phase) -> bool) -> impl Future<Output = Phase> {
        let mut phase: watch::Receiver<Phase> = self.api.phase();
        // The sender lives in the same API as the receiver: it cannot be gone before.
        async move { phase.wait_for(wanted).await.map_or(Phase::Gone(Exit(None)), |phase| *phase) }
    }

    pub(super) fn is_starting(&self) -> bool {
        *self.api.phase().borrow() == Phase::Starting
    }

    /// Whether work can be given to the process.
    pub(super) fn is_usable(&self) -> bool {
        !matches!(*self.api.phase().borrow(), Phase::Gone(_)) && !self.probe.is_ending()
    }

    /// Gives the process an invocation.
    pub(super) fn deliver(&self, request_id: &str, delivery: Delivery) -> oneshot::Receiver<Answer> {
        self.api.deliver(request_id, delivery)
    }

    /// What the process said when it could not start.
    pub(super) fn init_error(&self) -> Option<bytes::Bytes> {
        self.api.init_error()
    }

    /// Signals the whole process group. The task that reaps the process does it, so that the id cannot be another's.
    pub(super) fn signal(&self, signal: Signal) {
        // Without a receiver the process has been reaped.
        let _reaped = self.signals.send(signal);
    }

    /// Looks at the process: the most memory that it has held so far, in MB.
    pub(super) fn look_at_memory(&self) -> u64 {
        match self.probe.peak_memory_mb() {
            Some(peak) => self.peak_memory_mb.fetch_max(peak, Ordering::Relaxed).max(peak),
            None => self.peak_memory_mb(),
        }
    }

    /// What the last look has shown.
    pub(super) fn peak_memory_mb(&self) -> u64 {
        self.peak_memory_mb.load(Ordering::Relaxed)
    }

    /// Writes lines of the platform into the log, after all that the process has printed up to now.
    pub(super) fn log(&self, lines: &str) {
        self.output.drain();
        self.output.write(lines);
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Waits for the process and passes signals on to its group meanwhile.
async fn wait(mut child: Box<dyn ChildWrapper>, mut signals: mpsc::UnboundedReceiver<Signal>) -> Exit {
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.ok(),
            Some(signal) = signals.recv() => drop(child.signal(signal as i32)),
        }
    };
    // What the process has started itself does not outlive it.
    drop(child.signal(Signal::SIGKILL as i32));
    Exit(status)
}

fn bury(
    exit: Exit,
    id: u64,
    output: &Output,
    api: &RuntimeApi,
    pool: &Weak<Pool>,
    tasks: [JoinHandle<()>; 2],
) {
    output.finish();
    for task in tasks {
        task.abort();
    }
    // First out of the pool, then told: who waits for this may at once ask for another environment.
    if let Some(pool) = pool.upgrade() {
        pool.leave(id);
    }
    api.gone(exit);
}

fn task_root(host: &HostConfig) -> &Path {
    let beside = || host.bootstrap.parent().unwrap_or(Path::new("/"));
    host.task_root.as_deref().unwrap_or_else(beside)
}

/// The environment variables of AWS page "Using Lambda environment variables", for an OS-only runtime, under
/// those of the function's configuration. Nothing of the host's own environment gets through.
fn variables(
    host: &HostConfig,
    function: &FunctionConfig,
    runtime_api: &str,
    stream: &str,
) -> Vec<(OsString, OsString)> {
    let root = task_root(host).to_string_lossy();
    let date = clock::date();
    let texts = [
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin".to_owned()),
        ("LD_LIBRARY_PATH", format!("{root}:{root}/lib")),
        ("AWS_REGION", host.region.clone()),
        ("AWS_DEFAULT_REGION", host.region.clone()),
    ];
    let configured = function.environment.iter().map(|(key, value)| (key.as_str(), value.clone()));
    let fixed = [
        ("_HANDLER", function.handler.clone()),
        ("LAMBDA_TASK_ROOT", root.to_string()),
        ("LAMBDA_RUNTIME_DIR", root.to_string()),
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_owned()),
        ("AWS_LAMBDA_FUNCTION_NAME", function.name.clone()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", format!("{date}/[$LATEST]{stream}")),
    ];
    // Of two with one name the later counts.
    let all = texts.into_iter().chain(configured).chain(fixed);
    all.map(|(key, value)| (OsString::from(key), OsString::from(value))).collect()
}

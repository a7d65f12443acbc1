//! The functions of a bundle behind Lambda's Invoke, as `stepgrad run` hosts them but for the store.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use stepgrad_engine::host::{Discard, FunctionConfig, Host, HostConfig, InvocationRecord, endpoint};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Processes at once. Fewer than there are functions would end some for others' sake, and start them again and again.
const PROCESSES: usize = 16;

/// Functions that answer, until they are stopped.
pub(crate) struct Functions {
    host: Host,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Functions {
    /// Serves what `index`, a bundle's bundle.json, lists, with `runs` for the store and `data` for the user's files.
    pub(crate) fn serve(listener: &std::net::TcpListener, index: &Value, runs: &Path, data: &Path) -> Self {
        let environment = BTreeMap::from(
            [("STEPGRAD_STORE", runs), ("STEPGRAD_DATA", data)]
                .map(|(name, folder)| (name.to_owned(), format!("file://{}", folder.display()))),
        );
        let functions = index["functions"].as_array().unwrap().iter().map(|entry| FunctionConfig {
            handler: text(entry, "handler"),
            memory_mb: number(entry, "memory_mb"),
            timeout_s: number(entry, "timeout_s"),
            environment: environment.clone(),
            ..FunctionConfig::new(text(entry, "name"))
        });
        let bootstrap = stepgrad_tests::binary("bootstrap");
        let config = HostConfig { max_concurrency: PROCESSES, ..HostConfig::new(bootstrap) };
        let observer = Arc::new(|_: &InvocationRecord| ());
        let host = Host::new(config, functions.collect(), Arc::new(Discard), observer).unwrap();
        // One port for all bundles: LocalStack is told of it once.
        let listener = TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let ready = async move { drop(stopped.await) };
        let served = tokio::spawn(endpoint::serve(host.clone(), listener, ready));
        Self { host, stop, served }
    }

    /// A function's ARN.
    pub(crate) fn arn(&self, name: &str) -> String {
        self.host.arn(name)
    }

    /// Ends the functions, and gives the port free for others.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.served.await.unwrap().unwrap();
        self.host.shutdown().await;
    }
}

fn text(entry: &Value, key: &str) -> String {
    entry[key].as_str().unwrap().to_owned()
}

fn number(entry: &Value, key: &str) -> u32 {
    u32::try_from(entry[key].as_u64().unwrap()).unwrap()
}

//! Ctrl-C and requests to end: the first ends the run with its record whole, a second one ends the command.

use crate::exit::Exit;
use crate::output;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether the user wants the run to end.
#[derive(Debug, Clone)]
pub(super) struct Interrupts(watch::Receiver<bool>);

impl Interrupts {
    /// Listens from now on.
    pub(super) fn listen() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            let mut before = false;
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if before {
                    output::say("ended at once; `stepgrad run --resume` continues the run");
                    std::process::exit(Exit::RunFailed as i32);
                }
                before = true;
                // Nobody is left to listen where the run has ended already.
                let _ = sender.send(true);
            }
        });
        Ok(Self(receiver))
    }

    /// Waits for the first one.
    pub(super) async fn first(mut self) {
        if self.0.wait_for(|interrupted| *interrupted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

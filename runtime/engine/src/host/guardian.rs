//! Ends the functions when the host itself is killed. An idle function notices by itself that its Runtime API is
//! gone, but one that computes would go on until it has a reply to send. A child of the host, a few lines of
//! shell, reads which process groups there are; when its standard input ends while it still knows some, the host
//! is gone and it kills them. The kernel's parent-death signal would need unsafe code and looks at the thread
//! that started the process, not at the host.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Mutex, PoisonError};

/// Reads lines `+PID` and `-PID`. Ignores the signals that a terminal sends to all.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
groups=' '
while read -r line; do
    pid=${line#?}
    case $line in
        +*) groups="$groups$pid " ;;
        -*) groups="${groups%% $pid *} ${groups#* $pid }" ;;
    esac
done
for pid in $groups; do kill -s KILL -- "-$pid"; done 2>/dev/null
"#;

/// The guardian process. Dropping it ends it, and with it whatever it still watches.
pub(super) struct Guardian {
    child: Mutex<Option<(Child, ChildStdin)>>,
}

impl Guardian {
    /// Starts the guardian.
    pub(super) fn start() -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the guardian has to be a process of its own")]
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let stdin =
            child.stdin.take().ok_or_else(|| io::Error::other("the guardian has no standard input"))?;
        Ok(Self { child: Mutex::new(Some((child, stdin))) })
    }

    /// Kills the process group `pid` if the host ends before [`Self::forget`].
    pub(super) fn watch(&self, pid: u32) {
        self.tell(&format!("+{pid}\n"));
    }

    /// The process is gone.
    pub(super) fn forget(&self, pid: u32) {
        self.tell(&format!("-{pid}\n"));
    }

    fn tell(&self, line: &str) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, stdin)) = child.as_mut()
            && let Err(error) = stdin.write_all(line.as_bytes())
        {
            tracing::warn!(%error, "functions may outlive the host if it is killed");
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((mut child, stdin)) = child {
            drop(stdin);
            drop(child.wait());
        }
    }
}

//! Looks at a process from outside, through /proc: how much memory it has held, and whether it is about to end.
//! Where there is no /proc the memory limit is not enforced and only an exit that was already seen counts.
#![expect(clippy::disallowed_methods, reason = "/proc is how one process sees another")]

use std::fs::File;
use std::os::unix::fs::FileExt;

/// A page of /proc fits; `status` has about 1.5 kB.
const BUFFER: usize = 4096;
/// PF_EXITING of the kernel's `include/linux/sched.h`: the process is on its way out.
const EXITING: u64 = 0x4;
/// SIGKILL's bit in the set of pending signals.
const KILL_PENDING: u64 = 1 << 8;

/// Open files below /proc/PID. They stay bound to this one process even if its id is given to another.
pub(super) struct Probe {
    status: Option<File>,
    stat: Option<File>,
}

impl Probe {
    pub(super) fn new(pid: u32) -> Self {
        let open = |name: &str| File::open(format!("/proc/{pid}/{name}")).ok();
        Self { status: open("status"), stat: open("stat") }
    }

    /// The most memory the process has ever held resident, in MB rounded up. The kernel keeps this mark itself,
    /// so a peak between two looks is not missed.
    pub(super) fn peak_memory_mb(&self) -> Option<u64> {
        let text = read(self.status.as_ref()?)?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib.div_ceil(1024))
    }

    /// Whether the process has ended, is ending, or has SIGKILL waiting for it: no work can be given to it.
    pub(super) fn is_ending(&self) -> bool {
        let Some(stat) = self.stat.as_ref() else {
            return false;
        };
        read(stat).is_none_or(|text| stat_says_ending(&text))
    }
}

/// Reads the fields state (3), flags (9) and signal (31) of /proc/PID/stat (man page proc_pid_stat).
fn stat_says_ending(text: &str) -> bool {
    // The second field is the command in parentheses and may itself hold blanks and parentheses.
    let Some((_, rest)) = text.rsplit_once(") ") else {
        return true;
    };
    let mut fields = rest.split(' ');
    let state = fields.next().unwrap_or_default();
    let flags: u64 = fields.nth(5).and_then(|field| field.parse().ok()).unwrap_or_default();
    let pending: u64 = fields.nth(21).and_then(|field| field.parse().ok()).unwrap_or_default();
    matches!(state, "Z" | "X" | "x") || flags & EXITING != 0 || pending & KILL_PENDING != 0
}

fn read(file: &File) -> Option<String> {
    let mut buffer = [0; BUFFER];
    let length = file.read_at(&mut buffer, 0).ok().filter(|length| *length > 0)?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Probe, stat_says_ending};

    #[test]
    fn sees_this_process_alive_and_its_memory() {
        let probe = Probe::new(std::process::id());
        assert!(!probe.is_ending());
        assert!(probe.peak_memory_mb().is_some_and(|mb| (1..100_000).contains(&mb)));
    }

    #[test]
    fn sees_zombies_exits_and_pending_kills() {
        let stat = |state: &str, flags: u64, pending: u64| {
            let between = "0 ".repeat(21);
            format!("7 (a) b) {state} 1 7 7 0 -1 {flags} {between}{pending} 0 0\n")
        };
        assert!(!stat_says_ending(&stat("S", 0x0040_0000, 0)));
        assert!(stat_says_ending(&stat("Z", 0x0040_0000, 0)));
        assert!(stat_says_ending(&stat("R", 0x0040_0004, 0)));
        assert!(stat_says_ending(&stat("S", 0x0040_0000, 0x100)));
    }
}

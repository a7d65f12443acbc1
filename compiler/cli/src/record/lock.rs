//! The lock of a record: held by one process, and by nothing that it starts. A lock of flock(2) would go on with a process
//! that was forked to become a function, for as long as its own program is not loaded; so these are record locks of
//! fcntl(2), which belong to the process alone and end with it.
//!
//! They have one trap: a process that closes any handle to the file lets go. The record opens it once, and only other
//! processes ask whether it is taken.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::File;
use std::io;

/// Takes the lock, unless another process has it; gives whether it was taken.
pub(super) fn take(file: &File) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_SETLK(&whole(libc::F_WRLCK))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether another process has it.
pub(super) fn is_taken(file: &File) -> bool {
    let mut found = whole(libc::F_RDLCK);
    fcntl(file, FcntlArg::F_GETLK(&mut found)).is_ok() && i32::from(found.l_type) != libc::F_UNLCK
}

/// A lock of the whole file.
#[expect(clippy::cast_possible_truncation, reason = "small constants of the C library")]
fn whole(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

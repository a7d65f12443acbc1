//! What one process prints. Standard output and error share a pipe, so their lines keep their order.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::unix::pipe::Receiver;

use super::log::{Lines, LogSink};

/// The reading end of a process's output.
pub(super) struct Output {
    /// Says when there is something to read.
    ready: Receiver,
    /// The same end of the same pipe: reads now, whether tokio has heard of it yet or not.
    pipe: PipeReader,
    lines: Mutex<Lines>,
    function: String,
    sink: Arc<dyn LogSink>,
}

impl Output {
    /// A pipe whose lines go to `sink`, and its writing end for the process.
    pub(super) fn new(function: &str, sink: Arc<dyn LogSink>) -> io::Result<(Self, PipeWriter)> {
        let (pipe, writer) = io::pipe()?;
        let ready = Receiver::from_owned_fd(pipe.try_clone()?.into())?;
        Ok((Self { ready, pipe, lines: Mutex::default(), function: function.to_owned(), sink }, writer))
    }

    /// Hands lines on until the last writer has closed the pipe.
    pub(super) async fn run(&self) {
        let mut byte = [0];
        while self.ready.readable().await.is_ok() {
            if self.drain() {
                break;
            }
            // A read that finds nothing is what makes tokio wait again.
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            match self.ready.try_read(&mut byte) {
                Ok(0) => break,
                Ok(_) => self.write(&lines.push(&byte)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    }

    /// Hands on what is in the pipe now; whether that was the end.
    pub(super) fn drain(&self) -> bool {
        let mut buffer = [0; 8192];
        loop {
            // Held over the read: what two tasks read would else come out in the wrong order.
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            match (&self.pipe).read(&mut buffer) {
                Ok(0) => return true,
                Ok(length) => self.write(&lines.push(&buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Hands on the last line even if it was not ended: the process is gone.
    pub(super) fn finish(&self) {
        self.drain();
        self.write(&self.lines.lock().unwrap_or_else(PoisonError::into_inner).finish());
    }

    /// Adds lines of the platform.
    pub(super) fn write(&self, lines: &str) {
        if !lines.is_empty() {
            self.sink.write(&self.function, lines);
        }
    }
}

//! [`bootstrap`] without libtorch: it serves the functions that never compute the model. In a package whose libtorch lies
//! compressed it is the program that unpacks it and goes on as the one that links it (see [`stepgrad_runtime::unpack`]).
#![expect(clippy::disallowed_methods, reason = "the environment is bootstrap's to read")]

#[path = "bootstrap.rs"]
mod bootstrap;

use std::io::Write;
use std::process::ExitCode;

#[cfg(feature = "torch")]
compile_error!("the small binary links no libtorch: build it with --no-default-features --features light");

fn main() -> ExitCode {
    match stepgrad_runtime::unpack::go_on(|name| std::env::var_os(name)) {
        Ok(()) => bootstrap::main(),
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

//! Commands that run nodes or look into their folders.

mod dev;
mod serve;
pub(super) mod signals;
mod verify;

use std::process::ExitCode;

pub(super) use dev::DevArgs;
pub(super) use serve::ServeArgs;
pub(super) use verify::VerifyArgs;

use crate::actors::error_chain;

/// Prints why a command failed.
pub(super) fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {}", error_chain(error));
    ExitCode::FAILURE
}

/// A runtime for a server: as many workers as there are processors.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, std::io::Error> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

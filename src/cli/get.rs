//! `atoll get`: reads a register, byte for byte.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use crate::cli::args::RecordArgs;
use crate::cli::client::types::{RegisterAnswer, RegisterValue, Siblings};
use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome, note};
use crate::cli::text;

/// Arguments of `get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atoll get packages vim
  atoll get assets logo.png --output logo.png
  atoll get packages vim --json          value with version, content type and session token

The exit code is 1 if there is no such register, or if it has several concurrent versions (only in namespaces that \
keep them); --json shows those, and `atoll put --context` replaces them.")]
pub(crate) struct GetArgs {
    #[command(flatten)]
    record: RecordArgs,
    /// Write the bytes to a file, which is replaced only once all of them are there
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs `get`.
pub(crate) async fn run(args: GetArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let client = context.connection.client()?;
    let key = text::escape(args.record.key.as_str());
    let namespace = &args.record.namespace;
    match client.register_get(args.record.name()).await? {
        None => {
            note(&format!("atoll: no register \"{key}\" in {namespace}"));
            Ok(Outcome::Negative)
        }
        Some(RegisterAnswer::Value(value)) => {
            match &args.output {
                Some(file) => write_file(file, &value.bytes)?,
                None if context.connection.json => context.output.json(&value_as_json(&value))?,
                None => context.output.bytes(&value.bytes)?,
            }
            Ok(Outcome::Success)
        }
        Some(RegisterAnswer::Siblings(siblings)) => {
            if context.connection.json {
                context.output.json(&siblings)?;
            } else {
                note(&describe_siblings(&key, &siblings));
            }
            Ok(Outcome::Negative)
        }
    }
}

fn describe_siblings(key: &str, siblings: &Siblings) -> String {
    format!(
        "atoll: register \"{key}\" has {} concurrent versions\nhint: see them with --json; decide with \
         `atoll put … --context {}`",
        siblings.siblings.len(),
        text::escape(&siblings.context)
    )
}

fn value_as_json(value: &RegisterValue) -> serde_json::Value {
    serde_json::json!({
        "version": value.receipt.version,
        "session": value.receipt.session,
        "content_type": value.content_type,
        "value_base64": STANDARD.encode(&value.bytes),
    })
}

/// Writes beside the file and renames, so that a full disk leaves the old contents.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |source| CliError::Io {
        action: format!("write {}", path.display()),
        source,
    };
    // Devices and pipes (`--output /dev/stderr`) are written to, not replaced.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::write(path, bytes).map_err(failed);
    }
    let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(format!(".{}.part", std::process::id()));
    let partial = path.with_file_name(name);
    let written = std::fs::File::create_new(&partial)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&partial, path));
    written.map_err(|source| {
        // The error that matters is the one before; a left-over is only untidy.
        let _ = std::fs::remove_file(&partial);
        failed(source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logo.png");
        write_file(&path, b"first").unwrap();
        write_file(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write_file(&folder.path().join("missing/logo.png"), b"x").unwrap_err();
        assert!(error.describe().contains("missing/logo.png"));
    }
}

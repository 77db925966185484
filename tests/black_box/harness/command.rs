//! The binary under test as a command that ends.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

impl Ran {
    /// The output, if the command ended with this exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.out,
            self.err
        );
        self
    }

    /// Asserts that standard error has all these words.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in: {}", self.err);
        }
        self
    }
}

/// The binary, away from whatever the caller's environment says.
pub(crate) fn atoll_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atoll"));
    for variable in ["RUST_LOG", "ATOLL_ENDPOINT", "ATOLL_CERTS"] {
        command.env_remove(variable);
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn atoll(arguments: &[&str]) -> Ran {
    ran(&atoll_command().args(arguments).output().unwrap())
}

/// Runs it to its end with this on its standard input.
pub(crate) fn atoll_with_input(arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = atoll_command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A thread, since both sides wait for each other once the pipes are full.
    let writer = std::thread::spawn(move || {
        // A command that stops reading early says why itself.
        let _ = pipe.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    ran(&output)
}

fn ran(output: &std::process::Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

//! The command line: what people and scripts call. Turns arguments into calls and answers into text and exit codes.
//!
//! Two kinds of commands stand beside each other in `Command`: those that are clients of running nodes
//! (`client_command`; they depend on nothing but the HTTP contract), and those that run or prepare nodes.
//! Nothing here decides anything about data.

mod args;
mod backoff;
pub mod certs;
mod client;
mod client_command;
mod connection;
mod endpoints;
mod error;
mod limits;
pub(crate) mod lines;
mod output;
mod pages;
mod survey;
mod text;

// One file for each client command.
mod batch;
mod config;
mod conflicts;
mod counter;
mod delete;
mod digest;
mod get;
mod keys;
mod link;
pub(crate) mod load;
mod map;
mod namespace;
mod node;
mod nodes;
mod put;
mod set;
mod status;
mod wan;

#[cfg(test)]
mod fake_node;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli::client_command::ClientCommand;
use crate::cli::connection::ConnectionArgs;

/// Atoll: an active-active, multi-region store
///
/// Every region accepts every write, all regions converge to the same state, and `atoll digest` proves it.
#[derive(Debug, Parser)]
#[command(name = "atoll", version, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    connection: ConnectionArgs,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  atoll put packages vim 9.1                                 write at the default node
  atoll get packages vim --endpoint http://127.0.0.1:8103    read in another region
  atoll counter add visits home 1                            count, in all regions at once
  atoll status --watch                                       regions, links, lag
  atoll digest                                               are all regions equal?
  dpkg-query -W -f='${Package}\\t${Version}\\n' | atoll load - --namespace packages

Exit codes: 0 done, 1 failed, not found or not equal, 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run all regions of a regions.toml in this process: for development
    Dev(node::DevArgs),
    /// Run one node, as in production
    Serve(node::ServeArgs),
    /// Make the certificates of a cluster
    #[command(subcommand)]
    Certs(certs::CertsCommand),
    /// Check the data folder of a stopped node
    Verify(node::VerifyArgs),
    /// Run a relay that gives the links between regions delay, loss and partitions; change a running one
    Wan(wan::WanArgs),
    // Clients of running nodes.
    #[command(flatten)]
    Client(ClientCommand),
}

/// Entry point of the binary: parses the arguments, runs the command, gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => {
            // The text of --help and of usage errors; a closed stdout (`--help | head`) is no reason to panic.
            let _ = error.print();
            if error.use_stderr() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            }
        }
    }
}

fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Dev(args) => args.run(),
        Command::Serve(args) => args.run(),
        Command::Certs(command) => match command.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {}", crate::actors::error_chain(&error));
                ExitCode::FAILURE
            }
        },
        Command::Verify(args) => args.run(cli.connection.json),
        Command::Wan(args) => args.run(&cli.connection),
        Command::Client(command) => client_command::run(cli.connection, command),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_the_connection_may_stand_behind_the_command() {
        let cli = Cli::try_parse_from([
            "atoll",
            "get",
            "packages",
            "vim",
            "--endpoint",
            "127.0.0.1:1,127.0.0.1:2",
            "--json",
        ])
        .unwrap();
        assert_eq!(cli.connection.endpoints.len(), 2);
        assert!(cli.connection.json);
    }

    #[test]
    fn names_and_keys_are_checked_before_anything_is_sent() {
        let long = "x".repeat(1025);
        for arguments in [
            ["atoll", "get", "Bad_Name", "k"],
            ["atoll", "get", "packages", ""],
            ["atoll", "get", "packages", &long],
        ] {
            let error = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::ValueValidation, "{error}");
        }
    }

    #[test]
    fn every_command_explains_itself() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }
}

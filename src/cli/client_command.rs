//! The commands that talk to running nodes, and how they run: one runtime, one output, one way to report errors.

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::connection::ConnectionArgs;
use crate::cli::error::{CliError, Outcome};
use crate::cli::output::Output;
use crate::cli::{
    batch, config, conflicts, counter, delete, digest, get, keys, link, load, map, namespace, nodes, put,
    set, status,
};

/// Commands that talk to running nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Write a register
    Put(put::PutArgs),
    /// Read a register: its bytes to stdout, nothing added
    Get(get::GetArgs),
    /// Delete a register
    Delete(delete::DeleteArgs),
    /// Add to, read or reset a counter
    #[command(subcommand)]
    Counter(counter::CounterCommand),
    /// Change or read a set
    #[command(subcommand)]
    Set(set::SetCommand),
    /// Change or read a map, whose fields hold JSON
    #[command(subcommand)]
    Map(map::MapCommand),
    /// Make several writes to keys of one group, all or none
    Batch(batch::BatchArgs),
    /// List keys in byte order
    Keys(keys::KeysArgs),
    /// Configure or list namespaces
    #[command(subcommand)]
    Namespace(namespace::NamespaceCommand),
    /// Load records from a file or a pipe into registers
    Load(load::LoadArgs),
    /// Show regions, nodes, links, lag and backlog
    Status(status::StatusArgs),
    /// Tell whether all regions hold the same data
    Digest(digest::DigestArgs),
    /// Show the versions that lost a conflict, with their bytes
    Conflicts(conflicts::ConflictsArgs),
    /// Pause or resume the link to another region
    #[command(subcommand)]
    Link(link::LinkCommand),
    /// Show, add, drain or remove nodes of the region
    #[command(subcommand)]
    Node(nodes::NodeCommand),
    /// Show the configuration of a node, or let it read regions.toml again
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// What a client command works with.
pub(crate) struct Context {
    /// Which node to ask, and how.
    pub(crate) connection: ConnectionArgs,
    /// Where the result goes.
    pub(crate) output: Output,
}

/// Runs a command to its exit code.
pub(crate) fn run(connection: ConnectionArgs, command: ClientCommand) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            return CliError::Io {
                action: "start the runtime".to_owned(),
                source,
            }
            .report();
        }
    };
    let mut context = Context {
        connection,
        output: Output::stdout(),
    };
    let result = runtime.block_on(async {
        let outcome = Box::pin(command.run(&mut context)).await;
        // Also after an error: what was printed before it belongs to the reader.
        let flushed = context.output.flush();
        let outcome = outcome?;
        flushed.map(|()| outcome)
    });
    // A read of stdin that is still waiting must not hold the exit back.
    runtime.shutdown_background();
    match result {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => error.report(),
    }
}

impl ClientCommand {
    async fn run(self, context: &mut Context) -> Result<Outcome, CliError> {
        match self {
            Self::Put(args) => put::run(args, context).await,
            Self::Get(args) => get::run(args, context).await,
            Self::Delete(args) => delete::run(args, context).await,
            Self::Counter(command) => counter::run(command, context).await,
            Self::Set(command) => set::run(command, context).await,
            Self::Map(command) => map::run(command, context).await,
            Self::Batch(args) => batch::run(args, context).await,
            Self::Keys(args) => keys::run(args, context).await,
            Self::Namespace(command) => namespace::run(command, context).await,
            Self::Load(args) => load::run(args, context).await,
            Self::Status(args) => status::run(args, context).await,
            Self::Digest(args) => digest::run(args, context).await,
            Self::Conflicts(args) => conflicts::run(args, context).await,
            Self::Link(command) => link::run(command, context).await,
            Self::Node(command) => nodes::run(command, context).await,
            Self::Config(command) => config::run(command, context).await,
        }
    }
}

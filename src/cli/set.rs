//! `atoll set`: sets of text.

use clap::{Args, Subcommand};
use tokio::io::BufReader;

use crate::cli::args::{RecordArgs, parse_sub_key};
use crate::cli::client::Client;
use crate::cli::client::types::{PageQuery, SetChange, SetChanged};
use crate::cli::client_command::Context;
use crate::cli::error::{CliError, Outcome};
use crate::cli::limits::MEMBER_BATCH_BYTES_MAX;
use crate::cli::lines::LineReader;
use crate::cli::pages::Pages;
use crate::cli::text;
use crate::model::ids::SubKey;
use crate::model::limits::OPERATIONS_PER_REQUEST_MAX;

/// Subcommands of `set`.
#[derive(Debug, Subcommand)]
pub(crate) enum SetCommand {
    /// Add members
    #[command(after_help = "\
Examples:
  atoll set add carts alice milk bread
  seq 1000000 | atoll set add numbers all -")]
    Add(ChangeArgs),
    /// Remove members
    Remove(ChangeArgs),
    /// List the members in byte order, one per line, escaped as keys are by `atoll keys`
    Members(MembersArgs),
    /// Tell whether the set has a member: prints true or false, exit code 0 or 1
    Contains {
        #[command(flatten)]
        record: RecordArgs,
        /// The member
        #[arg(value_parser = parse_sub_key)]
        member: SubKey,
    },
}

/// Arguments of `set add` and `set remove`.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    record: RecordArgs,
    /// The members, each up to 1024 bytes of UTF-8; a single `-` reads them from stdin, one per line
    #[arg(required = true, value_parser = parse_sub_key)]
    members: Vec<SubKey>,
}

/// Arguments of `set members`.
#[derive(Debug, Args)]
pub(crate) struct MembersArgs {
    #[command(flatten)]
    record: RecordArgs,
    /// Only members after this one
    #[arg(long, value_name = "MEMBER")]
    after: Option<String>,
    /// At most so many; all if not given
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print members as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Add,
    Remove,
}

/// Runs `set`.
pub(crate) async fn run(command: SetCommand, context: &mut Context) -> Result<Outcome, CliError> {
    match command {
        SetCommand::Add(args) => change(args, Direction::Add, context).await,
        SetCommand::Remove(args) => change(args, Direction::Remove, context).await,
        SetCommand::Members(args) => members(args, context).await,
        SetCommand::Contains { record, member } => {
            let found = context
                .connection
                .client()?
                .set_contains(record.name(), &member)
                .await?;
            context.output.line(if found { "true" } else { "false" })?;
            Ok(Outcome::from(found))
        }
    }
}

async fn members(args: MembersArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let client = context.connection.client()?;
    let mut pages = Pages::new(args.after.clone(), args.limit);
    while pages.page_size() > 0 {
        let query = PageQuery {
            prefix: None,
            after: pages.after(),
            limit: pages.page_size(),
        };
        let page = client.members_page(args.record.name(), &query).await?;
        for member in &page.members {
            if context.connection.json {
                context.output.json(member)?;
            } else if args.raw {
                context.output.line(member)?;
            } else {
                context.output.line(&text::escape(member))?;
            }
        }
        context.output.flush()?;
        if !pages.advance(page.members.len(), page.next)? {
            break;
        }
    }
    Ok(Outcome::Success)
}

async fn change(args: ChangeArgs, direction: Direction, context: &mut Context) -> Result<Outcome, CliError> {
    let mut changer = Changer {
        client: context.connection.client()?,
        record: &args.record,
        direction,
        batch: Vec::new(),
        batch_bytes: 0,
        changed: SetChanged::default(),
    };
    let result = if matches!(args.members.as_slice(), [only] if only.as_str() == "-") {
        changer.change_from_stdin().await
    } else {
        changer.change_all(args.members.iter().cloned()).await
    };
    let SetChanged { added, removed } = changer.changed;
    let done = if direction == Direction::Add {
        added
    } else {
        removed
    };
    if context.connection.json {
        context.output.json(&changer.changed)?;
    } else if result.is_ok() || done > 0 {
        let verb = if direction == Direction::Add {
            "added"
        } else {
            "removed"
        };
        context
            .output
            .line(&format!("{} {verb}", text::plural(done, "member")))?;
    }
    // Adding and removing members is idempotent, so after an error the whole command may be repeated.
    result.map(|()| Outcome::Success)
}

/// Sends members in batches that fit a request.
struct Changer<'a> {
    client: Client,
    record: &'a RecordArgs,
    direction: Direction,
    batch: Vec<SubKey>,
    batch_bytes: usize,
    changed: SetChanged,
}

impl Changer<'_> {
    async fn change_all(&mut self, members: impl Iterator<Item = SubKey>) -> Result<(), CliError> {
        for member in members {
            self.push(member).await?;
        }
        self.send().await
    }

    async fn change_from_stdin(&mut self) -> Result<(), CliError> {
        let mut lines = LineReader::new(BufReader::new(tokio::io::stdin()));
        loop {
            let line = lines.next().await;
            let line = line.map_err(|source| CliError::Io {
                action: "read members from stdin".to_owned(),
                source,
            })?;
            let Some(line) = line else {
                return self.send().await;
            };
            let number = line.number;
            let bytes = line.bytes.unwrap_or_default();
            let member = std::str::from_utf8(&bytes)
                .map_err(|_| CliError::Input(format!("line {number} of stdin is not UTF-8")))?;
            let member = SubKey::new(member)
                .map_err(|error| CliError::Input(format!("line {number} of stdin: {error}")))?;
            self.push(member).await?;
        }
    }

    async fn push(&mut self, member: SubKey) -> Result<(), CliError> {
        self.batch_bytes += member.as_str().len();
        self.batch.push(member);
        if self.batch.len() >= OPERATIONS_PER_REQUEST_MAX || self.batch_bytes >= MEMBER_BATCH_BYTES_MAX {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), CliError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let members = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let change = match self.direction {
            Direction::Add => SetChange {
                add: &members,
                remove: &[],
            },
            Direction::Remove => SetChange {
                add: &[],
                remove: &members,
            },
        };
        let changed = self.client.set_change(self.record.name(), &change).await?;
        self.changed.added += changed.added;
        self.changed.removed += changed.removed;
        Ok(())
    }
}

//! Options that every client command understands: which node to ask, and with which guarantees.

use clap::{Args, ValueEnum};

use crate::cli::client::{Client, ClientError};
use crate::cli::endpoints::BaseUrl;

/// Which node to ask and how to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectionArgs {
    /// The node to talk to; may be given several times
    ///
    /// Commands on data use the first one; `status` and `digest` ask all of them; `load` spreads its connections over
    /// them. Without it: http://127.0.0.1:8101.
    #[arg(
        long = "endpoint",
        env = "ATOLL_ENDPOINT",
        value_name = "URL",
        value_delimiter = ',',
        global = true,
        help_heading = "Connection"
    )]
    pub(crate) endpoints: Vec<BaseUrl>,

    /// Print JSON for scripts, where output has structure
    #[arg(long, global = true, help_heading = "Connection")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) options: RequestOptions,
}

/// Guarantees and deadlines of requests.
#[derive(Debug, Clone, Args)]
pub(crate) struct RequestOptions {
    /// What must hold before a write is acknowledged or a read answered; the namespace's default if not given
    #[arg(long, value_name = "LEVEL", global = true, help_heading = "Connection")]
    pub(crate) consistency: Option<Consistency>,

    /// Session token of an earlier answer (`--json` shows it): this request sees at least what that one did
    #[arg(long, value_name = "TOKEN", global = true, help_heading = "Connection")]
    pub(crate) session: Option<String>,

    /// Deadline that the node gets for each request
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5000,
        value_parser = clap::value_parser!(u64).range(1..=600_000),
        global = true,
        help_heading = "Connection"
    )]
    pub(crate) timeout_ms: u64,
}

/// The consistency levels of the HTTP contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Consistency {
    /// This node's applied state, no check
    Eventual,
    /// A majority of the region's nodes
    LocalQuorum,
    /// A majority of all regions
    GlobalQuorum,
    /// The namespace's home region
    Strong,
}

impl Consistency {
    /// The name in headers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::LocalQuorum => "local_quorum",
            Self::GlobalQuorum => "global_quorum",
            Self::Strong => "strong",
        }
    }
}

impl ConnectionArgs {
    /// The node that commands on data talk to.
    pub(crate) fn first_endpoint(&self) -> BaseUrl {
        self.endpoints
            .first()
            .cloned()
            .unwrap_or_else(BaseUrl::default_node)
    }

    /// A client of that node.
    pub(crate) fn client(&self) -> Result<Client, ClientError> {
        Client::new(self.first_endpoint(), &self.options)
    }
}

#[cfg(test)]
impl ConnectionArgs {
    /// The defaults, against one node.
    pub(crate) fn for_test(endpoint: BaseUrl) -> Self {
        let options = RequestOptions {
            consistency: None,
            session: None,
            timeout_ms: 5000,
        };
        Self {
            endpoints: vec![endpoint],
            json: false,
            options,
        }
    }
}

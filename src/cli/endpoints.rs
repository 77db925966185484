//! Which nodes a command asks: from `--endpoint`, and for whole-cluster commands from `regions.toml`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use reqwest::Url;

use crate::cli::error::CliError;
use crate::config::ClusterConfig;

/// The node that is asked when nobody names one: the first region of `scripts/dev`.
const DEFAULT_NODE: &str = "http://127.0.0.1:8101";

/// The configuration that is looked for when nobody names one.
const DEFAULT_CONFIG: &str = "regions.toml";

/// Where a node's HTTP is: `http://host:port`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BaseUrl(String);

/// Why an endpoint was not accepted. The message says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    /// TLS.
    #[error("{0} needs TLS, which this client does not speak: use http://, through a tunnel if need be")]
    Tls(String),
    /// Anything else.
    #[error("{0:?} is not an endpoint: use http://HOST:PORT, such as {DEFAULT_NODE}")]
    Invalid(String),
}

impl BaseUrl {
    /// The node that is asked when nobody names one.
    pub(crate) fn default_node() -> Self {
        Self(DEFAULT_NODE.to_owned())
    }
}

impl FromStr for BaseUrl {
    type Err = EndpointError;

    /// Takes `http://host:port` and, since people type it, `host:port`.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let invalid = || EndpointError::Invalid(text.to_owned());
        let trimmed = text.trim();
        let with_scheme = if trimmed.contains("://") {
            trimmed.to_owned()
        } else {
            format!("http://{trimmed}")
        };
        let url = Url::parse(&with_scheme).map_err(|_| invalid())?;
        match url.scheme() {
            "http" => {}
            "https" => return Err(EndpointError::Tls(text.to_owned())),
            _ => return Err(invalid()),
        }
        let plain = url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if plain {
            Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
        } else {
            Err(invalid())
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node to ask, and the region it should be in, as far as the configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Known before it answers only from `regions.toml`.
    pub(crate) region: Option<String>,
    /// Where it is.
    pub(crate) url: BaseUrl,
}

/// Where whole-cluster commands find the nodes.
#[derive(Debug, Clone, Args)]
pub(crate) struct SurveyArgs {
    /// The cluster's configuration: its nodes are asked, and those of --endpoint [default: regions.toml in this folder,
    /// unless --endpoint is given]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl SurveyArgs {
    /// The nodes to ask.
    ///
    /// A `regions.toml` that merely lies in the folder is not used when endpoints are given: it may be of another
    /// cluster, and mixing two would make `digest` report a difference that does not exist.
    pub(crate) fn endpoints(&self, given: &[BaseUrl]) -> Result<Vec<Endpoint>, CliError> {
        let configured = match &self.config {
            Some(path) => configured(path)?,
            None if given.is_empty() && Path::new(DEFAULT_CONFIG).is_file() => {
                configured(Path::new(DEFAULT_CONFIG))?
            }
            None => Vec::new(),
        };
        endpoints(given, configured)
    }
}

/// Region and base URL of each node in a configuration.
fn configured(path: &Path) -> Result<Vec<(String, String)>, CliError> {
    let config = ClusterConfig::load(path)?;
    Ok(config
        .nodes()
        .map(|(region, node)| (region.id.to_string(), format!("http://{}", node.http)))
        .collect())
}

/// Joins what was given with what is configured, each node once; the default node where there is neither.
fn endpoints(given: &[BaseUrl], configured: Vec<(String, String)>) -> Result<Vec<Endpoint>, CliError> {
    let mut seen = BTreeSet::new();
    let mut endpoints = Vec::new();
    for (region, url) in configured {
        let url: BaseUrl = url
            .parse()
            .map_err(|error: EndpointError| CliError::Usage(error.to_string()))?;
        if seen.insert(url.clone()) {
            endpoints.push(Endpoint {
                region: Some(region),
                url,
            });
        }
    }
    for url in given {
        if seen.insert(url.clone()) {
            endpoints.push(Endpoint {
                region: None,
                url: url.clone(),
            });
        }
    }
    if endpoints.is_empty() {
        endpoints.push(Endpoint {
            region: None,
            url: BaseUrl::default_node(),
        });
    }
    Ok(endpoints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> BaseUrl {
        text.parse().unwrap()
    }

    #[test]
    fn endpoints_are_normalised() {
        for text in [
            "http://127.0.0.1:8101/",
            "127.0.0.1:8101",
            " HTTP://127.0.0.1:8101 ",
        ] {
            assert_eq!(url(text).to_string(), "http://127.0.0.1:8101");
        }
        assert_eq!(url("localhost:8101").to_string(), "http://localhost:8101");
        assert_eq!(url("http://[::1]:8101").to_string(), "http://[::1]:8101");
        assert_eq!(url("http://gateway/atoll/").to_string(), "http://gateway/atoll");
    }

    #[test]
    fn wrong_endpoints_say_what_is_right() {
        for bad in [
            "",
            "http://",
            "ftp://x",
            "http://user@host:1",
            "http://host:1?x=1",
            "http://host:99999",
            "a b",
        ] {
            let error = bad.parse::<BaseUrl>().unwrap_err().to_string();
            assert!(error.contains("http://HOST:PORT"), "{bad}: {error}");
        }
        assert!(
            "https://host:1"
                .parse::<BaseUrl>()
                .unwrap_err()
                .to_string()
                .contains("TLS")
        );
    }

    #[test]
    fn configured_and_given_nodes_are_asked_once_each() {
        let configured = vec![("us-east".to_owned(), "http://127.0.0.1:8101".to_owned())];
        let asked = endpoints(&[url("127.0.0.1:8101/"), url("127.0.0.1:8102")], configured).unwrap();
        assert_eq!(
            asked,
            [
                Endpoint {
                    region: Some("us-east".to_owned()),
                    url: url("http://127.0.0.1:8101")
                },
                Endpoint {
                    region: None,
                    url: url("http://127.0.0.1:8102")
                },
            ]
        );
        assert_eq!(
            endpoints(&[], Vec::new()).unwrap()[0].url,
            BaseUrl::default_node()
        );
    }

    #[test]
    fn a_configuration_names_the_node_of_each_region() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("regions.toml");
        let text = "cluster = \"test\"\n[[region]]\nid = \"us-east\"\n[[region.node]]\nid = \"us-east-1\"\n\
                    http = \"127.0.0.1:8101\"\nquic = \"127.0.0.1:9101\"\n";
        std::fs::write(&path, text).unwrap();
        assert_eq!(
            configured(&path).unwrap(),
            [("us-east".to_owned(), "http://127.0.0.1:8101".to_owned())]
        );
        let missing = SurveyArgs {
            config: Some(folder.path().join("none.toml")),
        };
        assert!(
            missing
                .endpoints(&[])
                .unwrap_err()
                .describe()
                .contains("none.toml")
        );
    }
}

//! `atoll digest`: the proof that all regions hold the same data, or where they do not.

mod compare;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::ClientError;
use crate::cli::client::cluster::RegionDigest;
use crate::cli::client_command::Context;
use crate::cli::endpoints::SurveyArgs;
use crate::cli::error::{CliError, Outcome};
use crate::cli::survey::{self, Surveyed};
use crate::cli::text;
use compare::{Comparison, Verdict, compare};

/// Pause between two looks with `--wait`.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Hexadecimal digits of a root that are shown: 48 bits tell regions apart for the eye; the comparison uses all.
const ROOT_DIGITS_SHOWN: usize = 12;

/// Arguments of `digest`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atoll digest                     the regions of ./regions.toml
  atoll digest --wait 10           give replication up to 10 seconds to catch up
  atoll digest --endpoint http://127.0.0.1:8101 --endpoint http://127.0.0.1:8102

The exit code is 0 if all regions answered and are equal, else 1: what was not compared is not called equal. While \
clients write, regions differ by what is on its way; a partition that differs although both regions have applied the \
same changes has really diverged, and is named so.")]
pub(crate) struct DigestArgs {
    #[command(flatten)]
    survey: SurveyArgs,
    /// Ask again until the regions are equal, at most so long
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: Option<u64>,
}

/// The digests of the regions that answered, and why others did not.
#[derive(Debug, Default)]
struct Survey {
    digests: BTreeMap<String, RegionDigest>,
    missing: BTreeMap<String, String>,
}

/// Runs `digest`.
pub(crate) async fn run(args: DigestArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let endpoints = args.survey.endpoints(&context.connection.endpoints)?;
    let nodes = survey::prepare(endpoints, &context.connection.options)?;
    let deadline = args
        .wait
        .map(|seconds| tokio::time::Instant::now() + Duration::from_secs(seconds));
    let (survey, comparison) = loop {
        let survey = ask(&nodes).await;
        let comparison = compare(&survey.digests, survey.missing.len());
        let may_wait = deadline.is_some_and(|deadline| tokio::time::Instant::now() < deadline);
        if comparison.verdict == Verdict::Equal || !may_wait {
            break (survey, comparison);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    if context.connection.json {
        context.output.json(&as_json(&survey, &comparison))?;
    } else {
        for line in describe(&survey, &comparison) {
            context.output.line(&line)?;
        }
    }
    Ok(Outcome::from(comparison.verdict == Verdict::Equal))
}

async fn ask(nodes: &[Surveyed]) -> Survey {
    let answers = survey::ask_all(nodes, async |client| client.digest().await).await;
    gather(
        nodes
            .iter()
            .map(|node| (node.endpoint.region.clone(), node.endpoint.url.to_string()))
            .zip(answers),
    )
}

/// One digest for each region: any node answers for its region, so a region is missing only if none of its nodes did.
fn gather(
    answers: impl Iterator<
        Item = (
            (Option<String>, String),
            Result<(Option<String>, RegionDigest), ClientError>,
        ),
    >,
) -> Survey {
    let mut survey = Survey::default();
    for ((configured, url), answer) in answers {
        match answer {
            Ok((said, digest)) => {
                survey
                    .digests
                    .entry(said.or(configured).unwrap_or(url))
                    .or_insert(digest);
            }
            Err(error) => {
                survey
                    .missing
                    .entry(configured.unwrap_or(url))
                    .or_insert_with(|| error.reason());
            }
        }
    }
    survey
        .missing
        .retain(|region, _| !survey.digests.contains_key(region));
    survey
}

fn describe(survey: &Survey, comparison: &Comparison) -> Vec<String> {
    let names = survey.digests.keys().chain(survey.missing.keys());
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (region, digest) in &survey.digests {
        let root: String = digest.root.chars().take(ROOT_DIGITS_SHOWN).collect();
        lines.push(format!(
            "{:width$}  {}",
            text::escape(region),
            text::escape(&root)
        ));
    }
    for (region, reason) in &survey.missing {
        lines.push(format!("{region:width$}  unreachable: {}", text::escape(reason)));
    }
    lines.push(match comparison.verdict {
        Verdict::Equal => "equal".to_owned(),
        Verdict::Different => "NOT equal".to_owned(),
        Verdict::Unknown if survey.digests.len() > 1 => {
            "unknown: equal as far as regions answered".to_owned()
        }
        Verdict::Unknown if survey.missing.is_empty() => {
            "unknown: one region has nothing to be compared with; pass --config or several --endpoint"
                .to_owned()
        }
        Verdict::Unknown => "unknown: too few regions answered".to_owned(),
    });
    if !comparison.catching_up.is_empty() {
        lines.push(format!(
            "partitions that differ, changes on their way: {}",
            text::ranges(&comparison.catching_up)
        ));
    }
    if !comparison.diverged.is_empty() {
        lines.push(format!(
            "partitions that DIVERGED, same changes applied but other data: {}",
            text::ranges(&comparison.diverged)
        ));
    }
    if comparison.partition_counts_differ {
        lines.push("the regions have different partition counts: they are not of one cluster".to_owned());
    }
    lines
}

fn as_json(survey: &Survey, comparison: &Comparison) -> Value {
    let equal = match comparison.verdict {
        Verdict::Equal => Value::Bool(true),
        Verdict::Different => Value::Bool(false),
        Verdict::Unknown => Value::Null,
    };
    json!({
        "equal": equal,
        "roots": survey.digests.iter().map(|(region, digest)| (region.clone(), json!(digest.root))).collect::<serde_json::Map<_, _>>(),
        "unreachable": survey.missing,
        "partitions_catching_up": comparison.catching_up,
        "partitions_diverged": comparison.diverged,
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::cli::connection::ConnectionArgs;
    use crate::cli::endpoints::Endpoint;
    use crate::cli::fake_node::{self, unreachable_url};

    async fn region(name: &'static str, root: &'static str) -> Endpoint {
        let answer = async move || {
            let body = json!({ "root": root, "partitions": ["00", root], "vector": [{}, { "us-east": 1 }] });
            ([("atoll-region", name)], axum::Json(body))
        };
        let url = fake_node::start(Router::new().route("/v1/cluster/digest", get(answer))).await;
        Endpoint { region: None, url }
    }

    async fn survey_of(endpoints: Vec<Endpoint>) -> (Survey, Comparison) {
        let options = ConnectionArgs::for_test(endpoints[0].url.clone()).options;
        let survey = ask(&survey::prepare(endpoints, &options).unwrap()).await;
        let comparison = compare(&survey.digests, survey.missing.len());
        (survey, comparison)
    }

    #[tokio::test]
    async fn equal_regions_are_called_equal() {
        let (survey, comparison) = survey_of(vec![
            region("us-east", "0123456789abcdef").await,
            region("eu-west", "0123456789abcdef").await,
        ])
        .await;
        assert_eq!(
            describe(&survey, &comparison),
            ["eu-west  0123456789ab", "us-east  0123456789ab", "equal"]
        );
        assert_eq!(as_json(&survey, &comparison)["equal"], true);
    }

    #[tokio::test]
    async fn a_difference_names_the_partitions() {
        let (survey, comparison) =
            survey_of(vec![region("us-east", "aa").await, region("eu-west", "bb").await]).await;
        let lines = describe(&survey, &comparison);
        assert!(lines.contains(&"NOT equal".to_owned()), "{lines:?}");
        assert!(lines.last().unwrap().ends_with("other data: 1"), "{lines:?}");
    }

    #[tokio::test]
    async fn a_region_that_did_not_answer_is_not_called_equal() {
        let dead = Endpoint {
            region: Some("ap-south".to_owned()),
            url: unreachable_url(),
        };
        let endpoints = vec![region("us-east", "aa").await, region("eu-west", "aa").await, dead];
        let (survey, comparison) = survey_of(endpoints).await;
        assert_eq!(comparison.verdict, Verdict::Unknown);
        let lines = describe(&survey, &comparison);
        assert!(
            lines.contains(&"ap-south  unreachable: connection refused".to_owned()),
            "{lines:?}"
        );
        assert_eq!(as_json(&survey, &comparison)["equal"], Value::Null);
    }

    #[tokio::test]
    async fn another_node_of_a_region_answers_for_a_dead_one() {
        let dead = Endpoint {
            region: Some("us-east".to_owned()),
            url: unreachable_url(),
        };
        let (survey, comparison) = survey_of(vec![
            dead,
            region("us-east", "aa").await,
            region("eu-west", "aa").await,
        ])
        .await;
        assert!(survey.missing.is_empty());
        assert_eq!(comparison.verdict, Verdict::Equal);
    }
}

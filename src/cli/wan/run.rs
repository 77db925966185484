//! Running the relay: starts it, says where nodes must dial and how it is changed, and waits for a signal.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;

use super::RelayArgs;
use super::table::table_with_addresses;
use crate::cli::node::signals::StopSignals;
use crate::cli::node::{fail, runtime};
use crate::config::{ClusterConfig, ConfigError, LinkShape};
use crate::node::{LogFormat, init_telemetry};
use crate::wan::document::ShapeDocument;
use crate::wan::{Relay, RelayError, RelayOptions};

/// Why the relay did not run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error("the process cannot run")]
    Io(#[from] std::io::Error),
}

impl RelayArgs {
    /// Runs until a signal.
    pub(super) fn run(self, as_json: bool) -> ExitCode {
        init_telemetry(LogFormat::Text);
        let result = runtime()
            .map_err(RunError::from)
            .and_then(|runtime| runtime.block_on(self.relay(as_json)));
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        }
    }

    async fn relay(self, as_json: bool) -> Result<(), RunError> {
        let mut signals = StopSignals::new()?;
        let config = ClusterConfig::load(&self.config)?;
        let options = RelayOptions {
            listen: self.listen,
            first_port: self.first_port,
            control: self.control,
            seed: self.seed,
        };
        let relay = Relay::start(&config, &options).await?;
        let text = if as_json {
            let control = format!("http://{}", relay.control_address());
            json!({ "control": control, "links": relay.links() }).to_string()
        } else {
            welcome(&relay)
        };
        // Whoever has closed the output may still want the relay.
        let _ = writeln!(std::io::stdout(), "{text}");
        signals.next().await;
        Ok(())
    }
}

/// How a running relay is changed.
pub(crate) fn how_to_change(relay: &Relay) -> String {
    let control = relay.control_address();
    let links = relay.links();
    let Some(first) = links.first() else {
        return "There is one region only, so there is no link to change.".to_owned();
    };
    let (from, to) = (first.from, first.to);
    let plain = ShapeDocument::from(LinkShape::default());
    let advice = if links.iter().all(|link| link.shape == plain) {
        "The configuration has no [[link]], so all packets pass at once. "
    } else {
        ""
    };
    let elsewhere = if control.to_string() == super::DEFAULT_CONTROL {
        String::new()
    } else {
        format!(" --control {control}")
    };
    format!(
        "{advice}Change the links while it runs:\n\n  \
         atoll wan set {from} {to} --rtt 180 --loss 1{elsewhere}\n  \
         atoll wan cut {from} {to}{elsewhere}\n  \
         atoll wan heal {from} {to}{elsewhere}\n  \
         curl http://{control}/links\n  \
         curl -X PUT 'http://{control}/links/{from}/{to}?both=true' -d '{{\"round_trip_ms\": 180, \"loss_percent\": 1}}'\n  \
         curl -X PUT http://{control}/links/{from}/{to} -d '{{\"cut\": true}}'"
    )
}

fn welcome(relay: &Relay) -> String {
    let links = relay.links();
    let mut text = format!(
        "\nThe relay passes packets between the regions; its control is http://{}.\n\n{}\n",
        relay.control_address(),
        table_with_addresses(&links)
    );
    text.push_str("\nStart each node so that it dials the others through it:\n\n");
    let mut from = None;
    for link in &links {
        if from != Some(link.from) {
            from = Some(link.from);
            let _ = write!(text, "{}  atoll serve --region {} …", line_end(&text), link.from);
        }
        for path in &link.paths {
            let _ = write!(text, " --peer {}={}", link.dialled(path), path.listen);
        }
    }
    let _ = write!(text, "\n\n{}\n\nStop with Ctrl-C.\n", how_to_change(relay));
    text
}

/// What ends a line that is not ended yet.
fn line_end(text: &str) -> &'static str {
    if text.ends_with('\n') { "" } else { "\n" }
}

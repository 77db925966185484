//! The configuration file of a node that runs: read again on demand, checked, and handed to whoever runs the node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;

use crate::actors::error_chain;
use crate::actors::region::{Configuration, ConfigurationView, RegionError};
use crate::config::{ClusterConfig, ConfigError};
use crate::model::ids::{NodeId, RegionId};

/// Reads the configuration anew.
pub type LoadConfig = Box<dyn Fn() -> Result<ClusterConfig, ConfigError> + Send + Sync>;

struct State {
    config: ClusterConfig,
    version: String,
    since: SystemTime,
    next: Option<(String, ClusterConfig)>,
    error: Option<String>,
}

/// A configuration file.
pub struct ConfigFile {
    region: RegionId,
    node: NodeId,
    load: LoadConfig,
    state: Mutex<State>,
    wanted: Notify,
}

impl std::fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConfigFile({})", self.node)
    }
}

/// Names what is in a configuration.
#[must_use]
pub fn version_of(config: &ClusterConfig) -> String {
    // What the parser has made of the file: comments and order are no part of it.
    let hash = blake3::hash(format!("{config:?}").as_bytes());
    hash.to_hex()[..12].to_owned()
}

impl ConfigFile {
    /// The file that a node starts with.
    #[must_use]
    pub fn new(config: ClusterConfig, region: RegionId, node: NodeId, load: LoadConfig) -> Arc<Self> {
        let state = State {
            version: version_of(&config),
            config,
            since: SystemTime::now(),
            next: None,
            error: None,
        };
        Arc::new(Self {
            region,
            node,
            load,
            state: Mutex::new(state),
            wanted: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until another configuration is to be put into force.
    pub async fn wanted(&self) -> ClusterConfig {
        loop {
            if let Some((_, config)) = &self.lock().next {
                return config.clone();
            }
            self.wanted.notified().await;
        }
    }

    /// What came of it: the configuration is in force, or the one before goes on.
    pub fn settle(&self, result: Result<(), String>) {
        let mut state = self.lock();
        let Some((version, config)) = state.next.take() else {
            return;
        };
        match result {
            Ok(()) => {
                (state.config, state.version) = (config, version);
                state.since = SystemTime::now();
                state.error = None;
            }
            Err(error) => state.error = Some(error),
        }
    }

    fn try_reload(&self, members: &[String]) -> Result<(), String> {
        let config = (self.load)().map_err(|error| error_chain(&error))?;
        let mut state = self.lock();
        if state.next.is_some() {
            return Err("another one is being put into force: try again in a second".to_owned());
        }
        let may = state.config.may_become(&config, self.region, self.node, members);
        may.map_err(|error| error.to_string())?;
        let version = version_of(&config);
        // Only what is different costs anything.
        if version != state.version {
            state.next = Some((version, config));
            self.wanted.notify_one();
        }
        state.error = None;
        Ok(())
    }
}

impl Configuration for ConfigFile {
    fn view(&self) -> ConfigurationView {
        let state = self.lock();
        ConfigurationView {
            version: state.version.clone(),
            since: state.since,
            next: state.next.as_ref().map(|(version, _)| version.clone()),
            error: state.error.clone(),
        }
    }

    fn reload(&self, members: &[String]) -> Result<ConfigurationView, RegionError> {
        match self.try_reload(members) {
            Ok(()) => Ok(self.view()),
            Err(error) => {
                self.lock().error = Some(error.clone());
                Err(RegionError::Conflict(format!(
                    "the configuration stays as it is: {error}"
                )))
            }
        }
    }
}

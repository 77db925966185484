//! The configuration that a node runs with, and reading it again.

use std::time::SystemTime;

use crate::actors::region::RegionError;

/// What is known of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationView {
    /// Names the contents of the file that is in force: equal on nodes that run with equal files.
    pub version: String,
    /// Since when.
    pub since: SystemTime,
    /// What is being put into force, if anything is.
    pub next: Option<String>,
    /// Why what was read last is not in force.
    pub error: Option<String>,
}

/// The configuration of a node that may be able to read it again.
pub trait Configuration: Send + Sync + 'static {
    /// What is in force.
    fn view(&self) -> ConfigurationView;

    /// Reads the file again, checks it, and puts it into force soon: [`Self::view`] tells when. `members` are the nodes that
    /// take part in the region.
    ///
    /// # Errors
    /// [`RegionError::Conflict`] with what is wrong; everything stays as it is.
    fn reload(&self, members: &[String]) -> Result<ConfigurationView, RegionError>;
}

/// One that stays as it is.
#[derive(Debug, Clone)]
pub struct FixedConfiguration {
    /// See [`ConfigurationView::version`].
    pub version: String,
    /// Since when.
    pub since: SystemTime,
}

impl Configuration for FixedConfiguration {
    fn view(&self) -> ConfigurationView {
        ConfigurationView {
            version: self.version.clone(),
            since: self.since,
            next: None,
            error: None,
        }
    }

    fn reload(&self, _: &[String]) -> Result<ConfigurationView, RegionError> {
        Err(RegionError::Conflict(
            "this node reads its configuration only when it starts (as in `atoll dev`): stop it and start it again"
                .to_owned(),
        ))
    }
}

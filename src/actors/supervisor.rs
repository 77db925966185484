//! The root of a node's actors. A child that fails is shown and logged; the others go on.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::actors::context::NodeContext;

/// The root actor; it gets no messages, only news of its children.
#[derive(Debug)]
pub struct Supervisor;

/// Nothing is ever sent to the root.
#[derive(Debug)]
pub enum Never {}

impl Actor for Supervisor {
    type Msg = Never;
    type State = Arc<NodeContext>;
    type Arguments = Arc<NodeContext>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Never>,
        context: Arc<NodeContext>,
    ) -> Result<Arc<NodeContext>, ActorProcessingErr> {
        Ok(context)
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Never>,
        event: SupervisionEvent,
        context: &mut Arc<NodeContext>,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(child, error) = event {
            tracing::error!(region = %context.identity.region, child = %child.get_id(), %error, "an actor failed");
            context.failures.note(error.to_string());
        }
        Ok(())
    }
}

//! Batches: several writes that become changes of one commit, or none at all.

use crate::model::mutation::{self, Mutation};
use crate::model::request::{BatchRefusal, WriteAnswer, WriteRequest};
use crate::model::workspace::{ApplyError, Preparation, RowSource, Workspace};

impl Preparation {
    /// Turns writes into consecutive changes, in the order given: each sees what those before it have done. When one is
    /// refused, all of them are: workspace and commit are as they were before.
    ///
    /// # Errors
    /// The outer one when rows cannot be read: the workspace must be dropped. The inner one names the write that was
    /// refused: nothing of any was done.
    pub fn execute_all<S: RowSource>(
        &mut self,
        workspace: &mut Workspace<'_, S>,
        writes: &[WriteRequest],
    ) -> Result<Result<Vec<WriteAnswer>, BatchRefusal>, ApplyError<S::Error>> {
        // A single write is refused before it has done anything.
        let is_batch = writes.len() > 1;
        if is_batch {
            workspace.begin();
        }
        let changes = self.commit.changes.len();
        let mut answers = Vec::with_capacity(writes.len());
        for (position, write) in writes.iter().enumerate() {
            match self.execute(workspace, write)? {
                Ok(answer) => answers.push(answer),
                Err(refusal) => {
                    if !mutation::is_on(Mutation::KeepRefusedBatch) {
                        workspace.take_back();
                        self.commit.changes.truncate(changes);
                    }
                    workspace.keep();
                    return Ok(Err(BatchRefusal { position, refusal }));
                }
            }
        }
        workspace.keep();
        Ok(Ok(answers))
    }
}

#[cfg(test)]
#[path = "batch_test.rs"]
mod tests;

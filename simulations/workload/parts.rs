//! What clients do to the members of sets and the fields of maps: few of each, so that they meet.

use atoll::model::record::RecordId;

use super::client::{Client, Memory};
use crate::evidence::{Action, Condition};

/// Members and fields that a set or map has at most.
const PARTS: u64 = 4;

impl Client {
    /// An add or removal of one member on a condition.
    pub(super) fn conditional_member(
        &mut self,
        is_delete: bool,
        record: &RecordId,
        memory: &Memory,
    ) -> Action {
        let member = self.parts("e", 1, 1).remove(0);
        let name = (record.clone(), Some(member.clone()));
        let condition = self.condition(memory.tags.get(&name));
        let (mut add, mut remove) = (vec![member], Vec::new());
        if is_delete {
            std::mem::swap(&mut add, &mut remove);
        }
        Action::ChangeMembers {
            add,
            remove,
            condition,
        }
    }

    fn parts(&mut self, prefix: &str, from: u64, to: u64) -> Vec<String> {
        let mut parts: Vec<String> = (0..PARTS).map(|part| format!("{prefix}{part}")).collect();
        let count = usize::try_from(self.dice.between(from, to)).unwrap_or(0);
        while parts.len() > count {
            let index = usize::try_from(self.dice.below(parts.len() as u64)).unwrap_or(0);
            parts.remove(index);
        }
        parts
    }

    pub(super) fn set_action(&mut self, is_read: bool, is_delete: bool) -> Action {
        if is_read {
            return if self.dice.percent(50) {
                Action::Members
            } else {
                let member = self.parts("e", 1, 1).remove(0);
                Action::Contains { member }
            };
        }
        let (mut add, mut remove) = (self.parts("e", 1, 3), Vec::new());
        if is_delete {
            std::mem::swap(&mut add, &mut remove);
        } else if self.dice.percent(20) {
            remove = self.parts("e", 1, 2);
            remove.retain(|member| !add.contains(member));
        }
        Action::ChangeMembers {
            add,
            remove,
            condition: Condition::None,
        }
    }

    pub(super) fn map_action(&mut self, is_read: bool, is_delete: bool, unique: &str) -> Action {
        if is_read {
            return Action::Fields;
        }
        let fields = self.parts("f", 1, 3);
        if is_delete {
            return Action::ChangeFields {
                set: Vec::new(),
                remove: fields,
            };
        }
        let set = fields
            .into_iter()
            .map(|field| {
                let value = format!("\"{unique}-{field}\"");
                (field, value)
            })
            .collect();
        Action::ChangeFields {
            set,
            remove: Vec::new(),
        }
    }
}

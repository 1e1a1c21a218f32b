//! Redrives: an execution that ended without success goes on where it ended
//! (Step Functions Developer Guide, "Redriving executions"). What succeeded is
//! not done again; retriers count from 0.

use super::frame::{Activity, Frame, FrameId, Parent};
use super::{Execution, Status};
use crate::event::{EventKind, ExecutionRedriven};

impl Execution {
    /// Whether a redrive would do anything.
    #[must_use]
    pub fn is_redrivable(&self) -> bool {
        self.status != Status::Running && self.wreck.is_some() && !self.is_history_full()
    }

    pub(super) fn redrive(&mut self) {
        if !self.is_redrivable() {
            return;
        }
        let Some(wreck) = self.wreck.take() else { return };
        self.status = Status::Running;
        self.identity.redrive_count += 1;
        self.identity.redriven = Some(Box::new(self.now));
        let redrive_count = self.identity.redrive_count;
        let redriven = EventKind::ExecutionRedriven(ExecutionRedriven { redrive_count });
        let previous = self.emit(self.last_event, redriven);
        self.set_deadline();
        self.revive(None, wreck, previous);
    }

    /// Lets a strand go on; its next event points to `previous`.
    fn revive(&mut self, parent: Option<Parent>, mut frame: Box<Frame>, previous: u64) -> FrameId {
        let id = FrameId(self.next_id());
        frame.parent = parent;
        frame.previous = previous;
        frame.retries.clear();
        match std::mem::replace(&mut frame.activity, Activity::Redriven) {
            Activity::Children(mut children) => {
                let mut wrecks = std::mem::take(&mut children.wrecks);
                wrecks.sort_by_key(|(slot, _)| *slot);
                for (slot, child) in wrecks {
                    let parent = Parent { frame: id, slot };
                    children
                        .running
                        .insert(slot, self.revive(Some(parent), child, previous));
                }
                // All of them succeeded; what failed is the state itself.
                if children.running.is_empty() {
                    self.ready.push_back(id);
                }
                frame.activity = Activity::Children(children);
            }
            Activity::MapRun(run) => self.redrive_map_run(id, &mut frame, run),
            _ => {
                if frame.entered_event == 0 {
                    frame.activity = Activity::Entering;
                }
                self.ready.push_back(id);
            }
        }
        self.frames.insert(id, frame);
        id
    }

    /// Takes the strands of an execution that is stopped or out of time.
    pub(super) fn salvage(&mut self) -> Option<Box<Frame>> {
        let root = *self.frames.iter().find(|(_, frame)| frame.parent.is_none())?.0;
        self.dismantle(root)
    }

    /// A strand with those below it inside.
    fn dismantle(&mut self, id: FrameId) -> Option<Box<Frame>> {
        let mut frame = self.frames.remove(&id)?;
        if let Activity::Children(children) = &mut frame.activity {
            for (slot, child) in std::mem::take(&mut children.running) {
                if let Some(child) = self.dismantle(child) {
                    children.wrecks.push((slot, child));
                }
            }
        }
        Some(frame)
    }
}

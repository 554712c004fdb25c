//! The process group of a child: what is ended together.

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A child, and on Unix all that it started and that stayed in its group. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Group {
    #[cfg(unix)]
    leader: Option<Pid>,
    #[cfg(unix)]
    own: bool,
}

#[cfg(unix)]
impl Group {
    /// `own`: the child leads a group of its own, otherwise it is in ours, which is never signalled as a whole.
    pub(super) fn of(child: &tokio::process::Child, own: bool) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { leader, own }
    }

    /// Asks for an end; false where nobody could be asked.
    pub(super) fn terminate(&self) -> bool {
        let Some(leader) = self.leader else { return false };
        let asked =
            if self.own { kill_process_group(leader, Signal::TERM) } else { kill_process(leader, Signal::TERM) };
        asked.is_ok()
    }

    /// Passes a signal on. One that the terminal sends reaches who shares our group by itself.
    pub(super) fn pass_on(&self, number: i32) {
        const FROM_TERMINAL: [Signal; 2] = [Signal::INT, Signal::QUIT];
        let (Some(leader), Some(signal)) = (self.leader, Signal::from_named_raw(number)) else { return };
        // Who has ended in this moment needs no signal.
        let _ = match self.own {
            true => kill_process_group(leader, signal),
            false if FROM_TERMINAL.contains(&signal) => Ok(()),
            false => kill_process(leader, signal),
        };
    }

    /// Ends what is left of the group, once: the number may be another's later.
    pub(super) fn kill(&mut self) {
        if let Some(leader) = self.leader.take().filter(|_| self.own) {
            // That there is nobody left is the usual case.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

#[cfg(not(unix))]
impl Group {
    pub(super) fn of(_: &tokio::process::Child, _: bool) -> Self {
        Self {}
    }

    pub(super) fn terminate(&self) -> bool {
        false
    }

    pub(super) fn pass_on(&self, _: i32) {}

    pub(super) fn kill(&mut self) {}
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

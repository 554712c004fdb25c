//! The exit codes under which a command passes on what became of its child, as `env`, `timeout` and shells do.

use super::Status;

/// The child was ended at its time limit (as `timeout` says it).
pub const TIMED_OUT: u8 = 124;
/// What went wrong is ours, not the child's.
pub const OUR_FAILURE: u8 = 125;
/// The program was found and cannot be run.
pub const NOT_EXECUTABLE: u8 = 126;
/// There is no such program.
pub const NOT_FOUND: u8 = 127;
/// Added to the number of the signal that ended the child.
pub const SIGNALLED: u8 = 128;

impl Status {
    /// Whether the child ended by itself, with 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }

    /// The exit code that passes this status on. Codes beyond 255 (Windows has them) become 255, never 0.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Exited(code) => u8::try_from(code).unwrap_or(u8::MAX),
            Self::Signalled(signal) => u8::try_from(signal).map_or(u8::MAX, |signal| SIGNALLED.saturating_add(signal)),
            Self::TimedOut => TIMED_OUT,
            Self::NotFound => NOT_FOUND,
            Self::NotExecutable => NOT_EXECUTABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_a_shell() {
        let codes = [
            (Status::Exited(0), 0),
            (Status::Exited(90), 90),
            (Status::Exited(256), 255),
            (Status::Exited(-1), 255),
            (Status::Signalled(9), 137),
            (Status::Signalled(15), 143),
            (Status::TimedOut, 124),
            (Status::NotExecutable, 126),
            (Status::NotFound, 127),
        ];
        for (status, code) in codes {
            assert_eq!(status.exit_code(), code, "{status:?}");
        }
        assert!(Status::Exited(0).success());
        assert!(!Status::Exited(256).success());
    }
}

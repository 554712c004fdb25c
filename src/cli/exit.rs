//! The exit codes, which scripts may rely on.

/// Everything went as expected. Also of a reader that closed the pipe before everything was said.
pub const AS_EXPECTED: u8 = 0;

/// It ran, and something else came true than was expected: a step failed, an enrollment was refused.
pub const EXPECTATION_FAILED: u8 = 1;

/// The command line or a file is wrong: it has to be changed before another try makes sense.
pub const USAGE: u8 = 2;

/// The environment is: a port is taken, a folder cannot be written, nothing answers where a middlebox should.
pub const ENVIRONMENT: u8 = 3;

/// The user ended it at once: the second Ctrl-C of `up`, the first of a command that was in the middle of its work
/// (128 + SIGINT, as shells have it).
pub const INTERRUPTED: u8 = 130;

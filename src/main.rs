//! The `middlebox` command.

fn main() {}

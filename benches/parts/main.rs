//! What the parts of a connection's way cost by themselves: `cargo bench`, or `cargo bench -- minting` for one room.
//!
//! The whole proxy, from outside and beside others, is measured by `benches/compare/`.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to say")]

mod decision;
mod head;
mod hello;
mod minting;
mod tunnel;

fn main() {
    divan::main();
}

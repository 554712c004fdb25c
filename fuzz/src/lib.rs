//! The targets, by name.

mod targets;

/// Gives an input to a target.
///
/// # Panics
/// The target found something, or there is no such target.
pub fn run(target: &str, input: &[u8]) {
    let found = targets::TARGETS.iter().find(|(name, _)| *name == target);
    let (_, check) = found.unwrap_or_else(|| panic!("no target is called {target}"));
    check(input);
}

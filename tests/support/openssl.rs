//! What only openssl makes.

use std::path::Path;
use std::process::Command;

/// Runs openssl in a folder; none where there is no openssl, which is said.
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
pub(crate) fn openssl(folder: &Path, arguments: &str) -> Option<()> {
    let output = match Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: there is no openssl here ({error})");
            return None;
        }
    };
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

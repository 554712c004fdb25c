//! Real children of a real shell.
#![cfg(unix)]

use std::path::Path;

use super::*;

fn shell(script: &str) -> Command {
    Command { argv: ["sh", "-c", script].map(OsString::from).to_vec(), ..Command::default() }
}

async fn status(command: &Command) -> Status {
    run(command).await.unwrap().status
}

/// Whether a process is gone, or a zombie that nobody has collected yet.
fn gone(pid: &str) -> bool {
    let stat = std::process::Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap();
    let stat = String::from_utf8(stat.stdout).unwrap();
    stat.trim().is_empty() || stat.trim().starts_with('Z')
}

async fn eventually(what: &str, met: impl Fn() -> bool) {
    for _ in 0..500 {
        if met() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come about");
}

#[tokio::test]
async fn output_and_code_are_kept_apart() {
    let outcome = run(&shell("echo out; echo err >&2; exit 7")).await.unwrap();
    assert_eq!(outcome.status, Status::Exited(7));
    assert_eq!(outcome.stdout.text(), "out\n");
    assert_eq!(outcome.stderr.text(), "err\n");
    assert!(!outcome.stdout.cut);
}

#[tokio::test]
async fn variables_and_folder_are_the_given_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = shell("echo \"$COLOUR ${HOME-gone}\"; pwd -P");
    command.set.push(("COLOUR".into(), "blue".into()));
    command.remove.push("HOME".into());
    command.folder = Some(folder.path().to_owned());
    let text = run(&command).await.unwrap().stdout.text();
    let here = folder.path().canonicalize().unwrap();
    assert_eq!(text, format!("blue gone\n{}\n", here.display()));

    command.folder = Some(folder.path().join("no"));
    assert!(matches!(run(&command).await, Err(ChildError::Folder(_))));
}

#[tokio::test]
async fn input_is_empty() {
    assert_eq!(status(&shell("cat")).await, Status::Exited(0));
}

#[tokio::test]
async fn a_signal_is_not_a_code() {
    assert_eq!(status(&shell("kill -9 $$")).await, Status::Signalled(9));
}

#[tokio::test]
async fn what_cannot_be_run_is_told_from_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    std::fs::write(&file, "no program").unwrap();
    let of = |path: &Path| Command { argv: vec![path.into()], ..Command::default() };
    assert_eq!(status(&of(&file)).await, Status::NotExecutable);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(status(&of(&file)).await, Status::NotExecutable);
    assert_eq!(status(&of(&folder.path().join("no"))).await, Status::NotFound);
    assert_eq!(status(&of(&file.join("below"))).await, Status::NotFound);
    assert!(matches!(run(&Command::default()).await, Err(ChildError::Empty)));
}

#[tokio::test]
async fn a_time_limit_ends_the_whole_group() {
    let mut command = shell("sleep 600 & echo $!; wait");
    command.time_limit = Some(Duration::from_millis(300));
    let outcome = run(&command).await.unwrap();
    assert_eq!(outcome.status, Status::TimedOut);
    let grandchild = outcome.stdout.text();
    eventually("the end of the grandchild", || gone(&grandchild)).await;
}

#[tokio::test]
async fn who_ignores_the_request_is_made_to_end() {
    let mut command = shell("trap '' TERM; echo $$; while :; do sleep 1; done");
    command.time_limit = Some(Duration::from_millis(300));
    let outcome = run(&command).await.unwrap();
    assert_eq!(outcome.status, Status::TimedOut);
    assert!(outcome.duration >= GRACE, "{:?}", outcome.duration);
    assert!(gone(&outcome.stdout.text()));
}

#[tokio::test]
async fn what_a_child_leaves_behind_ends_with_it() {
    let outcome = run(&shell("sleep 600 & echo $!")).await.unwrap();
    assert_eq!(outcome.status, Status::Exited(0));
    assert!(outcome.duration < Duration::from_secs(60), "it did not wait for the one left behind");
    let left = outcome.stdout.text();
    eventually("the end of what was left", || gone(&left)).await;
}

#[tokio::test]
async fn dropped_it_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("pid");
    let command = shell(&format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", note.display()));
    let running = tokio::spawn(async move { run(&command).await });
    eventually("the start", || note.exists()).await;
    running.abort();
    let grandchild = std::fs::read_to_string(&note).unwrap();
    eventually("the end of the grandchild", || gone(&grandchild)).await;
}

#[tokio::test]
async fn a_loud_child_is_cut_and_not_stopped() {
    let outcome = run(&shell("dd if=/dev/zero bs=65536 count=40 2>/dev/null; exit 3")).await.unwrap();
    assert_eq!(outcome.status, Status::Exited(3));
    assert_eq!(outcome.stdout.bytes.len(), MAX_CAPTURED);
    assert!(outcome.stdout.cut);
}

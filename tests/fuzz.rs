//! The functions that `fuzz/` gives its inputs to, called on the seeds and on every input that was found, so that no
//! target rots and nothing found comes back.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on has failed, and says where")]

use std::path::{Path, PathBuf};

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

/// Files that are read elsewhere, and are good beginnings here.
fn other_seeds(target: &str) -> Option<&'static str> {
    match target {
        "product" => Some("scenarios/products"),
        "profile" => Some("certs/profiles"),
        "scenario" => Some("scenarios"),
        _ => target.starts_with("format_").then_some("tests/formats"),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn what_was_found_stays_mended() {
    for (target, check) in targets::TARGETS {
        for path in files(&root().join("fuzz/found").join(target)) {
            println!("{}", path.display());
            check(&std::fs::read(path).unwrap());
        }
    }
}

#[test]
fn seeds_pass_whole_and_cut_short() {
    for (target, check) in targets::TARGETS {
        let own = files(&root().join("fuzz/seeds").join(target));
        let other = other_seeds(target).map(|folder| files(&root().join(folder))).unwrap_or_default();
        assert!(!own.is_empty() || !other.is_empty(), "{target} has no seeds");
        for path in own.iter().chain(&other) {
            println!("{target}: {}", path.display());
            let bytes = std::fs::read(path).unwrap();
            for quarter in 1..=4 {
                check(&bytes[..bytes.len() * quarter / 4]);
            }
        }
    }
}

#[test]
fn every_target_is_built() {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let built: Vec<_> = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap()).collect();
    let named: Vec<_> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(built, named);
    for name in named {
        let source = std::fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("run(\"{name}\"")), "{name}");
    }
}

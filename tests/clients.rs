//! Real clients behind the middlebox: what the strictest of them accept, and what a refusal of each looks like.
//!
//! A client that is not installed here is left out, and its absence is printed (`--nocapture` shows it). Programs run
//! on loopback only, each for a limited time. `.ci/run` installs the small ones. All of them, on Debian 12 (about 1 GB,
//! most of it the browser, Go and Java), with which a missing one is a failure:
//!
//! ```sh
//! apt-get install curl wget gnutls-bin openssl git nodejs golang-go default-jdk-headless libokhttp-java \
//!     chromium libnss3-tools python3-requests python3-httpx python3-aiohttp python3-urllib3
//! MIDDLEBOX_TEST_CLIENTS=all cargo test --test clients -- --nocapture
//! ```
//!
//! Python's libraries are also taken from `target/clients`, a virtual environment of the tests' own (`python3 -m venv
//! target/clients && target/clients/bin/pip install requests httpx aiohttp urllib3`).

#![allow(clippy::print_stdout, reason = "what is measured, and what is left out, is told")]

#[path = "clients/acceptance.rs"]
mod acceptance;
#[path = "clients/browser.rs"]
mod browser;
#[path = "clients/client.rs"]
mod client;
#[path = "clients/in_process.rs"]
mod in_process;
#[path = "clients/profiles.rs"]
mod profiles;
#[path = "clients/signatures.rs"]
mod signatures;
#[path = "clients/table.rs"]
mod table;
#[path = "clients/world.rs"]
mod world;

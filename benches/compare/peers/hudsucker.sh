#!/bin/sh
# hudsucker, the published crate behind the little program in hudsucker/. HUDSUCKER_NODELAY sets TCP_NODELAY on what it
# accepts, which it does not do by itself.
set -eu
exe=${HUDSUCKER:-$(dirname "$0")/hudsucker/target/release/hudsucker-peer}
case "$1" in
setup) [ -x "$exe" ] || cargo build --quiet --release --manifest-path "$(dirname "$0")/hudsucker/Cargo.toml" ;;
run) exec "$exe" ;;
size) du -k "$exe" ;;
esac

#!/bin/sh
# http-mitm-proxy, the published crate behind the little program in http-mitm-proxy/. It needs the headers of OpenSSL.
set -eu
exe=${HTTP_MITM_PROXY:-$(dirname "$0")/http-mitm-proxy/target/release/http-mitm-proxy-peer}
case "$1" in
setup) [ -x "$exe" ] || cargo build --quiet --release --manifest-path "$(dirname "$0")/http-mitm-proxy/Cargo.toml" ;;
run) SSL_CERT_FILE=$ORIGIN_CA exec "$exe" ;;
size) du -k "$exe" ;;
esac

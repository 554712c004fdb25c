#!/bin/sh
# mitmproxy (pip install mitmproxy). MITMDUMP names the program where it is not on the path.
set -eu
dump=${MITMDUMP:-mitmdump}
case "$1" in
setup) cat "$CA_KEY" "$CA_CERT" >"$STATE/mitmproxy-ca.pem" ;;
run)
    [ "$MODE" = inspect ] || set -- "$1" --ignore-hosts '.*'
    shift
    exec "$dump" --quiet --listen-host 127.0.0.1 --listen-port "$PORT" --set "confdir=$STATE" \
        --set "ssl_verify_upstream_trusted_ca=$ORIGIN_CA" "$@"
    ;;
# The virtual environment that it stands in.
size) du -sk "$(dirname "$(dirname "$(readlink -f "$(command -v "$dump")")")")" ;;
esac

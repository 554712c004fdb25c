#!/bin/sh
# middlebox. MIDDLEBOX is the built program; MIDDLEBOX_OPTIONS are more options of `up`.
set -eu
: "${MIDDLEBOX:?path of the built middlebox}"
case "$1" in
setup) ;;
run)
    # shellcheck disable=SC2086 # options are words
    exec "$MIDDLEBOX" up --listen "127.0.0.1:$PORT" --control off --quiet --default "$MODE" \
        --ca-cert "$CA_CERT" --ca-key "$CA_KEY" --origin-ca "$ORIGIN_CA" ${MIDDLEBOX_OPTIONS:-}
    ;;
size) du -k "$MIDDLEBOX" ;;
esac

#!/bin/sh
# The floor: a relay of this harness itself.
set -eu
case "$1" in
setup) ;;
run) exec "$COMPARE" floor ;;
size) du -k "$COMPARE" ;;
esac

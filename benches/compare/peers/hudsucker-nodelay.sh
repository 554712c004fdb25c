#!/bin/sh
# hudsucker with TCP_NODELAY.
HUDSUCKER_NODELAY=1 exec "$(dirname "$0")/hudsucker.sh" "$@"

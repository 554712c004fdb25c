#!/bin/sh
# middlebox, with idle connections to origins kept for other clients, as peers that share them do.
MIDDLEBOX_OPTIONS=--pool exec "$(dirname "$0")/middlebox.sh" "$@"

#!/bin/sh
# tinyproxy (Debian: apt install tinyproxy): CONNECT tunnels alone, so only in mode `bypass`.
set -eu
case "$1" in
setup)
    printf '%s\n' "Port $PORT" 'Listen 127.0.0.1' 'Timeout 600' 'MaxClients 12000' 'LogLevel Error' \
        "LogFile \"$STATE/tinyproxy.log\"" >"$STATE/tinyproxy.conf"
    ;;
run) exec tinyproxy -d -c "$STATE/tinyproxy.conf" ;;
size) du -k "$(command -v tinyproxy)" ;;
esac

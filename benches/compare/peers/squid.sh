#!/bin/sh
# Squid with ssl_bump (Debian: apt install squid-openssl). Started as root, its helpers run as `proxy`.
set -eu
certgen=${CERTGEN:-/usr/lib/squid/security_file_certgen}
squid=${SQUID:-/usr/sbin/squid}
conf=$STATE/squid.conf
case "$1" in
setup)
    cat "$CA_CERT" "$CA_KEY" >"$STATE/ca.pem"
    "$certgen" -c -s "$STATE/certificates" -M 64MB >/dev/null
    if [ "$MODE" = inspect ]; then
        printf '%s\n' "http_port 127.0.0.1:$PORT ssl-bump tls-cert=$STATE/ca.pem generate-host-certificates=on" \
            'acl first at_step SslBump1' 'ssl_bump peek first' 'ssl_bump bump all' >"$conf"
    else
        echo "http_port 127.0.0.1:$PORT" >"$conf"
    fi
    printf '%s\n' "sslcrtd_program $certgen -s $STATE/certificates -M 64MB" 'sslcrtd_children 8 startup=2 idle=1' \
        "tls_outgoing_options cafile=$ORIGIN_CA" 'http_access allow localhost' 'http_access deny all' \
        'cache deny all' 'cache_mem 8 MB' 'max_filedescriptors 20000' 'access_log none' "cache_log $STATE/cache.log" \
        'pid_filename none' 'visible_hostname compare' 'shutdown_lifetime 0 seconds' 'pinger_enable off' >>"$conf"
    chmod 755 "$STATE" "$(dirname "$STATE")"
    chown -R proxy: "$STATE" 2>/dev/null || true
    ;;
run) exec "$squid" -N -f "$conf" ;;
size) du -ck "$squid" "$certgen" | tail -n 1 ;;
esac

#!/bin/bash
# Ends Envoy's work before Kubernetes ends Envoy, which by itself would drop the calls in hand on SIGTERM.
# First /healthz fails, so that load balancers turn away; then connections are asked to close; then there is time for
# the calls in hand. Envoy's image has no curl, so bash speaks to the admin itself.
set -euo pipefail

admin_port=${ADMIN_PORT:-9901}
notice_seconds=${NOTICE_SECONDS:-10}
calls_seconds=${CALLS_SECONDS:-20}

post() {
    exec 3<>"/dev/tcp/127.0.0.1/$admin_port"
    printf 'POST %s HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$1" >&3
    read -r _ status _ <&3
    exec 3>&-
    [ "$status" = 200 ]
}

post /healthcheck/fail
sleep "$notice_seconds"
post '/drain_listeners?graceful'
sleep "$calls_seconds"

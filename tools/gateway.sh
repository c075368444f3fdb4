#!/bin/bash
#
# gateway.sh [stop]
#   Set the gateway up and start it beside the cluster of `make demo`, which is
#   made with few rows if there is none: roles, a log, a key-value table and
#   tokens in database demo; the gateway on a port of 127.0.0.1.  Shows how to
#   call it.  "stop" stops it; so does `make demo-stop`.
#
#   GATEWAY_PORT=n   (default 8080)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

STATE=$ROOT/build/demo/state
PORT=54329
HTTP_PORT=${GATEWAY_PORT:-8080}

running() { [ -e "$STATE" ] && [ -e "$(cat "$STATE")/data/postmaster.pid" ]; }

# By the process that wrote the file, and no other.
stop_gateway() {
  local dir pid

  [ -e "$STATE" ] || return 0
  dir=$(cat "$STATE")
  [ -e "$dir/gateway.pid" ] || return 0
  pid=$(cat "$dir/gateway.pid")
  if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -F "$dir/gateway.json"; then
    as_server kill "$pid"
    while kill -0 "$pid" 2>/dev/null || as_server kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    say "gateway: stopped"
  fi
  rm -f "$dir/gateway.pid"
}

if [ "${1:-}" = stop ]; then
  stop_gateway
  exit
fi

bash tools/setup.sh gateway
running || { say "gateway: no cluster of the demonstration is running; making one with few rows"; DEMO_ROWS=${DEMO_ROWS:-200000} DEMO_PROBES=${DEMO_PROBES:-20000} tools/demo.sh; }
stop_gateway
DIR=$(cat "$STATE")
BIN=$("$PG_CONFIG" --bindir)

psql_demo() {
  as_server "$BIN/psql" -h "$DIR" -p $PORT -U postgres -d demo -X -q -v ON_ERROR_STOP=1 "$@"
}

# where the server's user can read it
rm -rf "$DIR/gateway" && mkdir "$DIR/gateway"
tar -c gateway demo monitoring | tar -x -C "$DIR/gateway"
psql_demo -f "$DIR/gateway/demo/gateway.sql" >/dev/null

new_token() { (cd gateway && node token.js "$@") 2>"$DIR/token"; }
{
  printf '{ "listen": { "port": %s },\n' "$HTTP_PORT"
  printf '  "database": { "host": "%s", "port": %s, "database": "demo", "monitor_role": "demo_monitor" },\n' "$DIR" $PORT
  printf '  "sql": { "role": "demo_reader" },\n'
  [ ! -d demo/app ] || printf '  "app": "gateway/demo/app",\n'
  printf '  "tokens": [\n    '
  new_token demo demo_app | sed 's/}$/,"allow":["metrics","sql"]}/'
  printf '  ] }\n'
} >"$DIR/gateway.json"
TOKEN=$(cat "$DIR/token")
rm -f "$DIR/token"
[ "$(id -u)" != 0 ] || chown -R "$(server_user)" "$DIR/gateway" "$DIR/gateway.json"

# shellcheck disable=SC2016	# $$ is that of the shell that becomes node
as_server sh -c 'echo $$ >"$1/gateway.pid"; exec "$2" "$1/gateway/gateway/server.js" "$1/gateway.json" >"$1/gateway.log" 2>&1' sh "$DIR" "$(command -v node)" </dev/null &
for _ in $(seq 100); do
  ! grep -q 'Server listening' "$DIR/gateway.log" 2>/dev/null || break
  sleep 0.2
done
grep -q 'Server listening' "$DIR/gateway.log" || { cat "$DIR/gateway.log"; die "the gateway did not start"; }

cat <<EOF

The gateway is running.  Try

    TOKEN=$TOKEN
    curl -H "Authorization: Bearer \$TOKEN" -H 'Content-Type: application/json' \\
         -d '{"log": "orders", "payload": {"item": 7}, "key": 1001}' http://127.0.0.1:$HTTP_PORT/v1/append
    curl -H "Authorization: Bearer \$TOKEN" 'http://127.0.0.1:$HTTP_PORT/v1/replay?log=orders'

All endpoints are described at http://127.0.0.1:$HTTP_PORT/docs
EOF
[ ! -d demo/app ] || printf '\nA page that shows them at work: http://127.0.0.1:%s/app/#token=%s\n' "$HTTP_PORT" "$TOKEN"
printf '\nIts log is %s; make demo-stop ends gateway and cluster.\n' "$DIR/gateway.log"

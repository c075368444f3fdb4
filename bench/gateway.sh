#!/bin/bash
#
# gateway.sh [option...]
#   Measure the gateway with wrk, beside pgbench with the same statements on the same cluster: requests a second,
#   and the median and the 99th percentile of their time.  Look-ups of one key and appends with a request_id.
#   Needs wrk, Node, and the packages of the gateway (tools/setup.sh gateway).
#
#   -c CONNECTIONS  (default "1 16 64")
#   -t SECONDS      of each run (default 10)
#   -r N            interleaved rounds, of which the median counts (default 3)
#   -O FILE         CSV, appended (default: none)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

connections="1 16 64" seconds=10 rounds=3 csv="" port=18080
command="bench/gateway.sh $*"
while getopts c:t:r:O: option; do
  case $option in
    c) connections=$OPTARG ;; t) seconds=$OPTARG ;; r) rounds=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;;
    *) sed -n '3,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
case $seconds$rounds in *[!0-9]*) die "-t and -r are numbers" ;; esac
command -v wrk >/dev/null || die "needs wrk"
[ -z "$csv" ] || csv_columns "$csv" "what,connections,pgbench_tps,pgbench_p99_ms,gateway_rps,gateway_p50_ms,gateway_p99_ms"

say "bench: $command; load $load_before"
bash tools/setup.sh gateway
bench_begin
bench_cluster 'max_connections = 200'
bench_psql <<'SQL'
CREATE EXTENSION kyrodb;
CREATE ROLE app LOGIN IN ROLE pg_monitor;
GRANT CREATE ON SCHEMA public TO app;
SET ROLE app;
SELECT kyro.create_log('ev'), kyro.create_kv('kv') \g /dev/null
INSERT INTO kv SELECT g, md5(g::text) FROM generate_series(1, 1000000) g;
RESET ROLE;
VACUUM ANALYZE;
CREATE TABLE measured (what text, connections int, variant text, rate float8, p50 float8, p99 float8);
SQL
cp -r gateway monitoring "$W/"
cat >"$W/gateway.json" <<EOF
{ "listen": { "port": $port }, "database": { "host": "$W", "database": "postgres", "monitor_role": "app", "pool": 16 }, "log_level": "info",
  "limits": { "ip_per_minute": 1000000000, "token_per_minute": 1000000000 },
  "tokens": [{ "name": "bench", "role": "app", "sha256": "$(printf bench | sha256sum | cut -d ' ' -f 1)" }] }
EOF
cat >"$W/get.sql" <<'SQL'
\set key random(1, 1000000)
SELECT key, value, changed_at FROM kyro.get_many('kv', ARRAY[:key::bigint]);
SQL
cat >"$W/append.sql" <<'SQL'
SELECT kyro.append('ev', '{"item": 7, "text": "of some length"}', 5, 'kind', gen_random_uuid());
SQL
# a thread's requests: other keys, other request ids
cat >"$W/common.lua" <<'LUA'
wrk.headers["Authorization"] = "Bearer bench"
wrk.headers["Content-Type"] = "application/json"
function setup(thread) threads = (threads or 0) + 1; thread:set("seed", threads + os.time()) end
function init() math.randomseed(seed) end
function done(summary, latency)
  local e = summary.errors
  io.stderr:write(string.format("connect %d read %d write %d status %d timeout %d\n", e.connect, e.read, e.write, e.status, e.timeout))
  print(string.format("measured %f %f %f %d", summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.connect + e.read + e.write + e.status + e.timeout))
end
LUA
{ cat "$W/common.lua"; echo 'function request() return wrk.format("GET", "/v1/get_fast/" .. math.random(1000000) .. "?kv=kv") end'; } >"$W/get.lua"
{
  cat "$W/common.lua"
  cat <<'LUA'
function request()
  local id = string.format("%08x-%04x-4%03x-8%03x-%012x", math.random(0, 2^31 - 1), math.random(0, 65535), math.random(0, 4095), math.random(0, 4095), math.random(0, 2^31 - 1))
  return wrk.format("POST", "/v1/append", nil, '{"log":"ev","payload":{"item": 7, "text": "of some length"},"key":5,"kind":"kind","request_id":"' .. id .. '"}')
end
LUA
} >"$W/append.lua"
chmod -R a+rX "$W"
[ "$(id -u)" != 0 ] || chown -R "$(server_user)" "$W/gateway" "$W/gateway.json"
# shellcheck disable=SC2016	# $$ is that of the shell that becomes node
as_server sh -c 'echo $$ >"$1/gateway.pid"; exec "$2" "$1/gateway/server.js" "$1/gateway.json" >"$1/gateway.log" 2>&1' sh "$W" "$(command -v node)" &
trap 'kill "$(cat "$W/gateway.pid")" 2>/dev/null || true; bench_cleanup' EXIT
for _ in $(seq 150); do
  ! curl -fs "http://127.0.0.1:$port/health" >/dev/null || break
  sleep 0.2
done
grep -q 'Server listening' "$W/gateway.log" && curl -fs "http://127.0.0.1:$port/health" >/dev/null || { cat "$W/gateway.log"; die "the gateway did not start"; }

add() { bench_psql -c "INSERT INTO measured VALUES ('$1', $2, '$3', $4, $5, $6)"; }

for ((round = 1; round <= rounds; round++)); do
  for what in get append; do
    for c in $connections; do
      rm -f "$W"/lat.*
      # as many clients as the gateway has connections, at most: what it does with more is to let them wait
      tps=$(as_server sh -c 'cd "$1" && shift && exec "$@"' sh "$W" "$BIN/pgbench" -h "$W" -U app -n -M prepared -f "$W/$what.sql" \
        -c $((c < 16 ? c : 16)) -j 1 -T "$seconds" -l --log-prefix=lat postgres | sed -n 's/^tps = \([0-9.]*\).*/\1/p')
      p99=$(cat "$W"/lat.* | awk '{print $3 / 1000}' | sort -n | awk '{a[NR] = $1} END {print a[int(NR * 0.99)]}')
      add "$what" "$c" pgbench "$tps" 0 "$p99"
      read -r _ rate p50 p99 errors <<<"$(wrk --timeout 30s -t 1 -c "$c" -d "$seconds" -s "$W/$what.lua" "http://127.0.0.1:$port" | grep '^measured')"
      [ "$errors" = 0 ] || die "$errors requests failed"
      add "$what" "$c" gateway "$rate" "$p50" "$p99"
    done
  done
  say "bench: round $round"
done

report="SELECT what, connections, round(min(rate) FILTER (WHERE pgbench)) AS pgbench_tps, round(min(p99) FILTER (WHERE pgbench)::numeric, 2) AS pgbench_p99_ms,
	round(min(rate) FILTER (WHERE NOT pgbench)) AS gateway_rps, round(min(p50) FILTER (WHERE NOT pgbench)::numeric, 2) AS gateway_p50_ms, round(min(p99) FILTER (WHERE NOT pgbench)::numeric, 2) AS gateway_p99_ms
	FROM (SELECT what, connections, variant = 'pgbench' AS pgbench, percentile_cont(0.5) WITHIN GROUP (ORDER BY rate) AS rate,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY p50) AS p50, percentile_cont(0.5) WITHIN GROUP (ORDER BY p99) AS p99 FROM measured GROUP BY 1, 2, 3) m
	GROUP BY 1, 2 ORDER BY 1 DESC, 2"
bench_psql -c "$report"
if [ -n "$csv" ]; then
  say "# $command; load $load_before before, $(load) after; $(machine)" >>"$csv"
  bench_psql --csv -t -c "$report" >>"$csv"
fi

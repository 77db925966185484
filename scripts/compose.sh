# Shared by scripts/test-compose and scripts/drill, which source it after lib.sh: a cluster of docker-compose.yml of their
# own, what can be done to it, and clients that write down what they saw.
# shellcheck shell=bash

regions=(us-east eu-west ap-south)

# Compose as a plugin of Docker, or the older program of its own.
compose() {
  if docker compose version >/dev/null 2>&1; then
    docker compose "${compose_files[@]}" "$@"
  else
    docker-compose "${compose_files[@]}" "$@"
  fi
}

# Leaves the script, as a success, where no Docker engine answers: that is said, and only then. What fails where one does
# is a failure.
require_docker() {
  local why=
  if ! command -v docker >/dev/null; then
    why="there is no docker command"
  elif ! docker version >/dev/null 2>&1; then
    why="no Docker engine answers"
  elif ! docker compose version >/dev/null 2>&1 && ! command -v docker-compose >/dev/null; then
    why="Docker is here, and neither docker compose nor docker-compose is"
    if [ "${CI:-}" = true ]; then
      echo "$(basename "$0"): $why" >&2
      exit 1
    fi
  fi
  if [ -n "$why" ]; then
    echo "$(basename "$0"): SKIPPED, since $why"
    exit 0
  fi
}

# use_cluster PROJECT [OVERRIDE...]: the names of the cluster that the rest is about. Nothing is started. Ports are any
# that are free, so that several such clusters, and one that somebody works with, may run at once.
use_cluster() {
  export COMPOSE_PROJECT_NAME=$1
  local override
  shift
  compose_files=(-f docker-compose.yml)
  for override in "$@"; do compose_files+=(-f "deploy/compose/$override.yml"); done
  for override in ATOLL_PORT ATOLL_US_EAST_PORT ATOLL_EU_WEST_PORT ATOLL_AP_SOUTH_PORT ATOLL_CLIENTS_US_EAST_PORT \
    ATOLL_CLIENTS_EU_WEST_PORT ATOLL_CLIENTS_AP_SOUTH_PORT ATOLL_STATS_PORT ATOLL_PROMETHEUS_PORT; do
    export "$override=0"
  done
}

# container SERVICE: the id of its container, running or not.
container() {
  docker ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
    --filter "label=com.docker.compose.service=$1" --filter label=com.docker.compose.oneoff=False
}

# url SERVICE PORT: where the port of the container is published.
url() {
  local published
  published=$(docker port "$(container "$1")" "$2/tcp" | head -n 1)
  echo "http://${published:?$1 does not publish $2}"
}

# entry REGION: the balancer of that region. clients_of REGION: the global one, as clients of that region reach it.
entry() { url "balancer-$1" 8101; }
clients_of() {
  case $1 in
    us-east) url balancer 8111 ;;
    eu-west) url balancer 8112 ;;
    ap-south) url balancer 8113 ;;
  esac
}

# in_node SERVICE COMMAND...: the program in the container of a node, which asks that node.
in_node() {
  local service=$1
  shift
  docker exec -i "$(container "$service")" atoll "$@"
}

# cut_off SERVICE, mend SERVICE: takes a node from the network between the regions, and puts it back. Compose gives a
# container the name of its service on each network; who puts it back must, too, or the others do not find it.
cut_off() { docker network disconnect "${COMPOSE_PROJECT_NAME}_world" "$(container "$1")"; }
mend() { docker network connect --alias "$1" "${COMPOSE_PROJECT_NAME}_world" "$(container "$1")"; }

now() { echo "$EPOCHREALTIME"; }

# since TIME: seconds from then on, with one decimal.
since() { awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $1 }"; }

# within SECONDS COMMAND...: repeats the command until it succeeds. Its output is thrown away.
within() {
  local patience=$1 until
  shift
  until=$(awk "BEGIN { print int($EPOCHREALTIME + $patience) }")
  until "$@" >/dev/null 2>&1; do
    if [ "${EPOCHREALTIME%.*}" -ge "$until" ]; then return 1; fi
    sleep 0.2
  done
}

# answers URL [STATUS]: whether it answers so; 200 without one.
answers() {
  [ "$(curl -s -o /dev/null -m 3 -w '%{http_code}' "$1")" = "${2:-200}" ]
}

# is_healthy SERVICE: whether Docker's own check of the container passes.
is_healthy() {
  [ "$(docker inspect -f '{{.State.Health.Status}}' "$(container "$1")")" = healthy ]
}

# all_serve: whether every region says that it should get traffic, and the global balancer has noticed.
all_serve() {
  local region
  for region in "${regions[@]}"; do
    answers "$(entry "$region")/health/region" || return 1
    [ "$(answered_by "$(clients_of "$region")")" = "$region" ] || return 1
  done
}

# answered_by URL: the region that answers there.
answered_by() { # URL [ARGUMENT...]
  local address=$1
  shift
  curl -s -o /dev/null -m 3 -w '%header{atoll-region}' "$@" "$address/v1/data"
}
is_answered_by() { # REGION URL [ARGUMENT...]
  local region=$1
  shift
  [ "$(answered_by "$@")" = "$region" ]
}

# are_equal SECONDS: whether all regions come to hold the same data within that time.
are_equal() {
  local endpoints=() region
  for region in "${regions[@]}"; do endpoints+=(--endpoint "http://balancer-$region:8101"); done
  docker run --rm --network "${COMPOSE_PROJECT_NAME}_edge" --read-only "${ATOLL_IMAGE:-atoll:local}" \
    digest --wait "$1" "${endpoints[@]}"
}

# prepare_cluster: images and certificates, where they are missing.
prepare_cluster() {
  if ! docker image inspect "${ATOLL_IMAGE:-atoll:local}" "${ATOLL_HAPROXY_IMAGE:-atoll-haproxy:local}" \
    "${ATOLL_PROMETHEUS_IMAGE:-atoll-prometheus:local}" >/dev/null 2>&1; then
    scripts/image || return
  fi
  export ATOLL_SECRETS=${ATOLL_SECRETS:-$scratch/secrets}
  scripts/secrets "$ATOLL_SECRETS"
}

# start_cluster: brings it up and waits until every region gets its clients' requests.
start_cluster() {
  compose up --detach --quiet-pull >"$scratch/compose.log" 2>&1 || { cat "$scratch/compose.log"; return 1; }
  if ! within 90 all_serve; then
    echo "the cluster does not serve after 90 s:"
    show_trouble
    return 1
  fi
}

# show_trouble: what somebody looks at first.
show_trouble() {
  compose ps
  compose logs --no-color --tail 15 us-east-1 eu-west-1 ap-south-1
}

# remove_cluster: containers, networks and data.
remove_cluster() {
  compose down --volumes --timeout 5 --remove-orphans >/dev/null 2>&1 || true
}

# ---- Clients. Each keeps at most one request under way and begins so many in a second; while one waits, no other begins.
# What it saw goes into a file, one line for each request:
#   time of the answer, status (000: none), seconds, region that answered, staleness in ms, key
# (- where there is none).

client_pids=()
start_client() { # FILE URL ARGUMENT...
  local file=$1 address=$2
  shift 2
  # By way of standard error, which is not held back until a buffer is full.
  curl --silent --output /dev/null --max-time 6 --rate "${client_rate:-20}/s" "$@" \
    --write-out '%{stderr}%{http_code}|%{time_total}|%header{atoll-region}|%header{atoll-staleness-ms}|%{url_effective}\n' \
    "$address" 2> >(write_down >"$file") >/dev/null &
  client_pids+=($!)
}
write_down() {
  local status seconds region staleness address
  while IFS='|' read -r status seconds region staleness address; do
    echo "$EPOCHREALTIME $status $seconds ${region:--} ${staleness:--} ${address##*/}"
  done
}

# start_writer FILE URL PREFIX: puts keys that nobody else does. start_reader FILE URL: reads one key again and again.
start_writer() {
  start_client "$1" "$2/v1/data/drill/registers/$3-[100001-999999]" --request PUT --data x
}
start_reader() {
  # What follows # is not sent: it makes curl ask again.
  start_client "$1" "$2/v1/data/drill/registers/read#[100001-999999]"
}

# stop_clients: ends all that were started. What is under way then counts as not acknowledged.
stop_clients() {
  if [ ${#client_pids[@]} -gt 0 ]; then
    kill "${client_pids[@]}" 2>/dev/null || true
    wait "${client_pids[@]}" 2>/dev/null || true
  fi
  client_pids=()
  sleep 0.2 # the last lines
}

# acknowledged FILE...: the keys of which the clients were told that they are written.
acknowledged() {
  awk '$2 ~ /^2/ { print $6 }' "$@" | LC_ALL=C sort
}

# lost_in REGION FILE...: acknowledged keys that the region does not have.
lost_in() {
  local region=$1
  shift
  LC_ALL=C comm -23 <(acknowledged "$@") <(in_node "$region-1" keys drill | LC_ALL=C sort)
}

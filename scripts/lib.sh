# Shared by the scripts, which source it first: where the project is, where it is built, and steps with their times.
# Leaves the caller in the project's root folder.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# A toolchain that rustup put into its usual place works without a line in the shell's profile.
if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
  PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi

# RocksDB takes many minutes to compile, so what is built outlives the clone: in CI always, elsewhere once somebody
# has made that folder. All scripts use one folder and one profile, and so compile RocksDB once.
shared_target="${XDG_CACHE_HOME:-$HOME/.cache}/atoll/target"
if [ -z "${CARGO_TARGET_DIR:-}" ]; then
  if [ "${CI:-}" = true ] || [ -d "$shared_target" ]; then
    CARGO_TARGET_DIR=$shared_target
  else
    CARGO_TARGET_DIR=$root/target
  fi
fi
export CARGO_TARGET_DIR

# By PATH and not by CC and CXX: cargo rebuilds what C++ made when those variables change.
use_ccache() {
  if [ -d /usr/lib/ccache ] && [[ ":$PATH:" != *":/usr/lib/ccache:"* ]]; then
    PATH="/usr/lib/ccache:$PATH"
  fi
  export PATH
}
use_ccache

# Prints the comment at the top of the calling script, which is its help.
print_help() {
  sed -n '2,/^[^#]/{/^#/!d; s/^# \{0,1\}//; p}' "$root/scripts/$(basename "$0")"
}

# step NAME COMMAND...: runs the command, prints its time, and remembers for end_steps what failed or was skipped.
# A command skips by returning $skipped, after it has said why.
skipped=75
failed_steps=()
skipped_steps=()
step() {
  local name=$1 started=$SECONDS status=0 outcome=ok
  shift
  printf '== %s\n' "$name"
  "$@" || status=$?
  if [ "$status" -eq "$skipped" ]; then
    outcome=SKIPPED
    skipped_steps+=("$name")
  elif [ "$status" -ne 0 ]; then
    outcome=FAILED
    failed_steps+=("$name")
  fi
  printf '   %s: %s (%d s)\n' "$outcome" "$name" $((SECONDS - started))
}

# Ends the script: says which steps failed, if any did, and which were skipped.
end_steps() {
  local name outcome='all ok'
  for name in "${skipped_steps[@]}"; do outcome="ok, skipped: $name"; done
  for name in "${failed_steps[@]}"; do printf 'failed: %s\n' "$name"; outcome=FAILED; done
  printf 'scripts/%s: %s (%d s)\n' "$(basename "$0")" "$outcome" "$SECONDS"
  [ "$outcome" != FAILED ]
}

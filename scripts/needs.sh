#!/usr/bin/env bash
# Sees to what the tests need besides Go:
#   a C compiler      for the race detector
#   PostgreSQL        the store's tests start a private server of their own; nothing on this machine is touched
#   Chromium          the dashboard's tests look at real pages
#   axe-core (npm)    the accessibility rules that those pages are held against; goes to node_modules/
# As root on a machine with apt it installs what is missing. Elsewhere it says what is missing, how to get it, and what
# will be skipped for want of it. With CI=true nothing may be missing.
set -euo pipefail
cd "$(dirname "$0")/.."

axe=axe-core@4.14.1
ci=${CI:-}

have_cc() { command -v "${CC:-gcc}" >/dev/null && echo 'int main(void){return 0;}' | "${CC:-gcc}" -x c - -o /dev/null 2>/dev/null; }
have_postgres() { command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
have_chromium() {
  local c
  for c in chromium chromium-browser google-chrome google-chrome-stable headless-shell; do
    command -v "$c" >/dev/null && return 0
  done
  return 1
}
have_axe() { [[ -s node_modules/axe-core/axe.min.js ]]; }

sudo=()
can_apt() {
  command -v apt-get >/dev/null || return 1
  [[ $(id -u) -eq 0 ]] && return 0
  # Only a machine that says it is a CI machine is changed through sudo; nobody's own is.
  if [[ $ci == true ]] && command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo=(sudo -n)
    return 0
  fi
  return 1
}

apt_updated=
apt_install() {
  local log
  log=$(mktemp)
  echo "needs: installing $* by apt" >&2
  if [[ -z $apt_updated ]]; then
    # The lists of a fresh machine are empty, and old lists name packages that are gone.
    "${sudo[@]}" apt-get -q update >"$log" 2>&1 || { echo "needs: apt-get update: $(tail -n 2 "$log" | tr '\n' ' ')" >&2; }
    apt_updated=1
  fi
  if ! "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
    install "$@" >"$log" 2>&1 </dev/null; then
    echo "needs: apt-get install $*: $(tail -n 3 "$log" | tr '\n' ' ')" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

missing=()
need() { # need WHAT HAVE-FUNCTION PACKAGES WITHOUT-IT
  local what=$1 have=$2 packages=$3 without=$4
  "$have" && return 0
  if can_apt; then
    # shellcheck disable=SC2086 # a list of packages
    apt_install $packages || true
    "$have" && return 0
  fi
  missing+=("$what|apt-get install --no-install-recommends $packages|$without")
}

need "a C compiler" have_cc "gcc libc6-dev" "tests run without the race detector"
need "a PostgreSQL server (initdb)" have_postgres "postgresql" "all tests on PostgreSQL are skipped"
need "Chromium" have_chromium "chromium" "all tests in a browser are skipped"

if ! have_axe; then
  if ! command -v npm >/dev/null && can_apt; then
    apt_install npm || true
  fi
  if command -v npm >/dev/null; then
    echo "needs: installing $axe by npm into node_modules" >&2
    # --prefix: without it npm would use a node_modules further up, if there is one. No scripts are run, and nothing is
    # written besides node_modules.
    npm install --prefix . --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error "$axe" >&2 </dev/null ||
      echo "needs: npm could not install $axe" >&2
  fi
  have_axe || missing+=("axe-core (node_modules/axe-core/axe.min.js)|npm install --no-save --ignore-scripts $axe|the accessibility tests are skipped")
fi

if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi
{
  echo
  echo "************************************************************************"
  for m in "${missing[@]}"; do
    IFS='|' read -r what how without <<<"$m"
    echo "* MISSING: $what"
    echo "*   to get it:  $how"
    echo "*   without it: $without"
  done
  echo "************************************************************************"
  echo
} >&2
if [[ $ci == true ]]; then
  echo "needs: with CI=true nothing may be missing" >&2
  exit 1
fi

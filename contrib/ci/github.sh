#!/usr/bin/env bash
# What the GitHub Action (action.yml) does with a plan. Everything comes in the environment, so that no input is ever read
# as shell. The exit status is that of guard: 0, 1 or 3, and 2 when nothing could be judged.
set -euo pipefail
umask 077

program=${GUARD_PROGRAM:-notafter}
cd -- "${GUARD_DIRECTORY:-.}"
tmp=$(mktemp -d "${RUNNER_TEMP:-/tmp}/notafter-guard.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT

# quietly prints what may hold anything at all: the runner takes no commands from it (it would, from a line that begins
# with two colons).
quietly() {
  local token
  token=notafter-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  echo "::stop-commands::$token"
  cat -- "$@"
  printf '\n::%s::\n' "$token" # on a line of its own, also after text that was cut off
}

# One comment for each plan, made when there is something to say and kept up to date from then on.
comment() {
  local number=$1 mark='<!-- notafter guard -->' name id
  name=$(tr -cd 'A-Za-z0-9._/-' <<<"${GUARD_NAME:-}")
  [[ -z $name ]] || mark="<!-- notafter guard: $name -->"
  {
    echo "$mark"
    [[ -z $name ]] || printf 'Plan `%s`:\n\n' "$name"
    tail -n +2 -- "$tmp/markdown"
  } >"$tmp/body"
  id=$(gh api --paginate "repos/$GITHUB_REPOSITORY/issues/$number/comments?per_page=100" \
    --jq ".[] | select(.user.type == \"Bot\") | select(.body | startswith(\"$mark\")) | .id") || return 1
  id=${id%%$'\n'*}
  if [[ -n $id ]]; then
    gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" -F "body=@$tmp/body" >/dev/null
  elif [[ -s $tmp/text ]]; then
    gh api --method POST "repos/$GITHUB_REPOSITORY/issues/$number/comments" -F "body=@$tmp/body" >/dev/null
  fi
}

# tell puts the verdict where people look: into the summary of the job, and into the comment.
tell() {
  cat -- "$tmp/markdown" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
  if [[ ${GUARD_COMMENT:-true} == true && ${GITHUB_REF:-} =~ ^refs/pull/([0-9]+)/merge$ ]]; then
    # A pull request from a fork may have a token that only reads. What was found stands all the same.
    comment "${BASH_REMATCH[1]}" || echo "::warning title=notafter guard::The comment could not be written. The verdict is in the summary of this job."
  fi
}

# unjudged ends without a verdict. A comment that is there already would go on telling of the plan before this one.
unjudged() {
  echo "::error title=notafter guard::$1"
  : >"$tmp/text"
  printf '%s\n' '<!-- notafter guard -->' "### ⚠️ notafter guard: not judged" "" "$1 So nobody knows what this plan does to renewal." >"$tmp/markdown"
  tell
  exit 2
}

plan=$GUARD_PLAN
overrides=${GUARD_OVERRIDES:-}
if [[ ! -f $plan ]]; then
  unjudged "There is no plan to judge: the file that the input names is not there."
fi
if [[ -z $overrides && -f $(dirname -- "$plan")/.notafter-overrides.yaml ]]; then
  overrides=$(dirname -- "$plan")/.notafter-overrides.yaml
fi
if [[ $(head -c 2 -- "$plan" | tr -d '\0') == PK ]]; then # a saved plan is a zip archive
  show=${GUARD_TERRAFORM:-terraform}
  # hashicorp/setup-terraform puts a script in the place of terraform that adds lines of its own to what it prints.
  if [[ $show == terraform ]] && command -v terraform-bin >/dev/null; then
    show=terraform-bin
  fi
  if ! "$show" show -json "$plan" >"$tmp/plan.json"; then
    unjudged "The saved plan could not be shown as JSON."
  fi
  plan=$tmp/plan.json
fi

args=()
[[ -z ${GUARD_INVENTORY:-} ]] || args+=(--inventory "$GUARD_INVENTORY")
[[ -z ${GUARD_CONFIG:-} ]] || args+=(--config "$GUARD_CONFIG")
[[ -z $overrides ]] || args+=(--overrides "$overrides")
guard() { "$program" guard ${args[@]+"${args[@]}"} --output "$1" -- "$plan"; }

status=0
guard text >"$tmp/text" 2>"$tmp/notes" || status=$?
quietly "$tmp/notes" "$tmp/text"
case $status in
  0 | 1 | 3) ;;
  *)
    unjudged "The plan could not be judged. The log says why."
    ;;
esac
guard json >"$tmp/json" 2>/dev/null || [[ $? == "$status" ]]
guard markdown >"$tmp/markdown" 2>/dev/null || [[ $? == "$status" ]]
verdict=$(sed -n 's/^  "verdict": "\([a-z]*\)",$/\1/p' "$tmp/json")
{
  echo "verdict=$verdict"
  echo "status=$status"
} >>"${GITHUB_OUTPUT:-/dev/null}"
if [[ -n ${GUARD_SARIF:-} ]]; then
  (
    umask 022
    guard sarif >"$GUARD_SARIF" 2>/dev/null
  ) || [[ $? == "$status" ]]
fi

tell

case $status in
  1) echo "::error title=notafter guard::Renewal of certificates would break ($verdict). Do not apply this plan as it is." ;;
  3) echo "::error title=notafter guard::This plan does not say enough to know whether renewal survives it ($verdict)." ;;
esac
exit "$status"

#!/bin/sh
# Send a checkout (or a release) to a folder as a release of its own, and switch to it at once: dev to live to prod.
# The layout, the ignore lists and what to do afterwards: docs/deployment.md.

set -eu

PROGRAM=tools/sync_project.sh
STAGE=prod
KEEP=5
VIA=auto
DRY_RUN=no
ALLOW_DIRTY=no
PREPARE='make setup'
CHECK=yes
ACTION=push
SETTINGS=
SSH=${SYNC_SSH:-ssh}
SOURCE=

usage() {
  cat <<'TEXT'
usage: tools/sync_project.sh [options] TARGET
       tools/sync_project.sh --rollback TARGET
       tools/sync_project.sh --list TARGET
       tools/sync_project.sh --settings FILE.enc TARGET

TARGET is a folder, or [user@]host:folder (by ssh). In it: releases/TAG-COMMIT/ for code, `current` (a link to the
release in force), shared/ (TBOT_HOME: settings, control, output, backups, logs), which no push ever touches.

  --stage STAGE     dev, live or prod (default): which ignore lists leave files out
  --from FOLDER     a checkout or a release; default: the one that this script is in
  --allow-dirty     send what is not committed, too; the release's name says so
  --prepare COMMAND run in the new release before the switch (default: make setup); '' for nothing
  --no-check        do not ask the new release's `tbot check` before the switch
  --keep N          releases kept on the target (default 5); never fewer than the one in force and the one before it
  --via WAY         rsync, tar or auto (default: rsync where both sides have it)
  --dry-run         say what would be sent and done; change nothing
  --rollback        switch back to the release that was in force before
  --list            show the target's releases
  --settings FILE   send encrypted settings, and only these, to shared/.env_bot.enc; the old ones stay beside it
  --help            this text

SYNC_SSH names another ssh command, such as 'ssh -p 2222 -i key'.
Exit status: 0 done, 1 failed or refused (the target runs what it ran before), 2 a mistake on the command line.

example: tools/sync_project.sh --stage prod tbot@server:/srv/tradebot
TEXT
}

fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

misuse() {
  printf 'error: %s; see %s --help\n' "$1" "$PROGRAM" >&2
  exit 2
}

say() { printf '%s\n' "$1"; }

quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# --- the command line ------------------------------------------------------------------------------------------------

TARGET=
while [ $# -gt 0 ]; do
  case $1 in
    --stage | --from | --prepare | --keep | --via | --settings)
      [ $# -gt 1 ] || misuse "$1 needs a value"
      case $1 in
        --stage) STAGE=$2 ;;
        --from) SOURCE=$2 ;;
        --prepare) PREPARE=$2 ;;
        --keep) KEEP=$2 ;;
        --via) VIA=$2 ;;
        --settings) ACTION=settings SETTINGS=$2 ;;
      esac
      shift
      ;;
    --allow-dirty) ALLOW_DIRTY=yes ;;
    --no-check) CHECK=no ;;
    --dry-run) DRY_RUN=yes ;;
    --rollback) ACTION=rollback ;;
    --list) ACTION=list ;;
    --help | -h)
      usage
      exit 0
      ;;
    -*) misuse "unknown option $1" ;;
    *)
      [ -z "$TARGET" ] || misuse "more than one target: $TARGET and $1"
      TARGET=$1
      ;;
  esac
  shift
done
[ -n "$TARGET" ] || misuse "no target given"
case $STAGE in dev | live | prod) ;; *) misuse "stage '$STAGE' is none of dev, live, prod" ;; esac
case $VIA in auto | rsync | tar) ;; *) misuse "way '$VIA' is none of rsync, tar, auto" ;; esac
case $KEEP in '' | *[!0-9]*) misuse "--keep '$KEEP' is no number" ;; esac
case $TARGET in
  /* | ./* | ../*) HOST='' ROOT=$TARGET ;;
  *:*) HOST=${TARGET%%:*} ROOT=${TARGET#*:} ;;
  *) HOST='' ROOT=$TARGET ;;
esac
[ -n "$ROOT" ] || misuse "the target names no folder"
case $HOST:$ROOT in :/*) ;; :*) ROOT=$(pwd)/$ROOT ;; esac
case $HOST in -*) misuse "the host '$HOST' looks like an option" ;; esac

# --- what runs on the target -----------------------------------------------------------------------------------------

target_program() {
  cat <<'TARGET_PROGRAM'
set -eu
action=$1 root=$2
shift 2
fail() { printf 'error: %s\n' "$1" >&2; exit 1; }
current() { readlink "$root/current" 2>/dev/null | sed 's|.*/||' || true; }
is_complete() { [ -f "$root/releases/$1/.release" ]; }
history() { cat "$root/releases/.history" 2>/dev/null || true; }
# The nearest entry before the last one of $1 that is another release and is still there.
before() {
  found='' candidate=''
  for one in $(history); do
    [ "$one" = "$1" ] && found=$candidate
    if is_complete "$one"; then
      [ "$one" = "$1" ] || candidate=$one
    fi
  done
  printf '%s' "$found"
}
point_to() {
  fresh="$root/.current-$$"
  ln -s "releases/$1" "$fresh"
  mv -T "$fresh" "$root/current" 2>/dev/null || mv -fh "$fresh" "$root/current"
}
# Whether a process was started from $1; its supervisor may yet have to start a runner from there.
# shellcheck disable=SC2009 # pgrep takes patterns, and a path is none
in_use() { ps -A -ww -o args= 2>/dev/null | grep -F "$(cd "$root" && pwd -P)/releases/$1/" | grep -qvF grep; }
sums() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }
case $action in
  look)
    [ ! -e "$root" ] || [ -d "$root" ] || fail "$root is not a folder"
    for name in .git tbot_bot .venv .env .env_bot .env_bot.enc output control; do
      [ ! -e "$root/$name" ] ||
        fail "$root holds $name: it is a checkout or an installation in place. Give a folder of its own"
    done
    [ ! -e "$root/current" ] || [ -L "$root/current" ] || fail "$root/current is not a link; nothing was changed"
    printf 'rsync=%s current=%s complete=%s\n' "$(command -v rsync >/dev/null && echo yes || echo no)" "$(current)" \
      "$(is_complete "$1" && echo yes || echo no)"
    ;;
  lock)
    mkdir -p "$root/releases"
    if ! mkdir "$root/.sync.lock" 2>/dev/null; then
      holder=$(cat "$root/.sync.lock/holder" 2>/dev/null || true)
      [ "$2" = "${holder:-none}" ] || # else it has been found dead
        fail "another sync is at work on $root (${holder:-unknown}); if there is none, remove .sync.lock there"
    fi
    printf '%s' "$1" >"$root/.sync.lock/holder"
    ;;
  holder) cat "$root/.sync.lock/holder" 2>/dev/null || true ;;
  unlock) [ "$(cat "$root/.sync.lock/holder" 2>/dev/null)" != "$1" ] || rm -rf "$root/.sync.lock" ;;
  room)
    (umask 077 && mkdir -p "$root/shared/control" "$root/shared/output" "$root/shared/backups" "$root/shared/logs")
    mkdir -p "$root/releases/$1"
    ;;
  unpack) tar -xf - -C "$root/releases/$1" ;;
  manifest) cat >"$root/releases/$1/.manifest" ;;
  prepare)
    cd -P "$root/releases/$1"
    [ -z "$3" ] || sh -c "$3" || fail "'$3' failed in releases/$1"
    shared=$(cd -P ../../shared && pwd)
    if [ "$2" = yes ] && { [ -e "$shared/.env_bot" ] || [ -e "$shared/.env_bot.enc" ]; }; then
      status=0
      said=$(TBOT_HOME=$shared .venv/bin/tbot check 2>&1) || status=$?
      failed=$(printf '%s\n' "$said" | grep '^FAIL' || true)
      sealed=no
      [ ! -e "$shared/.env_bot.enc" ] || [ -n "${ENCRYPTION_KEY:-}${CREDENTIALS_DIRECTORY:-}" ] || sealed=yes
      if [ "$status" = 2 ] && [ "$sealed" = yes ] && ! printf '%s\n' "$failed" | grep -qv '^FAIL  configuration: '; then
        printf 'the settings are sealed and their key is not at hand: the start will check them\n'
      elif [ "$status" != 0 ]; then
        printf '%s\n' "${failed:-$said}" >&2
        fail "the new release does not pass its build check"
      fi
    fi
    ;;
  verify)
    cd "$root/releases/$1"
    sums -c --quiet .manifest >/dev/null || fail "what arrived in releases/$1 is not what was sent; send it again"
    printf '%s\n' "$2" >.release.new && mv .release.new .release
    ;;
  switch)
    is_complete "$1" || fail "releases/$1 is not complete"
    [ "$(current)" = "$1" ] || printf '%s\n' "$1" >>"$root/releases/.history"
    point_to "$1"
    ;;
  rollback)
    now=$(current)
    [ -n "$now" ] || fail "nothing is in force at $root"
    back=$(before "$now")
    [ -n "$back" ] || fail "there is no release before $now at $root"
    [ "$1" = yes ] || point_to "$back"
    printf '%s %s\n' "$now" "$back"
    ;;
  prune)
    now=$(current) kept=0
    back=$(before "$now")
    seen=' '
    for one in $(history | awk '{ line[NR] = $0 } END { for (i = NR; i > 0; i--) print line[i] }'); do
      case $seen in *" $one "*) continue ;; esac
      seen="$seen$one "
      is_complete "$one" || continue
      kept=$((kept + 1))
      if [ "$kept" -gt "$2" ] && [ "$one" != "$now" ] && [ "$one" != "$back" ] && ! in_use "$one"; then
        rm -f "$root/releases/$one/.release"
        rm -rf "$root/releases/$one"
        printf 'removed releases/%s\n' "$one"
      fi
    done
    ;;
  list)
    now=$(current)
    for folder in "$root"/releases/*/; do
      one=$(basename "$folder")
      [ -d "$folder" ] || continue
      mark='  ' note=''
      [ "$one" != "$now" ] || mark='* '
      is_complete "$one" || note=' (incomplete: it was never in force)'
      printf '%s%s%s\n' "$mark" "$one" "$note"
    done
    ;;
  settings)
    umask 077
    mkdir -p "$root/shared"
    there=$root/shared/.env_bot.enc
    cat >"$there.new"
    [ -s "$there.new" ] || fail "nothing arrived; the settings there are as they were"
    [ ! -e "$there" ] || cp -p "$there" "$there.previous"
    mv "$there.new" "$there"
    ;;
esac
TARGET_PROGRAM
}

PROGRAM_THERE=$(target_program)

# on_target ACTION [WORD...]: standard input goes to the action.
on_target() {
  action=$1
  shift
  if [ -z "$HOST" ]; then
    sh -c "$PROGRAM_THERE" sync "$action" "$ROOT" "$@"
  else
    words=
    for word in sync "$action" "$ROOT" "$@"; do words="$words $(quoted "$word")"; done
    # shellcheck disable=SC2086 # the ssh command is several words on purpose
    $SSH "$HOST" "sh -c $(quoted "$PROGRAM_THERE")$words"
  fi
}

# --- the simple actions ----------------------------------------------------------------------------------------------

case $ACTION in
  list)
    on_target list </dev/null
    exit 0
    ;;
  rollback)
    found=$(on_target rollback "$DRY_RUN" </dev/null)
    [ "$DRY_RUN" = no ] && done_so='rolled back' || done_so='would roll back'
    say "$done_so from ${found% *} to ${found#* }"
    say "what runs goes on with the code it has; restart the supervisor to take the other (docs/deployment.md)"
    exit 0
    ;;
  settings)
    case $SETTINGS in *.enc) ;; *) fail "$SETTINGS was not sent: only encrypted settings are, in a file *.enc" ;; esac
    [ -s "$SETTINGS" ] || fail "$SETTINGS is not there or empty"
    if [ "$DRY_RUN" = yes ]; then
      say "would send $SETTINGS to shared/.env_bot.enc"
    else
      on_target settings <"$SETTINGS"
      say "sent $SETTINGS to shared/.env_bot.enc; the ones before are in .env_bot.enc.previous"
    fi
    exit 0
    ;;
esac

# --- what is sent ----------------------------------------------------------------------------------------------------

[ -n "$SOURCE" ] || SOURCE=$(dirname "$0")/..
SOURCE=$(cd "$SOURCE" 2>/dev/null && pwd -P) || fail "there is no folder $SOURCE"
command -v git >/dev/null || fail "git is needed here, to know what belongs to the project"
WORK=$(mktemp -d)
LOCKED=no
ME=$(uname -n | tr ':' '_'):$$
tidy() {
  rm -rf "$WORK"
  [ "$LOCKED" = no ] || on_target unlock "$ME" </dev/null || true
}
trap tidy EXIT
trap 'exit 130' INT TERM HUP

if command -v sha256sum >/dev/null; then SUMS=sha256sum; else SUMS='shasum -a 256'; fi
local_sums() { $SUMS "$@"; }

cd "$SOURCE"
DIRTY=
if [ -e .git ]; then
  COMMIT=$(git rev-parse --short=12 HEAD 2>/dev/null) || fail "$SOURCE has no commit"
  if [ -n "$(git status --porcelain)" ]; then
    [ "$ALLOW_DIRTY" = yes ] || fail "$SOURCE has changes that are not committed; commit them, or say --allow-dirty"
    DIRTY=yes
  fi
  {
    git ls-files -z --cached
    [ -z "$DIRTY" ] || git ls-files -z --others --exclude-standard
  } | tr '\0' '\n' | sort -u >"$WORK/all"
elif [ -f .release ] && [ -f .manifest ]; then
  COMMIT=$(sed -n 's/^commit //p' .release)
  if ! local_sums -c --quiet .manifest >/dev/null 2>&1; then
    [ "$ALLOW_DIRTY" = yes ] || fail "$SOURCE is not what was released; send the release again, or say --allow-dirty"
    DIRTY=yes
  fi
  sed 's/^[0-9a-f]*  //' .manifest | sort -u >"$WORK/all"
else
  fail "$SOURCE is neither a git checkout nor a release"
fi
grep -q '["\\]' "$WORK/all" && fail "a file's name holds a quote or a backslash; rename it"
TAG=$(sed -n 's/^# *\(v[0-9][0-9.]*\).*/\1/p;1q' VERSION.md 2>/dev/null) || TAG=
[ -n "$TAG" ] || fail "VERSION.md in $SOURCE does not begin with a version tag"

LISTS='env enc'
[ "$STAGE" = dev ] || LISTS="$LISTS dev"
[ "$STAGE" != prod ] || LISTS="$LISTS prod_archive"
: >"$WORK/patterns"
for list in $LISTS; do
  # A release does not hold lists that a stage before it has no use for; those of env and enc it must.
  if [ -f ".scpignore_$list" ]; then
    cat ".scpignore_$list" >>"$WORK/patterns"
    echo >>"$WORK/patterns"
  else
    fail "the ignore list .scpignore_$list is missing in $SOURCE"
  fi
done
# git matches the patterns, in a work tree of empty files: so they mean here what they mean in .gitignore.
mkdir "$WORK/names"
(cd "$WORK/names" && git init -q . && while IFS= read -r name; do
  mkdir -p "$(dirname "$name")" && : >"$name"
done <"$WORK/all")
git -C "$WORK/names" -c core.excludesFile=/dev/null ls-files -z --others --ignored --exclude-from="$WORK/patterns" |
  tr '\0' '\n' | sort -u >"$WORK/left_out"
comm -23 "$WORK/all" "$WORK/left_out" >"$WORK/sent"
while IFS= read -r name; do
  if [ ! -e "$name" ]; then continue; fi
  case $name in
    .env | .env_bot | .env_bot.enc | control/* | output/* | backups/* | logs/*)
      fail "$name would be sent: state and settings of the target are never overwritten. Take it out of the checkout"
      ;;
  esac
  [ ! -L "$name" ] || fail "$name is a link; only files are sent"
  printf '%s\n' "$name"
done <"$WORK/sent" >"$WORK/files"
[ -s "$WORK/files" ] || fail "nothing is left to send"
# shellcheck disable=SC2086 # two words where it is shasum
tr '\n' '\0' <"$WORK/files" | xargs -0 $SUMS >"$WORK/manifest"

NAME=$TAG-$COMMIT
[ -z "$DIRTY" ] || NAME=$NAME-dirty-$(local_sums <"$WORK/manifest" | cut -c1-8)
[ "$STAGE" = prod ] || NAME=$NAME-$STAGE
case $NAME in *[!A-Za-z0-9._-]*) fail "'$NAME' is no name for a release" ;; esac
COUNT=$(wc -l <"$WORK/files" | tr -d ' ')

# --- sending it ------------------------------------------------------------------------------------------------------

SEEN=$(on_target look "$NAME" </dev/null)
NOW=$(printf '%s' "$SEEN" | sed 's/.*current=\([^ ]*\).*/\1/')
case $VIA in
  auto) case $SEEN in rsync=yes*) command -v rsync >/dev/null && VIA=rsync || VIA=tar ;; *) VIA=tar ;; esac ;;
  rsync) case $SEEN in rsync=yes*) ;; *) fail "the target has no rsync; say --via tar" ;; esac ;;
esac
if [ "$DRY_RUN" = yes ]; then
  sed 's/^/send      /' "$WORK/files"
  sed 's/^/leave out /' "$WORK/left_out"
  say "would send $COUNT files to $TARGET as releases/$NAME by $VIA, and switch from ${NOW:-nothing} to it"
  exit 0
fi

# The lock of a sync that was killed on this machine is taken over; another machine's is not ours to judge.
HOLDER=$(on_target holder </dev/null)
DEAD=
if [ -n "$HOLDER" ] && [ "${HOLDER%%:*}" = "${ME%%:*}" ] && ! kill -0 "${HOLDER##*:}" 2>/dev/null; then DEAD=$HOLDER; fi
on_target lock "$ME" "$DEAD" </dev/null
LOCKED=yes

case $SEEN in
  *complete=yes*) say "releases/$NAME is there already" ;;
  *)
    on_target room "$NAME" </dev/null
    if [ "$VIA" = rsync ]; then
      if [ -z "$HOST" ]; then
        rsync -a --checksum --files-from="$WORK/files" ./ "$ROOT/releases/$NAME/"
      else
        rsync -a --checksum --files-from="$WORK/files" -e "$SSH" ./ "$HOST:$ROOT/releases/$NAME/"
      fi
    else
      tar -cf - -T "$WORK/files" | on_target unpack "$NAME"
    fi
    on_target manifest "$NAME" <"$WORK/manifest"
    on_target prepare "$NAME" "$CHECK" "$PREPARE" </dev/null ||
      fail "the new release could not be prepared; ${NOW:-nothing} stays in force"
    on_target verify "$NAME" "commit $COMMIT" </dev/null
    ;;
esac
on_target switch "$NAME" </dev/null
say "switched from ${NOW:-nothing} to $NAME ($COUNT files by $VIA)"
on_target prune "$NAME" "$KEEP" </dev/null
say "what runs goes on with the code it has; restart the supervisor to take the new (docs/deployment.md)"

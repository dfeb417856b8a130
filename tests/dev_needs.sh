#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What ./dev installs, and what it says is missing: what its command needs, and nothing else. Programs in front of the real ones stand for the
# system: packages are installed but those in $LACKING, which are there for another architecture; CMake finds none of its optional ones.
#
# usage: dev_needs.sh SOURCE FOLDER
set -uo pipefail
source=$1 folder=$2
rm -rf "$folder"
mkdir -p "$folder/bin"
cp "$source/dev" "$folder"
cd "$folder" || exit 1
touch CMakePresets.json

stub() {
    printf '#!/usr/bin/env bash\n%s\n' "$2" >"bin/$1"
    chmod +x "bin/$1"
}
# shellcheck disable=SC2016
{
    stub dpkg 'echo this'
    stub dpkg-query 'for word; do
    case " $word  $LACKING " in
        " "[-\$]*) ;;
        *" $word "*" $word "*) echo "$word other installed" ;;
        " cmake "*) echo "$word all installed" ;;
        *) echo "$word this installed" ;;
    esac
done'
    stub apt-get 'echo "apt-get $*" >>words'
    stub apt-cache 'for word; do echo "  Candidate: 1"; done'
    stub sudo '"$@"'
    stub pkg-config 'true'
    stub cmake 'echo "cmake $*" >>words
[[ $1 == --preset ]] || exit 0
for word in libpng:libpng-dev SDL2:libsdl2-dev cmocka:libcmocka-dev TBB:libtbb-dev; do echo "-- missing ${word%:*}: a loss (apt install ${word#*:})"; done
mkdir -p build/release/examples/level_tick
echo "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" >build/release/CMakeCache.txt
touch build/release/Makefile
echo true >build/release/examples/level_tick/level_tick
chmod +x build/release/examples/level_tick/level_tick'
}

failures=0
# expect WANTED FOUND
expect() {
    [[ $2 == "$1" ]] && return
    printf '%s: expected:\n%s\nfound:\n%s\n' "$case" "$1" "$2"
    failures=$((failures + 1))
}
# dev CASE LACKING WORD…: leaves what it said is missing in `missing`, and what it installs and builds in `words`.
dev() {
    case=$1
    local lacking=$2
    shift 2
    rm -rf build words
    output=$(LACKING=$lacking PATH=$PWD/bin:$PATH ./dev "$@" 2>&1 </dev/null)
    missing=$(grep '^missing' <<<"$output")
    words=$(grep -oE 'apt-get install .*|--target .*' words | sed 's/ -y -q --no-install-recommends//' | LC_ALL=C sort -u)
}

dev "demo, all there" "libsdl2-dev libcmocka-dev libtbb-dev python3" demo
expect "--target level_tick" "$words"
expect "missing libpng: a loss (apt install libpng-dev)" "$missing"

dev "demo, one lacking" "libpng-dev libsdl2-dev libtbb-dev" demo
expect $'--target level_tick\napt-get install libpng-dev' "$words"
expect "missing libpng: a loss (apt install libpng-dev)" "$missing"

dev "build, all lacking" "libpng-dev libsdl2-dev libtbb-dev" build
expect "" "$words"
expect 4 "$(grep -c . <<<"$missing")"

echo "dev: $failures failures"
((failures == 0))

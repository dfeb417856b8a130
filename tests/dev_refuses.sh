#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# ./dev with wrong words: one sentence, exit status 2, and nothing is installed, built or removed. Run in a folder with no sources, so that a
# command that goes on fails otherwise.
#
# usage: dev_refuses.sh SOURCE FOLDER
set -uo pipefail
source=$1 folder=$2
rm -rf "$folder"
mkdir -p "$folder/build/kept"
cp "$source/dev" "$folder"
cp -r "$source/bench" "$folder"
before=$(find "$folder" | sort)

failures=0
while IFS= read -r line; do
    read -ra words <<<"$line"
    output=$(PYTHONDONTWRITEBYTECODE=1 "$folder/dev" "${words[@]}" 2>&1 </dev/null)
    status=$?
    if ((status != 2)) || [[ $output != *"${words[-1]}"* ]]; then
        printf "dev %s: exit status %d\n%s\n" "$line" $status "$output"
        failures=$((failures + 1))
    fi
done <<'END'
nothing
test --preset
build release debug
bench ZZ
bench A1 --bogus
bench A1 --renew
stress often
stress 0
stress 0.0
stress -1
stress 10 20
stress --lists
coverage all
format dev
clean everything
END
if [[ $(find "$folder" | sort) != "$before" ]]; then
    echo "something was made or removed"
    failures=$((failures + 1))
fi
echo "dev: $failures failures"
((failures == 0))

#!/usr/bin/env bash
# Checks the models with spin: the protocol must hold, and each mutant, which
# leaves out one thing that the protocol relies on, must be caught.
set -euo pipefail
cd "$(dirname "$0")"
for tool in spin gcc; do
	if ! command -v "$tool" >/dev/null; then
		echo "NOT RUN: models: $tool is not installed (make setup installs it)"
		[[ ${CI:-} == true ]] && exit 1
		exit 0
	fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$PWD

# errors FLAGS...: how many errors the whole state space of move.pml has.
errors() {
	(
		cd "$work"
		spin -a "$@" "$model/move.pml" >spin.log
		gcc -O2 -DSAFETY -DNOCLAIM -DCOLLAPSE -o pan pan.c 2>gcc.log
		./pan -m3000000 -n >pan.log
		if grep -qE 'max search depth too small|out of memory|Search not completed' pan.log && ! grep -qE 'errors: [1-9]' pan.log; then
			echo "the search was not complete" >&2
			exit 1
		fi
		sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
	)
}

bad=0
holds() {
	local n; n=$(errors "$@")
	if [[ $n == 0 ]]; then echo "holds   move.pml $*"; else echo "BROKEN  move.pml $*: $n errors"; bad=1; fi
}
caught() {
	local n; n=$(errors "$@")
	if [[ $n =~ ^[1-9] ]]; then echo "caught  move.pml $*"; else echo "MISSED  move.pml $*: a mutant that must fail did not"; bad=1; fi
}

size=(-DNN=2 -DNQ=2 -DUNITS=1)
holds "${size[@]}"
holds "${size[@]}" -DPLAY
holds "${size[@]}" -DROLLBACK -DMONO
caught "${size[@]}" -DROLLBACK
for mutant in M_NOFSYNC M_NOTOMB M_NODEDUP M_FORGET M_EARLYDEL; do
	caught "${size[@]}" "-D$mutant"
done
exit $bad

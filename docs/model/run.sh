#!/usr/bin/env bash
# Checks the models with spin: the protocol must hold, and each mutant, which
# leaves out one thing that the protocol relies on, must be caught. Each run
# searches the whole state space at its size; all of them take under a minute.
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
models=$PWD

# errors MODEL FLAGS...: how many errors the search finds. cc is what the
# verifier is compiled with, search what it is run with.
errors() {
	local model=$1
	shift
	(
		cd "$work"
		spin -a "$@" "$models/$model" >spin.log
		# shellcheck disable=SC2086 # flags, one a word
		gcc -O2 $cc -o pan pan.c 2>gcc.log
		# shellcheck disable=SC2086 # flags, one a word
		./pan $search >pan.log
		if ! grep -qE 'errors: [1-9]' pan.log && grep -qE 'max search depth too small|out of memory|Search not completed' pan.log; then
			echo "the search of $model $* was not complete" >&2
			exit 1
		fi
		sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
	)
}

bad=0
holds() {
	local n
	n=$(errors "$@")
	if [[ $n == 0 ]]; then echo "holds   $*"; else echo "BROKEN  $*: ${n:-no} errors"; bad=1; fi
}
caught() {
	local n
	n=$(errors "$@")
	if [[ $n =~ ^[1-9] ]]; then echo "caught  $*"; else echo "MISSED  $*: a mutant that must fail did not"; bad=1; fi
}

size=(-DNN=2 -DNQ=2 -DUNITS=1)
cc="-DSAFETY -DNOCLAIM -DCOLLAPSE" search="-m3000000 -n"
holds move.pml "${size[@]}"
holds move.pml "${size[@]}" -DPLAY
holds move.pml "${size[@]}" -DROLLBACK -DMONO
caught move.pml "${size[@]}" -DROLLBACK
for mutant in M_NOFSYNC M_NOTOMB M_NODEDUP M_FORGET M_EARLYDEL; do
	caught move.pml "${size[@]}" "-D$mutant"
done

live=(-DLIVE -DNN=2 -DNQ=1 -DUNITS=1 -DCRASHES=1 -DDROPS=1)
cc="-DCOLLAPSE -DNFAIR=5" search="-a -f -m3000000 -n"
holds move.pml "${live[@]}"
caught move.pml "${live[@]}" -DM_NORETX

cc="-DSAFETY" search="-m1000000 -n"
holds nv.pml -DCHAIN
holds nv.pml -DCHAIN -DHONEST
holds nv.pml -DBOOTREC
holds nv.pml -DBOOTREC -DHONEST
caught nv.pml -DCOUNTER
caught nv.pml -DNVFIRST -DHONEST

cc="-DSAFETY -DCOLLAPSE"
holds witness.pml
holds witness.pml -DHONEST
caught witness.pml -DM_NEWEST
caught witness.pml -DM_SERVE
caught witness.pml -DM_COUNT

cc="-DSAFETY" search="-E -m1000000 -n"
holds arb.pml
caught arb.pml -DREL
caught arb.pml -DUNSEC
holds lend.pml -DFIX
caught lend.pml
caught lend.pml -DFIX -DSLOWB
caught lend.pml -DFIX -DFASTA
exit $bad

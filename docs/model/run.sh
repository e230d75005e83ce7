#!/usr/bin/env bash
# Checks the models with spin: the protocol must hold, and each mutant, which
# leaves out one thing that the protocol relies on, must be caught. Each run
# searches the whole state space at its size; all of them take about a minute
# on two processors, and half a gigabyte each at most.
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
	local model=$1 dir n
	shift
	dir=$(mktemp -d "$work/XXXXXX")
	cd "$dir"
	spin -a "$@" "$models/$model" >spin.log
	# shellcheck disable=SC2086 # flags, one a word
	gcc $cc -o pan pan.c 2>gcc.log
	# shellcheck disable=SC2086 # flags, one a word
	./pan $search >pan.log
	n=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log)
	if [[ $n == 0 ]] && grep -qE 'max search depth too small|out of memory|Search not completed' pan.log; then
		echo "the search of $model $* was not complete" >&2
		n=
	fi
	rm -rf "$dir"
	echo "$n"
}

judge() { # holds|caught MODEL FLAGS...
	local want=$1 n
	shift
	n=$(errors "$@") || n=
	case $want:$n in
	holds:0 | caught:[1-9]*) printf '%-7s %s\n' "$want" "$*" ;;
	holds:*) echo "BROKEN  $*: ${n:-no} errors"; touch "$work/bad" ;;
	*) echo "MISSED  $*: a mutant that must fail did not"; touch "$work/bad" ;;
	esac
}

# queue runs one check beside others, as many as there are processors.
queue() {
	while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n; done
	judge "$@" &
}
holds() { queue holds "$@"; }
caught() { queue caught "$@"; }

size=(-DNN=2 -DNQ=2 -DUNITS=1)
cc="-O2 -DSAFETY -DNOCLAIM -DCOLLAPSE" search="-m3000000 -n"
holds move.pml "${size[@]}"
holds move.pml "${size[@]}" -DPLAY
holds move.pml "${size[@]}" -DROLLBACK -DMONO
caught move.pml "${size[@]}" -DROLLBACK
for mutant in M_NOFSYNC M_NOTOMB M_NODEDUP M_FORGET M_EARLYDEL; do
	caught move.pml "${size[@]}" "-D$mutant"
done

live=(-DLIVE -DNN=2 -DNQ=1 -DUNITS=1 -DCRASHES=1 -DDROPS=1)
cc="-O2 -DCOLLAPSE -DNFAIR=5" search="-a -f -m3000000 -n"
holds move.pml "${live[@]}"
caught move.pml "${live[@]}" -DM_NORETX

# What is small takes longer to compile, and to make room for, than to search.
cc="-O0 -DSAFETY" search="-m100000 -w20 -n"
holds nv.pml -DCHAIN
holds nv.pml -DCHAIN -DHONEST
holds nv.pml -DBOOTREC
holds nv.pml -DBOOTREC -DHONEST
caught nv.pml -DCOUNTER
caught nv.pml -DNVFIRST -DHONEST

holds witness.pml -DHONEST
caught witness.pml -DM_NEWEST
caught witness.pml -DM_SERVE
caught witness.pml -DM_COUNT
cc="-O2 -DSAFETY -DCOLLAPSE" search="-m1000000 -w22 -n"
holds witness.pml

cc="-O0 -DSAFETY" search="-E -m100000 -w20 -n"
holds arb.pml
caught arb.pml -DREL
caught arb.pml -DUNSEC
holds lend.pml -DFIX
caught lend.pml
caught lend.pml -DFIX -DSLOWB
caught lend.pml -DFIX -DFASTA

cc="-O2 -DSAFETY -DCOLLAPSE" search="-E -m1000000 -w22 -n"
holds batch.pml -DCHAIN
holds batch.pml -DCHAIN -DTWO -DANYWHERE
holds batch.pml -DCOUNTER -DNS=8
holds remove.pml
holds hold.pml -DTIME
holds heal.pml -DCLONE -DBACK -DW=2 -DR=1 -DNS=3
holds heal.pml -DBACK -DW=2 -DR=2 -DF=1 -DNS=4

cc="-O0 -DSAFETY -DCOLLAPSE" search="-E -m100000 -w20 -n"
holds batch.pml -DCHAIN -DANYWHERE
for mutant in M_NVFIRST M_EXTFIRST M_TORN M_NOPRE M_REFUND M_RESUME M_LOWMOVE M_BEHIND; do
	caught batch.pml -DCHAIN "-D$mutant"
done
caught batch.pml -DCOUNTER -DTWO -DANYWHERE
caught batch.pml -DCOUNTER -DM_NOBOOTREC
caught batch.pml -DCOUNTER -DM_EXTFIRST

holds copy.pml
holds copy.pml -DN=3 -DNQ=3
holds copy.pml -DN=3 -DINHERIT
holds copy.pml -DFREE
for mutant in M_TIMEOUT M_TWICE M_NORESERVE M_NODEDUP M_FORGET M_SPLIT M_STATE M_MUTE; do
	caught copy.pml "-D$mutant"
done
caught copy.pml -DFREE -DM_GEN
caught copy.pml -DINHERIT -DM_KEEP

for mutant in M_SHUT M_SHUTREV M_OPEN M_OLDGEN M_REFUSED M_NORELEASE M_NOCANCEL M_RELDONE; do
	caught remove.pml "-D$mutant"
done

holds hold.pml
holds hold.pml -DWHOLE
for mutant in M_ALL M_NOCAP M_BOTH M_MOVE M_RELDONE M_DIRECT M_SLEEP; do
	caught hold.pml "-D$mutant"
done
for mutant in M_REL M_CLOCK; do
	caught hold.pml -DTIME "-D$mutant"
	caught hold.pml -DWHOLE "-D$mutant"
done
caught hold.pml -DTIME -DM_MARGIN
caught hold.pml -DWHOLE -DM_EARLY

holds heal.pml
holds heal.pml -DBACK -DNS=4
holds heal.pml -DBACK -DW=2 -DR=0 -DNS=4
holds heal.pml -DBACK -DNW=3 -DW=2 -DR=2 -DNS=3
holds heal.pml -DBACK -DNW=3 -DW=1 -DR=3 -DNS=3
caught heal.pml -DBACK -DW=0 -DNS=4
caught heal.pml -DBACK -DR=1 -DNS=4
caught heal.pml -DBACK -DNW=3 -DW=1 -DR=2 -DNS=3
caught heal.pml -DBACK -DW=1 -DR=2 -DF=1 -DNS=4
caught heal.pml -DCLONE -DNS=3
caught heal.pml -DCLONE -DW=2 -DR=1 -DM_BLIND -DNS=3
caught heal.pml -DM_FOREIGN
for mutant in M_TAIL M_FORGET M_OLDER M_SPEAK; do
	caught heal.pml -DBACK -DNS=4 "-D$mutant"
done
wait
[[ ! -e $work/bad ]]

#!/usr/bin/env bash
# Proves the models of SLTP with ProVerif: each query must get the answer that
# stands before it in the model. With -m also their mutants and variants: a
# mutant leaves out one thing that the protocol relies on, and the queries that
# it names must become false; a variant must keep them true.
#
#   docs/model/prove.sh [-m] [MODEL.pv...]
#
# No package that make setup installs has ProVerif, so neither make models nor
# CI runs this. What it said last, and when, is in README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mutants=
if [[ ${1:-} == -m ]]; then
	mutants=yes
	shift
fi
if ! command -v proverif >/dev/null; then
	echo "NOT RUN: models of SLTP: proverif is not installed (https://proverif.inria.fr)" >&2
	exit 1
fi
models=("$@")
[[ $# -gt 0 ]] || models=("$here"/sltp*.pv)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
TIMEFORMAT=%U

# change MODEL NAME: the model with the lines of the mutant or variant NAME.
change() {
	sed -E -e "/\(\* -$2 \*\)/d" -e "s/\(\* \+$2: (.*) \*\)/\1/" "$1"
}

# only NUMBERS: the model on standard input with no queries but these.
only() {
	awk -v want=" $1 " '
		/^\(\* [0-9]+\. (true|false): / { n = $2; sub(/\./, "", n); skip = !index(want, " " n " ") }
		!skip
		/^$/ { skip = 0 }'
}

# expected NUMBERS: number and answer of each of these queries, or of all.
expected() {
	sed -nE 's/^\(\* ([0-9]+)\. (true|false): .*/\1 \2/p' "$2" | awk -v want=" $1 " 'want == "  " || index(want, " " $1 " ")'
}

# answers FILE: what ProVerif says, a query a line, in their order.
answers() {
	{ time proverif "$1" >"$work/log"; } 2>"$work/time"
	sed -nE -e '/^RESULT \((but|query encoded)/d' -e 's/^RESULT .* is (true|false)\.$/\1/p' -e 's/^RESULT .* cannot be proved\.$/unproved/p' "$work/log"
}

# compare TITLE FILE: runs FILE against the lines "number answer" in $work/want.
compare() {
	answers "$2" >"$work/got"
	if [[ $(wc -l <"$work/got") != $(wc -l <"$work/want") ]]; then
		echo "BROKEN  $1: $(wc -l <"$work/got") answers to $(wc -l <"$work/want") queries"
		bad=1
		return
	fi
	while read -r number want got; do
		if [[ $want == "$got" ]]; then echo "$1 $number: $got"; else
			echo "WRONG   $1 $number: $got, must be $want"
			bad=1
		fi
	done < <(paste -d ' ' "$work/want" "$work/got")
	echo "$1: $(cat "$work/time") s of processor time"
}

for model in "${models[@]}"; do
	name=$(basename "$model")
	expected "" "$model" >"$work/want"
	compare "$name" "$model"
	[[ $mutants ]] || continue
	while read -r kind mutant numbers; do
		answer=false
		[[ $kind == VARIANT ]] && answer=true
		change "$model" "$mutant" | only "$numbers" >"$work/mutant.pv"
		if cmp -s <(only "$numbers" <"$model") "$work/mutant.pv"; then
			echo "BROKEN  $name $mutant: changes nothing"
			bad=1
			continue
		fi
		expected "$numbers" "$model" | awk -v a="$answer" '{ print $1, a }' >"$work/want"
		compare "$name $mutant" "$work/mutant.pv"
	done < <(sed -nE 's/^ +(MUTANT|VARIANT) ([A-Z]+): ([0-9]+( [0-9]+)*) .*/\1 \2 \3/p' "$model")
done
exit $bad

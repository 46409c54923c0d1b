#!/bin/bash
# Perplexities by llama.cpp of GGUF files that Pith wrote, the oracle of TestPerplexityAgreesWithLlamaCpp:
#   llama_perplexity.sh PITH LLAMA_PERPLEXITY ../../../shared/data > llama_perplexity.txt
# Columns: model, codec (f32: pith convert), text, windows of 512, perplexity, its error.
set -euo pipefail
pith=$1 llama=$2 data=$3 tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
row() { # model codec text chunks
	local gguf="$tmp/$1-$2.gguf"
	if [ "$2" = f32 ]; then "$pith" convert "$data/models/$1" -o "$gguf" --dtype f32 --overwrite >/dev/null
	else "$pith" compress "$data/models/$1" --codec "$2" --format gguf -o "$gguf" --overwrite >/dev/null; fi
	echo "$1 $2 $3 $4 $("$llama" -m "$gguf" -f "$data/text/$3" -c 512 --chunks "$4" -t 2 2>&1 | sed -n 's/.*PPL = \([0-9.]*\) +\/- \([0-9.]*\)/\1 \2/p')"
}
row stories260K f32 tinystories_val.txt 20
row babyllama-tok105 f32 tinystories_val.txt 20
row pith-ref f32 pith-ref/heldout_gutenberg.txt 20
row pith-ref f32 pith-ref/heldout_tinystories.txt 20
row pith-ref f32 wiki.test.raw 20
for codec in q8_0 q6_k q4_k q4_0; do row pith-ref $codec pith-ref/heldout_gutenberg.txt 20; done

#!/usr/bin/env python3
"""Perplexities of the shared models by transformers, the oracle of TestPerplexityAgreesWithTransformers.

    python transformers_perplexity.py ../../../shared/data > transformers_perplexity.json

Each protocol is written out here on its own, from docs/methods/evaluation.md, in float32 with float64 sums."""
import json, math, os, sys
import torch
from sentencepiece import SentencePieceProcessor
from transformers import LlamaForCausalLM

torch.set_num_threads(int(os.environ.get("THREADS", "1")))


def nll(model, rows, targets):
    """-ln p of each target: rows (windows, n) of inputs, targets (windows, n)."""
    out = []
    for i in range(0, len(rows), 8):
        logits = model(torch.tensor(rows[i:i + 8])).logits.double()
        out.append(torch.nn.functional.cross_entropy(logits.transpose(1, 2), torch.tensor(targets[i:i + 8]), reduction="none"))
    return torch.cat(out)


def windows(protocol, plain, ctx, bos, chunks):
    ids = [bos] + plain
    parts = [ids[i:i + ctx] for i in range(0, len(ids) - ctx + 1, ctx)][:chunks]
    inputs = [p[:-1] for p in parts]
    if protocol == "llamacpp":
        inputs = [[bos] + p[1:] for p in inputs]
    return [inputs, [p[1:] for p in parts], ctx // 2 if protocol == "llamacpp" else 0]


def main(data):
    rows = []
    for name, texts, native in (("stories260K", ["tinystories_val.txt"], 512), ("babyllama-tok105", ["tinystories_val.txt"], 256),
                                ("pith-ref", ["pith-ref/heldout_tinystories.txt", "pith-ref/heldout_gutenberg.txt", "wiki.test.raw"], 512)):
        model = LlamaForCausalLM.from_pretrained(f"{data}/models/{name}", dtype=torch.float32).eval()
        sp = SentencePieceProcessor(model_file=f"{data}/models/{name}/tokenizer.model")
        for text in texts:
            plain = sp.encode(open(f"{data}/text/{text}", newline="", encoding="utf-8").read())
            for protocol, ctx, chunks in (("llamacpp", 512, 40), ("gptq", native, 40), ("gptq", 128, 40)):
                inputs, targets, first = windows(protocol, plain, ctx, sp.bos_id(), chunks)
                v = nll(model, inputs, targets)[:, first:]
                rows.append(dict(model=name, text=text, protocol=protocol, ctx=ctx, chunks=chunks, tokens=v.numel(),
                                 perplexity=math.exp(v.mean().item() if protocol == "llamacpp" else v.mean(1).mean().item())))
                print(rows[-1], file=sys.stderr)
    json.dump(rows, sys.stdout, indent=1)
    print()


with torch.no_grad():
    main(sys.argv[1])

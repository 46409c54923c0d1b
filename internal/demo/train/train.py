#!/usr/bin/env python3
"""Makes Pith's embedded demo model: a 3.4 M-parameter Llama that has read the Go distribution's source.

    python3 -m venv venv && venv/bin/pip install torch transformers sentencepiece safetensors numpy
    venv/bin/python internal/demo/train/train.py --goroot "$(go env GOROOT)" --work /tmp/pith-demo-train --out internal/demo/model

Steps: collect the text (held-out files excluded), train the tokenizer, train the model, write config.json,
tokenizer.json, tokenizer.model and model.safetensors (BF16). See internal/demo/README.md for the run that is committed.
"""
import argparse, hashlib, json, math, os, time
from pathlib import Path

import numpy as np
import sentencepiece as spm
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

VOCAB, CONTEXT, BOS = 2048, 512, 1
SHAPE = dict(vocab_size=VOCAB, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=8,
             num_key_value_heads=4, head_dim=32, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5, rope_theta=10000.0,
             tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, initializer_range=0.02)


def corpus(goroot, heldout):
    """Texts of the Go files to learn from, in an order fixed by the hash of their paths. Tests, test data, vendored
    code, files over 200 kB (tables) and system-call tables are left out, and every held-out path."""
    src = Path(goroot) / "src"
    files = []
    for path in src.rglob("*.go"):
        rel = path.relative_to(src).as_posix()
        generated = path.name.startswith(("zerrors", "zsys", "ztypes", "types_")) or "/gen/" in rel
        if rel in heldout or "testdata/" in rel or "vendor/" in rel or rel.endswith("_test.go") or generated:
            continue
        if path.stat().st_size <= 200_000:
            files.append((hashlib.sha256(rel.encode()).hexdigest(), path))
    for _, path in sorted(files):
        text = path.read_text(encoding="utf-8", errors="strict")
        # The licence header is the same in every file; one does not need to learn it ten thousand times.
        lines = text.split("\n")
        while lines and (lines[0].startswith("// Copyright") or lines[0].startswith("// Use of this source")
                         or lines[0].startswith("// license that can") or not lines[0].strip()):
            lines.pop(0)
        yield "\n".join(lines)


def train_tokenizer(texts, work):
    """SentencePiece BPE with byte fallback. Every fourth file, in pieces of whole lines up to 4 kB, so that pieces may
    hold line ends and indentation."""
    def pieces():
        for text in texts[::4]:
            piece = ""
            for line in text.splitlines(keepends=True):
                if len(piece) + len(line) > 4000:
                    yield piece
                    piece = ""
                piece += line
            yield piece
    spm.SentencePieceTrainer.train(
        sentence_iterator=(p for p in pieces() if p.strip()), model_prefix=str(work / "tokenizer"), model_type="bpe", vocab_size=VOCAB,
        byte_fallback=True, character_coverage=0.9999, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=True, split_digits=True, allow_whitespace_only_pieces=True, split_by_unicode_script=True,
        unk_id=0, bos_id=1, eos_id=2, max_sentence_length=1 << 20, num_threads=1, minloglevel=2)
    return spm.SentencePieceProcessor(model_file=str(work / "tokenizer.model"))


def tokenizer_json(sp):
    """The same tokenizer in Hugging Face's form: merges are rebuilt from the order of the pieces."""
    vocab = {sp.id_to_piece(i): i for i in range(VOCAB)}
    merges = []
    for piece, i in vocab.items():
        if i < 3 or sp.IsByte(i) or len(piece) < 2:
            continue
        pairs = [(piece[:k], piece[k:]) for k in range(1, len(piece)) if piece[:k] in vocab and piece[k:] in vocab]
        merges += [(i, vocab[a], vocab[b], a, b) for a, b in pairs]
    merges.sort(key=lambda m: m[:3])
    added = [dict(id=i, content=sp.id_to_piece(i), single_word=False, lstrip=False, rstrip=False, normalized=False, special=True) for i in range(3)]
    bos, text = dict(SpecialToken=dict(id="<s>", type_id=0)), dict(Sequence=dict(id="A", type_id=0))
    return dict(
        version="1.0", truncation=None, padding=None, added_tokens=added,
        normalizer=dict(type="Sequence", normalizers=[dict(type="Prepend", prepend="▁"), dict(type="Replace", pattern=dict(String=" "), content="▁")]),
        pre_tokenizer=None,
        post_processor=dict(type="TemplateProcessing", single=[bos, text], pair=[bos, text, bos, dict(Sequence=dict(id="B", type_id=0))],
                            special_tokens={"<s>": dict(id="<s>", ids=[1], tokens=["<s>"])}),
        decoder=dict(type="Sequence", decoders=[dict(type="Replace", pattern=dict(String="▁"), content=" "), dict(type="ByteFallback"), dict(type="Fuse"),
                                                dict(type="Strip", content=" ", start=1, stop=0)]),
        model=dict(type="BPE", dropout=None, unk_token="<unk>", continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=True,
                   byte_fallback=True, ignore_merges=False, vocab=vocab, merges=[f"{a} {b}" if " " not in a + b else [a, b] for *_, a, b in merges]))


def batches(tokens, size, seed):
    """Windows of CONTEXT+1 tokens that start with BOS, shuffled once."""
    starts = np.arange(0, len(tokens) - CONTEXT - 1, CONTEXT)
    np.random.default_rng(seed).shuffle(starts)
    for i in range(0, len(starts) - size + 1, size):
        rows = np.stack([tokens[s:s + CONTEXT + 1] for s in starts[i:i + size]]).astype(np.int64)
        rows[:, 0] = BOS
        yield torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])


def train(tokens, args):
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, attn_implementation="sdpa"))
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
    other = [p for n, p in model.named_parameters() if not (p.ndim == 2 and "embed" not in n and "lm_head" not in n)]
    opts = [torch.optim.Muon(hidden, lr=args.lr, momentum=0.95, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(other, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.0)]
    steps = min(args.steps, (len(tokens) // CONTEXT) // args.batch)
    if args.resume_at:  # weights only: the optimizers' moments start anew, which a short warm-up covers
        model.load_state_dict(torch.load(args.work / "checkpoint.pt"))
    start, running = time.time(), None
    for step, (x, y) in enumerate(batches(tokens, args.batch, args.seed)):
        if step < args.resume_at:
            continue
        if step >= steps:
            break
        # Linear warm-up, constant, then linear to 2 % over the last --decay of the steps.
        rate = min(1, (step - args.resume_at + 1) / (20 if args.resume_at else 50)) * min(1, max(0.02, (steps - step) / (args.decay * steps)))
        for o in opts:
            for g in o.param_groups:
                g["lr"] = args.lr * rate
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            logits = model(x).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), y.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for o in opts:
            o.step()
            o.zero_grad(set_to_none=True)
        running = loss.item() if running is None else 0.97 * running + 0.03 * loss.item()
        if step % 20 == 0 or step == steps - 1:
            rate = (step - args.resume_at + 1) * args.batch * CONTEXT / (time.time() - start)
            print(f"step {step}/{steps} loss {loss.item():.4f} running {running:.4f} {rate:.0f} tok/s {time.time() - start:.0f} s", flush=True)
        if step % 100 == 99:
            torch.save(model.state_dict(), args.work / "checkpoint.pt")
    return model


@torch.no_grad()
def heldout_loss(model, sp, goroot, paths):
    model.eval()
    total = count = nbytes = 0
    for rel in paths:
        f = Path(goroot) / "src" / rel
        if not f.exists():
            continue
        text = f.read_text()
        ids = sp.encode(text)
        nbytes += len(text.encode())
        for i in range(0, len(ids), CONTEXT - 1):
            row = torch.tensor([[BOS] + ids[i:i + CONTEXT - 1]])
            logits = model(row).logits[0, :-1]
            total += torch.nn.functional.cross_entropy(logits, row[0, 1:], reduction="sum").item()
            count += row.shape[1] - 1
    print(f"held-out: {count} tokens, {total / count:.4f} nats/token, perplexity {math.exp(total / count):.3f}, {total / math.log(2) / nbytes:.4f} bits/byte")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--goroot", required=True)
    p.add_argument("--work", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--steps", type=int, default=10**9, help="default: all the text, once")
    p.add_argument("--decay", type=float, default=0.4, help="fraction of the steps over which the rate falls")
    p.add_argument("--resume-at", type=int, default=0, help="go on from the checkpoint in --work, written after this many steps")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--lr", type=float, default=4e-3)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    args = p.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    heldout = [l.strip() for l in (Path(__file__).parent.parent / "heldout.txt").read_text().splitlines() if l.strip() and l[0] != "#"]
    texts = list(corpus(args.goroot, set(heldout)))
    print(f"{len(texts)} files, {sum(len(t.encode()) for t in texts)} bytes")
    sp = train_tokenizer(texts, args.work)
    tokens = np.concatenate([np.array([BOS] + sp.encode(t), dtype=np.uint16) for t in texts])
    print(f"{len(tokens)} tokens", flush=True)
    model = train(tokens, args)
    for q in model.parameters():
        q.data = q.data.to(torch.bfloat16).to(torch.float32)
    heldout_loss(model, sp, args.goroot, heldout)
    state = {k: v.to(torch.bfloat16).contiguous() for k, v in model.state_dict().items()}
    save_file(state, args.out / "model.safetensors", metadata={"format": "pt"})
    config = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu", attention_bias=False, mlp_bias=False,
                  torch_dtype="bfloat16", **SHAPE)
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (args.out / "tokenizer.json").write_text(json.dumps(tokenizer_json(sp), ensure_ascii=False, indent=0) + "\n")
    (args.out / "tokenizer.model").write_bytes((args.work / "tokenizer.model").read_bytes())
    (args.out / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        legacy=True, model_max_length=CONTEXT, clean_up_tokenization_spaces=False), indent=2) + "\n")


if __name__ == "__main__":
    main()

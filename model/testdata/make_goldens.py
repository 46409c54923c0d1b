#!/usr/bin/env python3
"""Makes the golden models of this directory with Hugging Face transformers: see README.md.

usage: python3 make_goldens.py [name ...]      (all by default)
"""
import json, os, shutil, sys, tempfile
import torch, transformers
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
T = transformers
SMALL = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=0.01)  # large enough to show


def small(**kw):
    return {**SMALL, **kw}


LLAMA3 = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)
SHORT, LONG = [1.0, 1.1, 1.3, 1.7], [1.5, 2.0, 4.0, 8.0]

# name: (config class, model class, arguments, length of the sequence)
MODELS = {
    "llama": (T.LlamaConfig, T.LlamaForCausalLM, small(), 24),
    "llama_bias_tied": (T.LlamaConfig, T.LlamaForCausalLM, small(attention_bias=True, mlp_bias=True, tie_word_embeddings=True, head_dim=12), 24),
    "llama_linear": (T.LlamaConfig, T.LlamaForCausalLM, small(rope_parameters=dict(rope_type="linear", factor=2.5, rope_theta=5000.0)), 24),
    "llama_dynamic": (T.LlamaConfig, T.LlamaForCausalLM, small(max_position_embeddings=16, rope_parameters=dict(rope_type="dynamic", factor=2.0, rope_theta=10000.0)), 40),
    "llama_llama3": (T.LlamaConfig, T.LlamaForCausalLM, small(head_dim=16, rope_parameters=dict(LLAMA3, rope_theta=500.0)), 48),
    "llama_yarn": (T.LlamaConfig, T.LlamaForCausalLM, small(head_dim=16, rope_parameters=dict(YARN, rope_theta=100.0)), 48),
    "llama_yarn_mscale": (T.LlamaConfig, T.LlamaForCausalLM, small(head_dim=16, max_position_embeddings=256, rope_parameters=dict(
        YARN, original_max_position_embeddings=64, rope_theta=100.0, beta_fast=4.0, beta_slow=0.5, mscale=0.8, mscale_all_dim=0.3, truncate=False)), 48),
    "mistral": (T.MistralConfig, T.MistralForCausalLM, small(sliding_window=7), 24),
    "qwen2": (T.Qwen2Config, T.Qwen2ForCausalLM, small(use_sliding_window=True, sliding_window=5, max_window_layers=1), 24),
    "qwen3": (T.Qwen3Config, T.Qwen3ForCausalLM, small(head_dim=16, tie_word_embeddings=True), 24),
    "gemma2": (T.Gemma2Config, T.Gemma2ForCausalLM, small(head_dim=16, query_pre_attn_scalar=24, sliding_window=6,
                                                       attn_logit_softcapping=2.0, final_logit_softcapping=8.0), 24),
    "gemma3_text": (T.Gemma3TextConfig, T.Gemma3ForCausalLM, small(num_hidden_layers=3, head_dim=16, query_pre_attn_scalar=24, sliding_window=6,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=20000.0),
                             sliding_attention=dict(rope_type="default", rope_theta=300.0))), 24),
    "phi3": (T.Phi3Config, T.Phi3ForCausalLM, small(sliding_window=9, pad_token_id=0), 24),
    "phi3_longrope_short": (T.Phi3Config, T.Phi3ForCausalLM, small(pad_token_id=0, max_position_embeddings=64, original_max_position_embeddings=16,
        rope_parameters=dict(rope_type="longrope", short_factor=SHORT, long_factor=LONG, rope_theta=10000.0)), 12),
    "phi3_longrope_long": (T.Phi3Config, T.Phi3ForCausalLM, small(pad_token_id=0, max_position_embeddings=64, original_max_position_embeddings=16,
        rope_parameters=dict(rope_type="longrope", short_factor=SHORT[:3], long_factor=LONG[:3], rope_theta=10000.0, partial_rotary_factor=0.75)), 40),
    "gpt2": (T.GPT2Config, T.GPT2LMHeadModel, dict(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=32, layer_norm_epsilon=0.02), 24),
    "gpt2_scaled": (T.GPT2Config, T.GPT2LMHeadModel, dict(vocab_size=96, n_embd=24, n_layer=2, n_head=3, n_inner=40, n_positions=32, layer_norm_epsilon=0.02,
        scale_attn_by_inverse_layer_idx=True, activation_function="gelu"), 24),
    "gpt_neox": (T.GPTNeoXConfig, T.GPTNeoXForCausalLM, {k: v for k, v in small(intermediate_size=64, layer_norm_eps=0.02,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5)).items() if k not in ("num_key_value_heads", "rms_norm_eps")}, 24),
    "gpt_neox_serial": (T.GPTNeoXConfig, T.GPTNeoXForCausalLM, {k: v for k, v in small(intermediate_size=64, layer_norm_eps=0.02, use_parallel_residual=False,
        attention_bias=False, hidden_act="gelu_new").items() if k not in ("num_key_value_heads", "rms_norm_eps")}, 24),
}

# The same weights under the spelling of configs written before transformers 5: name: (golden, fields removed, fields set)
OLD = {
    "llama_llama3": (["rope_parameters", "dtype"], dict(rope_theta=500.0, rope_scaling=LLAMA3)),
    "llama_dynamic": (["rope_parameters"], dict(rope_theta=10000.0, rope_scaling=dict(type="dynamic", factor=2.0))),
    "gemma3_text": (["rope_parameters", "layer_types"], dict(rope_theta=20000.0, rope_local_base_freq=300.0, sliding_window_pattern=3,
                                                        rope_scaling=dict(rope_type="linear", factor=8.0))),
    "phi3_longrope_long": (["rope_parameters"], dict(rope_theta=10000.0, partial_rotary_factor=0.75,
                                                     rope_scaling=dict(type="su", short_factor=SHORT[:3], long_factor=LONG[:3]))),
    "gpt_neox": (["rope_parameters"], dict(rotary_pct=0.5, rotary_emb_base=10000)),
    "qwen2": (["rope_parameters", "layer_types"], dict(rope_theta=10000.0)),
    "llama_linear": (["rope_parameters"], dict(rope_theta=5000.0, rope_scaling=dict(type="linear", factor=2.5))),
}


def randomize(model, seed):
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        with torch.no_grad():
            if p.dim() == 1:
                base = 1.0 if "norm" in name.lower() or "ln_" in name else 0.0
                if base and ("Gemma" in type(model).__name__):
                    base = 0.0
                if name.endswith("bias"):
                    base = 0.0
                p.copy_(base + 0.3 * torch.randn(p.shape, generator=g))
            else:
                fan = 1.0 if ("embed" in name or "wte" in name or "wpe" in name) else p.shape[-1] ** -0.5
                p.copy_(1.5 * fan * torch.randn(p.shape, generator=g))
            p.copy_(p.to(torch.bfloat16).float())


def make(name, seed):
    config_class, model_class, args, length = MODELS[name]
    config = config_class(**args)
    config._attn_implementation = "eager"
    model = model_class(config).eval()
    randomize(model, seed)
    g = torch.Generator().manual_seed(1000 + seed)
    ids = torch.randint(0, config.vocab_size, (1, length), generator=g)
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits[0]
    out = os.path.join(HERE, name)
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as tmp:
        model.save_pretrained(tmp)
        os.makedirs(out)
        weights = load_file(os.path.join(tmp, "model.safetensors"))
        # values were rounded to bfloat16, so nothing is lost
        save_file({k: v.to(torch.bfloat16).contiguous() for k, v in weights.items()}, os.path.join(out, "model.safetensors"), {"format": "pt"})
        config = json.load(open(os.path.join(tmp, "config.json")))
    for k in ("transformers_version", "_name_or_path"):
        config.pop(k, None)
    write(os.path.join(out, "config.json"), config)
    if name in OLD:
        drop, put = OLD[name]
        write(os.path.join(out, "config.old.json"), {**{k: v for k, v in config.items() if k not in drop}, **put})
    picks = sorted({0, 1, length // 2, length - 2, length - 1})
    golden = dict(input_ids=ids[0].tolist(), positions=picks, logits=[[float(f"{v:.7g}") for v in logits[i].tolist()] for i in picks])
    with open(os.path.join(out, "golden.json"), "w") as f:
        f.write(json.dumps(golden).replace("], [", "],\n [") + "\n")
    print(f"{name:22s} logits std {logits.std():.3f}  max {logits.abs().max():.2f}")


def write(path, config):
    with open(path, "w") as f:
        json.dump(config, f, indent=1, sort_keys=True)
        f.write("\n")


if __name__ == "__main__":
    print("transformers", transformers.__version__, "torch", torch.__version__)
    torch.set_num_threads(1)
    for i, name in enumerate(MODELS):
        if len(sys.argv) == 1 or name in sys.argv[1:]:
            make(name, i + 1)

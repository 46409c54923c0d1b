# Makes the golden files of formats/testdata. safetensors 0.8.0, gguf 0.19.0, torch 2.15.0, numpy 2.4.6.
import hashlib, json, sys
import numpy as np, torch, safetensors, gguf
from safetensors.torch import save_file, load_file
out = sys.argv[1]
g = torch.Generator().manual_seed(1)

def digest(b): return hashlib.sha256(b).hexdigest()[:16]

dtypes = {"BOOL": torch.bool, "F4": torch.float4_e2m1fn_x2, "U8": torch.uint8, "I8": torch.int8, "F8_E5M2": torch.float8_e5m2, "F8_E4M3": torch.float8_e4m3fn,
  "F8_E8M0": torch.float8_e8m0fnu, "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz, "I16": torch.int16, "U16": torch.uint16,
  "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32, "U32": torch.uint32, "F32": torch.float32, "C64": torch.complex64, "F64": torch.float64,
  "I64": torch.int64, "U64": torch.uint64}
tensors = {}
for name, dt in dtypes.items():
    for i, shape in enumerate([(3, 8), (), (2, 0, 4)]):
        if name == "F4" and not shape: continue
        size = torch.empty(shape, dtype=torch.uint8).numel() * dt.itemsize
        raw = torch.randint(0, 2 if name == "BOOL" else 256, (size,), dtype=torch.uint8, generator=g)
        if shape == (): t = torch.frombuffer(bytearray(raw.numpy().tobytes()), dtype=dt).reshape(())
        elif size == 0: t = torch.empty(shape, dtype=dt)
        else: t = torch.frombuffer(bytearray(raw.numpy().tobytes()), dtype=dt).reshape(shape)
        tensors[f"{name}.{i} \"\\\u00e9\u2028<&"] = t
save_file(tensors, out + "/python.safetensors", metadata={"format": "pt\n\u0001"})
h = json.loads(open(out + "/python.safetensors", "rb").read()[8:8+int.from_bytes(open(out + "/python.safetensors", "rb").read(8), "little")])
blob = open(out + "/python.safetensors", "rb").read(); base = 8 + int.from_bytes(blob[:8], "little")
with open(out + "/python.safetensors.txt", "w") as f:
    for k in sorted(h):
        if k == "__metadata__": continue
        a, b = h[k]["data_offsets"]
        f.write(f"{json.dumps(k)} {h[k]['dtype']} {h[k]['shape']} {digest(blob[base+a:base+b])}\n")

w = gguf.GGUFWriter(out + "/python.gguf", "llama")
w.add_uint8("u8", 255); w.add_int8("i8", -128); w.add_uint16("u16", 65535); w.add_int16("i16", -32768)
w.add_uint32("u32", 2**32-1); w.add_int32("i32", -2**31); w.add_float32("f32", 0.1); w.add_bool("yes", True); w.add_bool("no", False)
w.add_string("string", "h\u00e9"); w.add_uint64("u64", 2**64-1); w.add_int64("i64", -2**63); w.add_float64("f64", 0.1)
w.add_array("a.string", ["a", "", "bc"]); w.add_array("a.i32", [1, -2, 3]); w.add_array("a.f32", [0.5, -0.25]); w.add_array("a.bool", [True, False])
rng = np.random.default_rng(1)
x = rng.standard_normal((3, 512)).astype(np.float32)
w.add_tensor("f32", x[:, :5].copy()); w.add_tensor("f16", x[:, :7].astype(np.float16))
for t in ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "BF16", "TQ1_0", "TQ2_0"]:
    q = getattr(gguf.GGMLQuantizationType, t)
    w.add_tensor(t.lower(), gguf.quants.quantize(x, q), raw_dtype=q)
for dt in [np.int8, np.int16, np.int32, np.int64, np.float64]:
    w.add_tensor(np.dtype(dt).name, (x[:2, :3] * 10).astype(dt))
w.add_tensor("4d", rng.standard_normal((2, 3, 1, 5)).astype(np.float32))
for name in ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "IQ1_M", "MXFP4", "NVFP4"]:
    q = getattr(gguf.GGMLQuantizationType, name); block, size = gguf.GGML_QUANT_SIZES[q]
    w.add_tensor(name.lower(), rng.integers(0, 256, (2, size), dtype=np.uint8), raw_dtype=q)
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
r = gguf.GGUFReader(out + "/python.gguf")
with open(out + "/python.gguf.txt", "w") as f:
    for t in r.tensors:
        f.write(f"{json.dumps(t.name)} {t.tensor_type.name} {[int(n) for n in t.shape][::-1]} {digest(t.data.tobytes())}\n")

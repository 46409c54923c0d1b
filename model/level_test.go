package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"pith/kernels"
	"pith/tensor"
)

// digests prints a line for every golden's logits, and for logits of tokens fed singly to packed weights.
func digests(t *testing.T) []byte {
	var out bytes.Buffer
	line := func(name string, logits []float32) {
		h := sha256.New()
		if err := binary.Write(h, binary.LittleEndian, logits); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %x\n", name, h.Sum(nil)[:8])
	}
	for _, g := range goldens(t) {
		m := openModel(t, g.dir, 2)
		line(g.dir, m.Logits(m.Forward([][]int32{g.Input})).Data)
	}
	c, err := ParseConfig([]byte(`{"model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 1,
		"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300, "max_position_embeddings": 64}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"f32", "q8_0", "q4_k", "q2_k", "int4-g128", "int3-g64", "int3-g64+lr16-int8-g64"} {
		m, err := New(c, quantized{synthetic{c, tensor.F32}, name}, 2)
		if err != nil {
			t.Fatal(err)
		}
		s := m.NewSession(40)
		tokens := make([]int32, 32)
		for i := range tokens {
			tokens[i] = int32(i * 37 % 300)
		}
		line(name+" at once", m.Logits(m.Forward([][]int32{tokens})).Data)
		for _, token := range tokens[:6] {
			logits, err := s.Feed([]int32{token})
			if err != nil {
				t.Fatal(err)
			}
			line(name+" singly", logits)
		}
		logits, err := s.Verify(tokens[6:13])
		if err != nil {
			t.Fatal(err)
		}
		line(name+" seven at once", logits.Data)
	}
	return out.Bytes()
}

func TestLogitsAreIdenticalAtAllLevelsOfInstructions(t *testing.T) {
	const ask = "PITH_TEST_LOGITS"
	if path := os.Getenv(ask); path != "" {
		if _, err := kernels.Level(); err == nil {
			if err := os.WriteFile(path, digests(t), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	want := digests(t)
	for _, level := range []string{"generic", "avx2", "avx512"} {
		path := t.TempDir() + "/digests"
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), "PITH_NOSIMD=", "PITH_CPU="+level, ask+"="+path)
		if text, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", level, err, text)
		}
		got, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			t.Logf("this processor does not have %s", level)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
		if len(g) != len(w) {
			t.Fatalf("%s: %d lines, want %d", level, len(g), len(w))
		}
		for i := range w {
			if !bytes.Equal(g[i], w[i]) {
				t.Errorf("%s: %s, want %s", level, g[i], w[i])
			}
		}
	}
}

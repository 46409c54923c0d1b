package tokenizer

import (
	"os"
	"testing"

	"pith/internal/sharedtest"
)

func BenchmarkEncodeWikiText(b *testing.B) {
	text, err := os.ReadFile(sharedtest.Path(b, "text", "wiki.test.raw"))
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"gpt2.json", "llama3.json", "o200k.json", "gemma.json", "unigram.json", "sp-unigram.model", "pith-ref"} {
		b.Run(name, func(b *testing.B) {
			var tok *Tokenizer
			if name == "pith-ref" {
				if tok, err = OpenDir(sharedtest.Path(b, "models", name)); err != nil {
					b.Fatal(err)
				}
			} else {
				tok = trained(b, name)
			}
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				tok.Encode(string(text), EncodeOptions{})
			}
		})
	}
}

package codec_test

import (
	"strings"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/kernels"
)

func TestEveryCodecConforms(t *testing.T) {
	for _, name := range codec.Names() {
		c, err := codec.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			if level, err := kernels.Level(); strings.HasPrefix(name, "tcq-") && name != "tcq-lut7-3" && (err != nil || level == "generic") {
				t.Skip("in plain Go a minute, and the search is lut7's with more states")
			}
			t.Parallel()
			codectest.Run(t, c)
		})
	}
}

func TestBooksConformWithEveryGroup(t *testing.T) {
	for _, name := range []string{"nuq2-g32", "nuq5-grow", "vq2-1.5-grow", "vq2-3-g64", "e8p-g32", "e8p-grow"} {
		c, err := codec.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			codectest.Run(t, c)
		})
	}
}

func TestUnknownNamesListNearOnes(t *testing.T) {
	for name, near := range map[string]string{"q4k": "q4_k", "int4": "int4-g32", "INT4-G128": "int4-g128", "": "f32", "bf-16": "bf16"} {
		_, err := codec.Parse(name)
		if err == nil || !strings.Contains(err.Error(), near) {
			t.Errorf("Parse(%q): %v, want a hint at %s", name, err, near)
		}
	}
}

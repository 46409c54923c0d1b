package eval

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestSyntheticModelsOfAnyCodecAreTimedBesideTheirDenseOnes(t *testing.T) {
	names := WithDense([]string{"lr0.5-int8-g64", "lr0.4-int8-g64", "int3-g64+lr16-f16", "tcq-lut8-2", "f16-2:4"})
	if want := []string{"int8-g64", "lr0.5-int8-g64", "lr0.4-int8-g64", "int3-g64+lr16-f16", "tcq-lut8-2", "f16-2:4"}; !slices.Equal(names, want) {
		t.Fatalf("%q, want %q", names, want)
	}
	o := SyntheticOptions{Hidden: 128, Intermediate: 200, Layers: 1, Heads: 4, KVHeads: 2, Vocab: 100, Decode: 2, Prompt: 10, Repeats: 1, Workers: []int{1, 2}}
	seen := 0
	rows, err := MeasureSynthetic(context.Background(), names, o, func(done, all int, _ string) { seen++ })
	if err != nil || len(rows) != 2*len(names) || seen == 0 {
		t.Fatalf("%d rows, %d calls, %v", len(rows), seen, err)
	}
	dense := rows[0]
	if want := int64(128*128*2 + 128*64*2 + 200*128*3 + 100*128); dense.MultiplyAdds != want || dense.Bytes != want+want/64*2+(4*128-200*128/64)*2 {
		t.Errorf("int8-g64: %d products, %d bytes; want %d products", dense.MultiplyAdds, dense.Bytes, want)
	}
	for _, r := range rows {
		low := strings.HasPrefix(r.Codec, "lr")
		if r.DecodeTokensPerSecond <= 0 || r.PromptTokensPerSecond <= 0 || r.ActivationBytes <= 0 || (r.VsDense > 0) != low {
			t.Errorf("%+v", r)
		}
		if r.Codec == "lr0.5-int8-g64" && (2*r.MultiplyAdds > dense.MultiplyAdds || r.Bytes > dense.Bytes/2) {
			t.Errorf("%+v is not half of %+v", r, dense)
		}
	}
	o.Heads = 3
	if _, err := MeasureSynthetic(context.Background(), names[:1], o, nil); err == nil {
		t.Error("3 heads of 128 features were taken")
	}
}

package checkpoint

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/formats"
	"pith/tensor"
)

// A q8_0 block is 32 weights in 34 bytes.
const (
	ownTerm   = `[{"codec":"q8_0","rows":1,"cols":32,"parts":["blocks"]}]`
	aliasTerm = `[{"codec":"q8_0","rows":1,"cols":32,"parts":["blocks"],"from":{"blocks":"w|0.blocks"}}]`
	setTerms  = `[{"codec":"q8_0","rows":1,"cols":32,"parts":["blocks"],"from":{"blocks":"pith.set|0.blocks"}},{"codec":"q8_0","rows":1,"cols":32,"parts":["blocks"]}]`
)

func TestTensorsThatWeightsReferToAreStoredAndHeldOnce(t *testing.T) {
	dir := artifactOf(t, map[string]string{"w": ownTerm, "alias": aliasTerm, "a": setTerms, "b": setTerms},
		map[string]int{"w|0.blocks": 34, "pith.set|0.blocks": 34, "a|1.blocks": 34, "b|1.blocks": 34})
	ckpt, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ckpt.Close()
	if got := ckpt.Names(); !slices.Equal(got, []string{"a", "alias", "b", "w"}) {
		t.Errorf("names %q: shared tensors are no weights", got)
	}
	for name, want := range map[string]Info{"w": {Bytes: 34}, "alias": {SharedBytes: 34, Of: "w"}, "a": {Bytes: 34, SharedBytes: 34}} {
		got, err := ckpt.Info(name)
		if err != nil || got.Bytes != want.Bytes || got.SharedBytes != want.SharedBytes || got.Of != want.Of {
			t.Errorf("%s: %d bytes of its own, %d shared, of %q (%v); want %d, %d, %q", name, got.Bytes, got.SharedBytes, got.Of, err, want.Bytes, want.SharedBytes, want.Of)
		}
	}
	if got, shared := ckpt.Bytes(), ckpt.SharedBytes(); got != 4*34 || shared != 34 {
		t.Errorf("%d bytes, %d of them no weight's own", got, shared)
	}
	var weights []*codec.Weight
	for _, name := range []string{"w", "alias", "a", "b"} {
		w, err := ckpt.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		weights = append(weights, w)
	}
	for i, w := range weights[1:] {
		if same := w.Terms[0] == weights[i].Terms[0]; same != (i != 1) {
			t.Errorf("%s and %s: one term for both: %v", weights[i].Name, w.Name, same)
		}
	}
	if weights[2].Terms[1] == weights[3].Terms[1] {
		t.Error("two weights have one term, and each stores its own")
	}
}

func TestDamagedReferencesGiveErrors(t *testing.T) {
	parts := map[string]int{"w|0.blocks": 34, "short": 33}
	for name, c := range map[string]struct {
		alias, want string
		extra       map[string]string
	}{
		"missing":      {strings.ReplaceAll(aliasTerm, "w|0", "w|1"), "refers to w|1.blocks, which is missing", nil},
		"itself":       {strings.ReplaceAll(aliasTerm, "w|0", "v|0"), "refers to v|0.blocks, which is a reference itself", nil},
		"cycle":        {strings.ReplaceAll(aliasTerm, "w|0", "u|0"), "which is a reference itself", map[string]string{"u": strings.ReplaceAll(aliasTerm, "w|0", "v|0")}},
		"unknown part": {strings.Replace(aliasTerm, `"from":{"blocks"`, `"from":{"zeros"`, 1), `part "zeros"`, nil},
		"empty":        {strings.Replace(aliasTerm, `"w|0.blocks"`, `""`, 1), "damaged reference", nil},
		"wrong length": {strings.Replace(aliasTerm, "w|0.blocks", "short", 1), "damaged", nil},
		"not a map":    {strings.Replace(aliasTerm, `"from":{"blocks":"w|0.blocks"}`, `"from":["w"]`, 1), "not a list of terms", nil},
		"other shape":  {strings.ReplaceAll(aliasTerm, `"cols":32`, `"cols":64`), "damaged", nil},
	} {
		metadata := map[string]string{"w": ownTerm, "v": c.alias}
		for k, v := range c.extra {
			metadata[k] = v
		}
		dir := artifactOf(t, metadata, parts)
		err := func() error {
			ckpt, err := Open(dir)
			if err != nil {
				return err
			}
			defer ckpt.Close()
			_, err = ckpt.Load("v")
			return err
		}()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "v") {
			t.Errorf("%s: error %v, want %q and the weight", name, err, c.want)
		}
	}
}

// FuzzReferences opens artifacts whose references are anything: errors, never panics, and no byte counted twice.
func FuzzReferences(f *testing.F) {
	f.Add(aliasTerm, setTerms)
	f.Add(strings.ReplaceAll(aliasTerm, "w|0", "v|0"), strings.ReplaceAll(aliasTerm, "w|0", "u|0"))
	f.Add(`[{"codec":"f16","rows":1,"cols":4,"parts":["values"],"from":{"values":"w|0.blocks"}}]`, ownTerm)
	f.Fuzz(func(t *testing.T, v, u string) {
		src := memory{}
		for _, name := range []string{"w|0.blocks", "pith.set|0.blocks", "u|1.blocks", "plain"} {
			src[name] = tensor.Tensor{Name: name, DType: tensor.U8, Shape: []int{34}, Data: make([]byte, 34)}
		}
		a, err := newArtifact("fuzz", src, map[string]string{"w": ownTerm, "v": v, "u": u})
		if err != nil {
			return
		}
		stored, counted := int64(0), a.sharedBytes()
		for _, n := range src {
			stored += int64(len(n.Data))
		}
		for _, name := range a.Names() {
			info, err := a.Info(name)
			if err != nil {
				t.Fatal(err)
			}
			counted += info.Bytes
			if w, err := a.Load(name); err == nil && w.Rows != info.Rows {
				t.Errorf("%s: %d rows, %d loaded", name, info.Rows, w.Rows)
			}
		}
		if counted != stored {
			t.Errorf("%d bytes are stored and %d counted: %s %s", stored, counted, v, u)
		}
	})
}

func TestReferencesSurviveJSON(t *testing.T) {
	specs, err := parseTerms(aliasTerm)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(specs)
	if err != nil || string(data) != aliasTerm {
		t.Errorf("%s (%v)", data, err)
	}
}

// memory is tensors by name.
type memory map[string]tensor.Tensor

func (m memory) Close() error { return nil }

func (m memory) Names() []string { return slices.Sorted(maps.Keys(m)) }

func (m memory) Info(name string) (formats.Info, error) {
	t, ok := m[name]
	if !ok {
		return formats.Info{}, errors.New("no such tensor")
	}
	return formats.Info{Name: name, DType: t.DType, Shape: t.Shape, Bytes: int64(len(t.Data)), File: "memory"}, nil
}

func (m memory) ReadAt(name string, buf []byte, off int64) error {
	copy(buf, m[name].Data[off:])
	return nil
}

package model

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// draftWeights is a checkpoint whose head has some rows of another's, with a map.
type draftWeights struct {
	*safetensorsFile
	head string // the tensor whose rows are taken
	cols int
	rows []int32 // which
	d2t  []int64
}

func (w draftWeights) Names() []string {
	return append(slices.DeleteFunc(w.safetensorsFile.Names(), func(n string) bool { return n == "lm_head.weight" }), "lm_head.weight", DraftMap)
}

func (w draftWeights) Shape(name string) ([]int, error) {
	switch name {
	case "lm_head.weight":
		return []int{len(w.rows), w.cols}, nil
	case DraftMap:
		return []int{len(w.d2t)}, nil
	}
	return w.safetensorsFile.Shape(name)
}

func (w draftWeights) Load(name string) (*codec.Weight, error) {
	switch name {
	case "lm_head.weight":
		whole, err := w.safetensorsFile.Load(w.head)
		if err != nil {
			return nil, err
		}
		data, row := []byte(nil), tensor.NewMat(1, w.cols)
		for _, r := range w.rows {
			whole.ReadRows(row, int(r))
			for _, v := range row.Data {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
			}
		}
		t, err := codec.Dense(name, tensor.F32, len(w.rows), w.cols, data)
		return &codec.Weight{Name: name, Rows: len(w.rows), Cols: w.cols, Terms: []codec.Term{t}}, err
	case DraftMap:
		var data []byte
		for _, v := range w.d2t {
			data = binary.LittleEndian.AppendUint64(data, uint64(v))
		}
		t, err := codec.Dense(name, tensor.I64, 1, len(w.d2t), data)
		return &codec.Weight{Name: name, Rows: 1, Cols: len(w.d2t), Terms: []codec.Term{t}}, err
	}
	return w.safetensorsFile.Load(name)
}

// draftConfig adds draft_vocab_size to a config.json.
func draftConfig(t *testing.T, config []byte, n int) (Config, error) {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(config, &fields); err != nil {
		t.Fatal(err)
	}
	fields["draft_vocab_size"] = n
	edited, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return ParseConfig(edited)
}

// draftOf opens a golden with a head of some rows.
func draftOf(t *testing.T, dir string, rows []int32, d2t []int64) (golden, *Model, error) {
	t.Helper()
	g, config, file := openGolden(t, dir)
	c, err := draftConfig(t, config, len(rows))
	if err != nil {
		t.Fatal(err)
	}
	head := "lm_head.weight"
	if !slices.Contains(file.Names(), head) {
		head = "model.embed_tokens.weight"
	}
	m, err := New(c, draftWeights{file, head, c.Hidden, rows, d2t}, 2)
	return g, m, err
}

func differencesOf(rows []int32) (d []int64) {
	for i, r := range rows {
		d = append(d, int64(r)-int64(i))
	}
	return d
}

func TestATrimmedHeadGivesTheLogitsOfItsTokensAndGeneratesTheirIDs(t *testing.T) {
	for _, dir := range []string{"llama", "llama_bias_tied"} {
		rows := []int32{1, 3, 4, 17, 40, 41, 42, 60}
		g, m, err := draftOf(t, dir, rows, differencesOf(rows))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.DraftIDs(), rows) {
			t.Fatalf("draft ids %v, want %v", m.DraftIDs(), rows)
		}
		whole := openModel(t, g.dir, 2)
		if whole.DraftIDs() != nil {
			t.Error("a whole head has draft ids")
		}
		got, want := m.Logits(m.Forward([][]int32{g.Input})), whole.Logits(whole.Forward([][]int32{g.Input}))
		for r := range got.Rows {
			for i, id := range rows {
				if got.Row(r)[i] != want.Row(r)[id] {
					t.Fatalf("%s: position %d: logit of token %d is %g, of the whole model %g", dir, r, id, got.Row(r)[i], want.Row(r)[id])
				}
			}
		}
		s := m.NewSession(g.maxTokens())
		logits, err := s.Feed(g.Input)
		if err != nil || len(logits) != len(rows) {
			t.Fatalf("%d logits in a session, %v; want %d", len(logits), err, len(rows))
		}
		_, err = Generate(context.Background(), m.NewSession(len(g.Input)+5), g.Input, GenerateOptions{MaxTokens: 5, Stop: []int32{}}, func(id int32) bool {
			if !slices.Contains(rows, id) {
				t.Errorf("%s: token %d was generated, which the head does not have", dir, id)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (g golden) maxTokens() int { return len(g.Input) + 1 }

// floatMap is such a checkpoint whose map is stored as floats.
type floatMap struct{ draftWeights }

func (w floatMap) Load(name string) (*codec.Weight, error) {
	if name != DraftMap {
		return w.draftWeights.Load(name)
	}
	t, err := codec.Dense(name, tensor.F32, 1, len(w.d2t), make([]byte, 4*len(w.d2t)))
	return &codec.Weight{Name: name, Rows: 1, Cols: len(w.d2t), Terms: []codec.Term{t}}, err
}

func TestMapsOfTrimmedHeadsAreIntegers(t *testing.T) {
	_, config, file := openGolden(t, "llama")
	c, err := draftConfig(t, config, 3)
	if err != nil {
		t.Fatal(err)
	}
	w := draftWeights{file, "lm_head.weight", c.Hidden, []int32{0, 1, 2}, []int64{0, 0, 0}}
	if _, err := New(c, w, 2); err != nil {
		t.Error(err)
	}
	if _, err := New(c, floatMap{w}, 2); err == nil || !strings.Contains(err.Error(), "d2t: is stored as F32") {
		t.Errorf("a map of floats: %v", err)
	}
}

func TestMapsOfTrimmedHeadsAreChecked(t *testing.T) {
	for why, d2t := range map[string][]int64{
		"outside":      {0, 0, 1 << 19},
		"below 0":      {-1, 0, 0},
		"twice":        {0, 5, 4},
		"too short":    {0, 0},
		"not a number": {0, 0, math.MinInt64},
	} {
		_, _, err := draftOf(t, "llama", []int32{0, 1, 2}, d2t)
		if err == nil || !strings.Contains(err.Error(), DraftMap) {
			t.Errorf("%s: %v", why, err)
		}
	}
	_, config, _ := openGolden(t, "llama")
	if _, err := draftConfig(t, config, 1<<19); err == nil || !strings.Contains(err.Error(), "draft_vocab_size") {
		t.Errorf("more rows than tokens: %v", err)
	}
	whole, err := ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := draftConfig(t, config, whole.Vocab); err != nil || c.DraftVocab != 0 || c.HeadRows() != whole.Vocab {
		t.Errorf("a head that is whole: %d rows, %v", c.HeadRows(), err)
	}
}

package checkpoint

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/formats"
	"pith/tensor"
)

// artifactOf writes a directory with one shard of the tensors and metadata given, an index and a manifest.
func artifactOf(t testing.TB, metadata map[string]string, tensors map[string]int) string {
	t.Helper()
	dir := t.TempDir()
	const shard = "model-00001-of-00001.safetensors"
	var list []formats.LazyTensor
	index := map[string]string{}
	for name, n := range tensors {
		list = append(list, formats.LazyTensor{Info: formats.Info{Name: name, DType: tensor.U8, Shape: []int{n}}, Data: func() ([]byte, error) { return make([]byte, n), nil }})
		index[name] = shard
	}
	if err := formats.WriteSafetensors(filepath.Join(dir, shard), list, metadata); err != nil {
		t.Fatal(err)
	}
	if err := formats.WriteIndex(filepath.Join(dir, "model.safetensors.index.json"), index, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ManifestName), []byte(`{"format": 1}`), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDamagedArtifactsGiveErrorsNotPanics(t *testing.T) {
	parts := map[string]int{"w|0.codes": 8, "w|0.scales": 4}
	for name, c := range map[string]struct{ terms, want string }{
		"not JSON":        {`{`, "not a list of terms"},
		"no terms":        {`[]`, "0 terms"},
		"negative shape":  {`[{"codec":"int8-g32","rows":-1,"cols":8,"parts":["codes","scales"]}]`, "not that of a matrix"},
		"overflow":        {`[{"codec":"int8-g32","rows":1099511627776,"cols":1099511627776,"parts":["codes","scales"]}]`, "not that of a matrix"},
		"huge":            {`[{"codec":"int8-g32","rows":1048576,"cols":1048576,"parts":["codes","scales"]}]`, "damaged"},
		"missing part":    {`[{"codec":"int8-g32","rows":1,"cols":8,"parts":["codes","scales","zeros"]}]`, "part is missing"},
		"unclaimed part":  {`[{"codec":"int8-g32","rows":1,"cols":8,"parts":["codes"]}]`, "belongs to no weight"},
		"unknown codec":   {`[{"codec":"magic","rows":1,"cols":8,"parts":["codes","scales"]}]`, "unknown codec"},
		"wrong length":    {`[{"codec":"int8-g32","rows":1,"cols":9,"parts":["codes","scales"]}]`, "damaged"},
		"shape and size":  {`[{"codec":"int8-g32","rows":1,"cols":8,"parts":["codes","scales"],"shape":[4,4]}]`, "is not a (1, 8) matrix"},
		"negative dims":   {`[{"codec":"int8-g32","rows":1,"cols":8,"parts":["codes","scales"],"shape":[-1,-8]}]`, "not that of a tensor"},
		"parts swapped":   {`[{"codec":"int8-g32","rows":1,"cols":8,"parts":["scales","codes"]}]`, "damaged"},
		"different terms": {`[{"codec":"int8-g32","rows":1,"cols":8,"parts":["codes","scales"]},{"codec":"f16","rows":2,"cols":8,"parts":[]}]`, "do not add"},
	} {
		dir := artifactOf(t, map[string]string{"w": c.terms}, parts)
		err := func() error {
			ckpt, err := Open(dir)
			if err != nil {
				return err
			}
			defer ckpt.Close()
			_, err = ckpt.Load("w")
			return err
		}()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "w") {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func FuzzArtifactMetadata(f *testing.F) {
	f.Add(`[{"codec":"int8-g32","rows":1,"cols":8,"parts":["codes","scales"]}]`)
	f.Add(`[{"codec":"int4-g32","rows":0,"cols":1099511627776,"parts":[],"shape":[0,1099511627776]}]`)
	f.Add(`[{"codec":"q4_0","rows":2,"cols":3,"parts":["blocks"],"shape":[3,2],"transposed":true}]`)
	f.Fuzz(func(t *testing.T, text string) {
		specs, err := parseTerms(text)
		if err != nil {
			return
		}
		for _, s := range specs {
			parts := make([]tensor.Tensor, min(len(s.Parts), 4))
			for i := range parts {
				parts[i] = tensor.Tensor{Name: s.Parts[i], DType: tensor.U8, Shape: []int{16}, Data: make([]byte, 16)}
			}
			term, err := OpenTerm(s, parts)
			if err == nil && term.Bytes() > 64 {
				t.Errorf("a term of %d bytes was made of %d", term.Bytes(), 16*len(parts))
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	data, err := json.Marshal(Manifest{Format: ManifestFormat, Tool: "pith", Files: []FileDigest{{Name: "a", Bytes: 3}}, Weights: []WeightRecord{{Name: "w"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":1,"files":[{"name":"..\\x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if strings.ContainsAny(file.Name, `/\`) || file.Name == ".." || file.Name == "" {
				t.Errorf("file name %q is accepted", file.Name)
			}
		}
	})
}

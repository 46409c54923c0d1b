package formats

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pith/tensor"
)

// checkOnly fails unless dir has exactly the file name with this text, or nothing if name is empty.
func checkOnly(t *testing.T, dir, name, text string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != name {
			t.Errorf("%s is left", e.Name())
		}
	}
	if name == "" {
		return
	}
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(got) != text {
		t.Errorf("%s has %q (%v), want %q", name, got, err, text)
	}
}

func TestWriteFileAtomicReplacesTheWholeFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"", "one", strings.Repeat("two", 1<<20), "3"} {
		if err := os.WriteFile(path+".partial", []byte("left by a killed run"), 0o666); err != nil {
			t.Fatal(err)
		}
		err := WriteFileAtomic(path, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		checkOnly(t, dir, "f", text)
	}
}

func TestWriteFileAtomicLeavesTheOldFileWhenTheWriterFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	failure := errors.New("the writer gave up")
	write := func(w io.Writer) error {
		w.Write(make([]byte, 3<<20)) // more than the buffer: some of it is in the partial file
		return failure
	}
	if err := WriteFileAtomic(path, write); !errors.Is(err, failure) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	checkOnly(t, dir, "", "")
	if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := WriteFileAtomic(path, write); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	checkOnly(t, dir, "f", "old")
}

func TestWriteFileAtomicRemovesThePartialFileWhenTheWriterPanics(t *testing.T) {
	dir := t.TempDir()
	func() {
		defer func() { recover() }()
		WriteFileAtomic(filepath.Join(dir, "f"), func(io.Writer) error { panic("boom") })
	}()
	checkOnly(t, dir, "", "")
}

// failingFile fails after so many written bytes, at Sync, or at Close.
type failingFile struct {
	*os.File
	room        int
	sync, close error
}

func (f *failingFile) Write(p []byte) (int, error) {
	if len(p) <= f.room {
		f.room -= len(p)
		return f.File.Write(p)
	}
	n, _ := f.File.Write(p[:f.room])
	f.room = 0
	return n, &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
}

func (f *failingFile) Sync() error { return errors.Join(f.sync, f.File.Sync()) }

func (f *failingFile) Close() error { return errors.Join(f.close, f.File.Close()) }

func TestWriteFileAtomicLeavesTheOldFileWhenTheDiskFails(t *testing.T) {
	for _, c := range []struct {
		name, words string
		file        failingFile
	}{
		{"full at the first byte", "the disk is full; free space", failingFile{}},
		{"full within the first write", "the disk is full; free space", failingFile{room: 1 << 19}},
		{"full at the last byte", "the disk is full; free space", failingFile{room: 3<<20 - 1}},
		{"full at sync", "sync", failingFile{room: 1 << 30, sync: syscall.ENOSPC}},
		{"error at sync", "sync", failingFile{room: 1 << 30, sync: syscall.EIO}},
		{"error at close", "close", failingFile{room: 1 << 30, close: syscall.EDQUOT}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
			f, err := os.Create(path + ".partial")
			if err != nil {
				t.Fatal(err)
			}
			c.file.File = f
			err = finishAtomic(path, path+".partial", &c.file, func(w io.Writer) error {
				for range 3 {
					if _, err := w.Write(make([]byte, 1<<20)); err != nil {
						return err
					}
				}
				return nil
			})
			checkRefused(t, err, path, c.words)
			checkOnly(t, dir, "f", "old")
		})
	}
}

func TestWriteFileAtomicOnARealFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	err = finishAtomic(path, path+".partial", f, func(w io.Writer) error {
		_, err := w.Write(make([]byte, 2<<20))
		return err
	})
	checkRefused(t, err, path, "the disk is full")
	checkOnly(t, dir, "", "")
}

func TestWriteFileAtomicDoesNotFollowAPlantedLink(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	victim := filepath.Join(other, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "f.partial")); err != nil {
		t.Skip(err)
	}
	if err := WriteFileAtomic(filepath.Join(dir, "f"), func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }); err != nil {
		t.Fatal(err)
	}
	checkOnly(t, dir, "f", "new")
	checkOnly(t, other, "victim", "precious")
}

func TestWriteFileAtomicNeedsTheDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent", "f")
	err := WriteFileAtomic(path, func(io.Writer) error { return nil })
	checkRefused(t, err, path, "make the directory first")
}

// A tensor that fails, or gives too few or too many bytes, must leave no file: neither format has a checksum that would tell.
func TestTensorWritersLeaveNothingWhenATensorFails(t *testing.T) {
	failure := errors.New("no such weight")
	good := LazyTensor{Info: Info{Name: "a", DType: tensor.F32, Shape: []int{3}}, Data: func() ([]byte, error) { return make([]byte, 12), nil }}
	bad := func(n int, err error) LazyTensor {
		return LazyTensor{Info: Info{Name: "b", DType: tensor.F32, Shape: []int{3}}, Data: func() ([]byte, error) { return make([]byte, n), err }}
	}
	streamed := bad(0, nil)
	streamed.Data = nil
	streamed.Write = func(w io.Writer) error { _, err := io.Copy(w, bytes.NewReader(make([]byte, 13))); return err }
	for _, second := range []LazyTensor{bad(12, failure), bad(11, nil), bad(13, nil), bad(0, nil), streamed} {
		for name, write := range map[string]func(string) error{
			"f.safetensors": func(p string) error { return WriteSafetensors(p, []LazyTensor{good, second}, nil) },
			"f.gguf":        func(p string) error { return WriteGGUF(p, nil, []LazyTensor{good, second}) },
		} {
			dir := t.TempDir()
			err := write(filepath.Join(dir, name))
			checkRefused(t, err, name, `tensor "b"`)
			checkOnly(t, dir, "", "")
		}
	}
}

func TestWritersRefuseWhatTheFormatCannotHold(t *testing.T) {
	of := func(name string, d tensor.DType, shape ...int) LazyTensor {
		size, _ := storedBytes(d, shape)
		return LazyTensor{Info: Info{Name: name, DType: d, Shape: shape}, Data: func() ([]byte, error) { return make([]byte, size), nil }}
	}
	long := strings.Repeat("n", 64)
	for _, c := range []struct {
		format, words string
		kv            []KV
		metadata      map[string]string
		tensors       []LazyTensor
	}{
		{"safetensors", "Q4_0", nil, nil, []LazyTensor{of("a", tensor.Q4_0, 32)}},
		{"safetensors", "__metadata__", nil, nil, []LazyTensor{of("__metadata__", tensor.F32, 1)}},
		{"safetensors", "UTF-8", nil, nil, []LazyTensor{of("a\xff", tensor.F32, 1)}},
		{"safetensors", "UTF-8", nil, map[string]string{"a": "\xff"}, nil},
		{"safetensors", "twice", nil, nil, []LazyTensor{of("a", tensor.F32, 1), of("a", tensor.F32, 1)}},
		{"safetensors", "whole number", nil, nil, []LazyTensor{of("a", tensor.F4, 3)}},
		{"safetensors", "2^63", nil, nil, []LazyTensor{of("a", tensor.U8, 1<<62), of("b", tensor.U8, 1<<62)}},
		{"safetensors", "17 dimensions", nil, nil, []LazyTensor{of("a", tensor.U8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)}},
		{"safetensors", "negative", nil, nil, []LazyTensor{of("a", tensor.U8, -1)}},
		{"gguf", "F8_E4M3", nil, nil, []LazyTensor{of("a", tensor.F8E4M3, 32)}},
		{"gguf", "63 bytes", nil, nil, []LazyTensor{of(long, tensor.F32, 1)}},
		{"gguf", "4 dimensions", nil, nil, []LazyTensor{of("a", tensor.F32, 1, 1, 1, 1, 1)}},
		{"gguf", "twice", nil, nil, []LazyTensor{of("a", tensor.F32, 1), of("a", tensor.F32, 1)}},
		{"gguf", "blocks", nil, nil, []LazyTensor{of("a", tensor.Q4_K, 2, 128)}},
		{"gguf", "2^63", nil, nil, []LazyTensor{of("a", tensor.I8, 1<<62), of("b", tensor.I8, 1<<62)}},
		{"gguf", "twice", []KV{{"a", true}, {"a", true}}, nil, nil},
		{"gguf", "no type for int", []KV{{"a", 1}}, nil, nil},
		{"gguf", "no type for <nil>", []KV{{"a", nil}}, nil, nil},
		{"gguf", "empty", []KV{{"", true}}, nil, nil},
		{"gguf", "power of two", []KV{{"general.alignment", uint32(24)}}, nil, nil},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "f."+c.format)
		var err error
		if c.format == "gguf" {
			err = WriteGGUF(path, c.kv, c.tensors)
		} else {
			err = WriteSafetensors(path, c.tensors, c.metadata)
		}
		checkRefused(t, err, path, c.words)
		checkOnly(t, dir, "", "")
	}
}

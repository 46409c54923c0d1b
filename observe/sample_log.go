package observe

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"pith/calib"
	"pith/model"
	"pith/tokenizer"
)

// sampleHead is the first line of a log: what its texts were drawn from, and how.
type sampleHead struct {
	Model  calib.Model    `json:"model"`
	Length int            `json:"length"`
	Draw   model.Sampling `json:"draw"`
}

// sampleText is each of the others.
type sampleText struct {
	Index  int    `json:"index"` // from 0
	Tokens int    `json:"tokens"`
	Text   string `json:"text"`
}

// sampleLog is a file of finished texts, one a line.
type sampleLog struct {
	path  string
	file  *os.File
	texts []sampleText
}

// openSampleLog opens the log with what an earlier run has finished, up to the first line that is not whole or no text of this run. A file that begins otherwise,
// as the log of a run with other options does, is an error.
func openSampleLog(path string, head sampleHead) (*sampleLog, error) {
	want, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no file of an earlier run; remove it or choose another output", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	l := &sampleLog{path: path, file: f}
	end, err := l.read(string(want), head.Length)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err == nil && end == 0 {
		_, err = f.Write(append(want, '\n'))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// read reads the texts, and returns where what can be used of the file ends.
func (l *sampleLog) read(head string, length int) (end int64, err error) {
	r := bufio.NewReader(l.file)
	line, err := r.ReadString('\n')
	if strings.TrimSuffix(line, "\n") != head {
		if strings.HasPrefix(head, line) {
			return 0, nil // empty, or stopped within its first line
		}
		return 0, fmt.Errorf("%s: texts of another model, of other options, or something else; finish that run with its own options, or remove the directory", l.path)
	}
	if err != nil {
		return 0, nil // without its end, the line is written again
	}
	for end = int64(len(line)); ; end += int64(len(line)) {
		if line, err = r.ReadString('\n'); err != nil {
			return end, nil // the last line is not whole, or there is none
		}
		text := sampleText{Index: -1}
		if json.Unmarshal([]byte(line), &text) != nil || text.Index != len(l.texts) || text.Tokens < 0 || text.Tokens > length {
			return end, nil
		}
		l.texts = append(l.texts, text)
	}
}

// add keeps finished texts.
func (l *sampleLog) add(t *tokenizer.Tokenizer, written [][]int32) error {
	var lines []byte
	for _, ids := range written {
		text := sampleText{len(l.texts), len(ids), textOf(t, ids)}
		line, err := json.Marshal(text)
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
		l.texts = append(l.texts, text)
	}
	_, err := l.file.Write(lines)
	return errors.Join(err, l.file.Sync())
}

// textOf decodes what a model has drawn, without tokens that no text has.
func textOf(t *tokenizer.Tokenizer, ids []int32) string {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id int32) bool {
		kind := t.Type(id)
		return kind == tokenizer.Control || kind == tokenizer.Unknown || kind == tokenizer.Unused
	})
	return strings.ToValidUTF8(t.Decode(ids), "\uFFFD")
}

func (l *sampleLog) close() { l.file.Close() } // closed already after remove

// remove deletes the log, if nobody else has.
func (l *sampleLog) remove() error {
	err := os.Remove(l.path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(l.file.Close(), err)
}

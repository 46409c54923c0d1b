package compress

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"pith/checkpoint"
	"pith/formats"
	"pith/internal/lock"
	"pith/plan"
)

const indexName = "model.safetensors.index.json"

var shardPattern = regexp.MustCompile(`^model-\d{5,}-of-\d{5,}\.safetensors$`)

// output is the locked directory that an artifact is made in.
type output struct {
	path string
	lock *lock.Dir
}

// openOutput makes or checks the directory, takes its lock, and leaves in it nothing but what p can resume from, the plan itself, and
// files that are not ours.
func openOutput(path string, ckpt *checkpoint.Checkpoint, p *plan.Plan, o Options) (*output, error) {
	if path == "" {
		return nil, errors.New("no output directory; give one with -o DIR")
	}
	if err := checkNotSource(path, ckpt); err != nil {
		return nil, err
	}
	if err := checkOurs(path); err != nil {
		return nil, err
	}
	held, err := lock.TakeDir(path)
	if errors.Is(err, lock.ErrHeld) {
		return nil, fmt.Errorf("%s: another pith compress is writing here; wait for it, or choose another directory", path)
	}
	if err != nil {
		return nil, writeError(path, err)
	}
	d := &output{path, held}
	if err := d.prepare(p, o); err != nil {
		d.close(false)
		return nil, err
	}
	return d, nil
}

// CheckOutput returns those errors about out of Run, or, with gguf, of RunGGUF, that are known before there is a plan: all but that it holds the work of
// another plan, unless that plan's recipe has another name than recipe.
func CheckOutput(ckpt *checkpoint.Checkpoint, out, recipe string, gguf, overwrite bool) error {
	if gguf {
		path := ggufPath(out)
		if err := checkGGUFOutput(ckpt, path, overwrite); err != nil {
			return err
		}
		out = workDir(path)
	}
	if err := checkNotSource(out, ckpt); err != nil {
		return err
	}
	if err := checkOurs(out); err != nil || overwrite {
		return err
	}
	d := output{path: out}
	hash, name, err := d.foundPlan()
	if err == nil && hash != "" && name != recipe {
		err = d.anotherPlan()
	}
	return err
}

// writeError adds what to do to an error of the file system.
func writeError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s: cannot write here (%w); choose a directory you may write to", path, err)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: is not a directory (%w); choose another output", path, err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%s: the disk is full (%w); free space or choose another directory, then run the same command again", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// checkNotSource refuses to write an artifact over the checkpoint it is made from.
func checkNotSource(path string, ckpt *checkpoint.Checkpoint) error {
	out, err := os.Stat(path)
	if err != nil {
		return nil // not there: no conflict
	}
	for _, file := range ckpt.Files() {
		if dir, err := os.Stat(filepath.Dir(file)); err == nil && os.SameFile(out, dir) {
			return fmt.Errorf("%s: is where the checkpoint itself lies; choose another directory", path)
		}
	}
	return nil
}

// checkOurs refuses a directory that holds files but no artifact or unfinished run: they are somebody else's.
func checkOurs(path string) error {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s: is a file; choose a directory", path)
	case err != nil:
		return writeError(path, err)
	}
	foreign := ""
	for _, e := range entries {
		switch name := e.Name(); {
		case name == checkpoint.ManifestName || name == checkpoint.PlanName:
			return nil
		case strings.TrimSuffix(name, ".partial") == checkpoint.PlanName || name == lock.DirName: // of a run killed at its very start
		case foreign == "":
			foreign = name
		}
	}
	if foreign != "" {
		return fmt.Errorf("%s: holds files that pith did not write (%s); choose an empty or new directory", path, foreign)
	}
	return nil
}

// prepare settles what an earlier run has left: the same plan is resumed, another is an error or, with Overwrite, removed.
func (d *output) prepare(p *plan.Plan, o Options) error {
	found, _, err := d.foundPlan()
	if err != nil && !o.Overwrite {
		return err
	}
	switch {
	case o.Overwrite:
		err = d.removeOurs()
	case found != "" && found != p.Hash():
		return d.anotherPlan()
	default:
		err = d.removePartial()
	}
	if err != nil {
		return err
	}
	if err := d.checkSpace(p); err != nil {
		return err
	}
	plan := filepath.Join(d.path, checkpoint.PlanName)
	return formats.WriteFileAtomic(plan, func(w io.Writer) error {
		_, err := w.Write(p.JSON())
		return err
	})
}

func (d *output) anotherPlan() error {
	return fmt.Errorf("%s: holds the work of another plan; give --overwrite to replace it, or another -o", d.path)
}

// foundPlan returns the hash of the plan that the directory's files were made by, or "", and the name of its recipe.
func (d *output) foundPlan() (hash, recipe string, err error) {
	path := filepath.Join(d.path, checkpoint.PlanName)
	if _, err := os.Stat(path); err == nil {
		p, err := plan.Load(path)
		if err != nil {
			return "", "", fmt.Errorf("%w; give --overwrite to start again", err)
		}
		return p.Hash(), p.Recipe.Name, nil
	}
	m, err := checkpoint.ReadManifest(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("%w; give --overwrite to replace it", err)
	}
	var p struct{ Recipe struct{ Name string } }
	if err := json.Unmarshal(m.Plan, &p); err != nil {
		return m.PlanSHA256, "", nil // the hash decides
	}
	return m.PlanSHA256, p.Recipe.Name, nil
}

// ours reports whether a file is one that a run writes.
func ours(name string) bool {
	name = strings.TrimSuffix(name, ".partial")
	return name == checkpoint.ManifestName || name == checkpoint.PlanName || name == indexName || shardPattern.MatchString(name) ||
		checkpoint.IsConfigFile(name)
}

func (d *output) remove(which func(name string) bool) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return writeError(d.path, err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() && which(e.Name()) {
			if err := os.Remove(filepath.Join(d.path, e.Name())); err != nil {
				return writeError(d.path, err)
			}
		}
	}
	return nil
}

// removeOurs removes an artifact, manifest first, so that at no moment half an artifact looks whole. The plan goes last of all: while it
// is there the directory is known as ours.
func (d *output) removeOurs() error {
	plan := filepath.Join(d.path, checkpoint.PlanName)
	if _, err := os.Stat(plan); errors.Is(err, fs.ErrNotExist) {
		err := formats.WriteFileAtomic(plan, func(w io.Writer) error { return json.NewEncoder(w).Encode("replaced") })
		if err != nil {
			return err
		}
	}
	for _, which := range []func(string) bool{
		func(name string) bool { return name == checkpoint.ManifestName },
		func(name string) bool { return ours(name) && name != checkpoint.PlanName },
	} {
		if err := d.remove(which); err != nil {
			return err
		}
	}
	return nil
}

func (d *output) removePartial() error {
	return d.remove(func(name string) bool { return strings.HasSuffix(name, ".partial") && ours(name) })
}

// checkSpace compares what is still to be written with what the file system has left.
func (d *output) checkSpace(p *plan.Plan) error {
	free, ok := freeBytes(d.path)
	if !ok {
		return nil
	}
	need := int64(1 << 20) // config, tokenizer
	for i, b := range p.Blocks {
		if _, err := os.Stat(filepath.Join(d.path, shardName(i, len(p.Blocks)))); err == nil {
			continue
		}
		for _, l := range b.Lines {
			need += l.Bytes + 2048 // headers, index and manifest
		}
	}
	if need > free {
		return fmt.Errorf("%s: %d MiB are needed and %d MiB are free; free space or choose another directory", d.path, mib(need), free>>20)
	}
	return nil
}

// close releases the lock, after a whole run without the plan, after one that did not begin without the directory.
func (d *output) close(finished bool) error {
	var err error
	if finished {
		err = os.Remove(filepath.Join(d.path, checkpoint.PlanName))
	}
	return errors.Join(err, d.lock.Release(!finished && d.lock.Made))
}

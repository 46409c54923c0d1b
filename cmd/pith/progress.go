package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"pith/internal/human"
)

// meter shows how far a long command is, on stderr: a bar with its ETA on a terminal, else a line from time to time.
type meter struct {
	w        io.Writer
	terminal bool
	bar      *progressbar.ProgressBar
	what     string
	start    time.Time
	printed  time.Time
}

// lineEvery is the least time between plain lines.
const lineEvery = 5 * time.Second

// newMeter returns a meter; quiet shows nothing.
func newMeter(w io.Writer, what string, quiet bool) *meter {
	m := &meter{w: w, what: what, start: time.Now(), printed: time.Now()}
	if quiet {
		m.w = io.Discard
	} else if f, ok := w.(*os.File); ok {
		m.terminal = term.IsTerminal(int(f.Fd()))
	}
	return m
}

// update shows that done of total units are finished; note says what they are doing.
func (m *meter) update(done, total int64, note string) {
	if m.terminal && m.bar == nil && total > 0 {
		m.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(m.w), progressbar.OptionSetPredictTime(true),
			progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(30),
			progressbar.OptionUseANSICodes(true))
	}
	if m.bar != nil {
		m.bar.Describe(m.what + " " + note)
		m.bar.ChangeMax64(total)
		m.bar.Set64(done) // a bar that cannot be drawn is no failure
		return
	}
	now := time.Now()
	if now.Sub(m.printed) < lineEvery || total == 0 {
		return
	}
	m.printed = now
	eta := "?"
	if done > 0 {
		eta = human.Duration(time.Duration(float64(now.Sub(m.start)) / float64(done) * float64(total-done)))
	}
	fmt.Fprintf(m.w, "%s %3.0f%% %s, %s left\n", m.what, 100*float64(done)/float64(total), note, eta)
}

// restart begins another stage of the same command.
func (m *meter) restart(what string) {
	m.what, m.bar, m.start = what, nil, time.Now()
}

// finish removes the bar.
func (m *meter) finish() {
	if m.bar != nil {
		m.bar.Finish() // as above
	}
}

package model

import "fmt"

// drafter makes a draft's proposals.
type drafter struct {
	Draft
	ids           []int32 // of the logits that are looked at; nil: all tokens in order
	sampler       *Sampler
	rule          *acceptance
	kept          []float32  // logits of Rows
	ends          []int      // ends[i]: how many tokens the session has seen when it has read the first i of history
	own           []int32    // scratch
	distributions [][]choice // of the tokens proposed last
	steps         int        // passes through the draft for proposals
}

func newDrafter(d Draft, vocab int, sampler *Sampler, rule *acceptance) (*drafter, error) {
	r := &drafter{Draft: d, ids: d.IDs, sampler: sampler, rule: rule, ends: []int{0}}
	rows := d.Session.m.head.rows
	if r.ids == nil {
		r.ids = d.Session.m.draftIDs
	}
	switch {
	case r.ids == nil && rows > vocab:
		return nil, fmt.Errorf("draft: a head of %d tokens for a vocabulary of %d; the map of its ids is missing", rows, vocab)
	case r.ids != nil && len(r.ids) != rows:
		return nil, fmt.Errorf("draft: a map of %d ids for a head of %d rows", len(r.ids), rows)
	}
	seen := make([]bool, vocab)
	for i, id := range r.ids {
		if id < 0 || int(id) >= vocab || seen[id] {
			return nil, fmt.Errorf("draft: row %d of the head stands for token %d, which is taken or outside the vocabulary of %d", i, id, vocab)
		}
		seen[id] = true
	}
	if d.Rows == nil {
		return r, nil
	}
	if len(d.Rows) == 0 {
		return nil, fmt.Errorf("draft: no rows of the head are left")
	}
	all := r.ids
	r.ids, r.kept = make([]int32, len(d.Rows)), make([]float32, len(d.Rows))
	for i, row := range d.Rows {
		if row < 0 || int(row) >= rows || i > 0 && row <= d.Rows[i-1] {
			return nil, fmt.Errorf("draft: row %d of a head of %d; rows must rise", row, rows)
		}
		r.ids[i] = row
		if all != nil {
			r.ids[i] = all[row]
		}
	}
	return r, nil
}

// prime reads a prompt ahead of the first proposal.
func (d *drafter) prime(prompt []int32) error {
	_, err := d.read(prompt)
	d.steps = 0
	return err
}

// propose returns up to n tokens to follow history; fewer, perhaps none, if the session has no room for more. The distributions that they were
// drawn from are kept.
func (d *drafter) propose(history []int32, n int) ([]int32, error) {
	var proposed []int32
	sequence := history
	for len(proposed) < n {
		logits, err := d.read(sequence)
		if err != nil || logits == nil {
			return proposed, err
		}
		if d.Rows != nil {
			for i, row := range d.Rows {
				d.kept[i] = logits[row]
			}
			logits = d.kept
		}
		at := len(proposed)
		if at == len(d.distributions) {
			d.distributions = append(d.distributions, nil)
		}
		d.distributions[at] = d.sampler.distribution(d.distributions[at][:0], logits, d.ids)
		token := d.rule.draw(d.distributions[at])
		proposed = append(proposed, token)
		sequence = append(sequence[:len(sequence):len(sequence)], token)
	}
	return proposed, nil
}

// read lets the session read what it has not yet of a sequence, and returns the logits after it; nil if there is no room.
func (d *drafter) read(sequence []int32) ([]float32, error) {
	first := len(d.ends) - 1
	d.own = d.own[:0]
	ends := d.ends
	for _, token := range sequence[first:] {
		if d.Read == nil {
			d.own = append(d.own, token)
		} else {
			d.own = append(d.own, d.Read(token)...)
		}
		ends = append(ends, d.Session.Len()+len(d.own))
	}
	if len(d.own) == 0 || d.Session.Len()+len(d.own) > d.Session.Max() {
		return nil, nil
	}
	logits, err := d.Session.Feed(d.own)
	if err != nil {
		return nil, err
	}
	d.ends = ends
	d.steps++
	return logits, nil
}

// forget takes back all but the first n tokens of history.
func (d *drafter) forget(n int) {
	if n < len(d.ends) {
		d.ends = d.ends[:n+1]
		d.Session.Truncate(d.ends[n])
	}
}

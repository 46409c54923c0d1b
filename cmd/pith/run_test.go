package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestGenerationEndsWithTheContext(t *testing.T) {
	model := tinyModel(t)
	var r struct {
		Stop         string
		Tokens       int
		PromptTokens int `json:"prompt_tokens"`
	}
	if err := json.Unmarshal([]byte(ok(t, "run", model, "-p", "the", "-n", "1000000000", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Stop != "context" || r.PromptTokens+r.Tokens != 64 {
		t.Errorf("%d tokens after %d, stopped for %q; the context is 64", r.Tokens, r.PromptTokens, r.Stop)
	}
	refused(t, []string{"context of 64", "shorter prompt"}, "run", model, "-p", strings.Repeat("q", 200))
}

package plan

import (
	"os"
	"strings"
	"testing"

	"pith/internal/synth/llama"
)

// Every recipe that the documentation shows resolves, and every field and role it can use is documented.
func TestRecipesOfTheDocumentationResolve(t *testing.T) {
	text, err := os.ReadFile("../docs/methods/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shape := llama.Shapes()["small"]
	shape.FFN = 1536 // a multiple of 256, as in the models that the recipes are meant for
	c := open(t, shape)
	n := 0
	for _, block := range append(strings.Split(string(text), "```yaml\n")[1:], strings.Split(string(readme), "```yaml\n")[1:]...) {
		yaml, _, _ := strings.Cut(block, "```")
		yaml = strings.ReplaceAll(yaml, "codec: NAME", "codec: q8_0")
		r, err := ParseRecipe("recipe.yaml", []byte(yaml))
		if err != nil {
			t.Fatalf("%v\n%s", err, yaml)
		}
		if _, err := Resolve(c, r); err != nil {
			t.Errorf("%v\n%s", err, yaml)
		}
		n++
	}
	if n < 6 {
		t.Errorf("%d recipes found", n)
	}
	for _, word := range append(Roles(), "name", "seed", "rules", "match", "codec", "method", "search", "scorer", "selector", "solver", "keep", "no_fallback", defaultMethod) {
		if !strings.Contains(string(text), "`"+word+"`") {
			t.Errorf("%s is not documented", word)
		}
	}
}

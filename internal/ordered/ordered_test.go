package ordered

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestWhatIsNotEditedStaysInItsOrder(t *testing.T) {
	in := `{"z":1.50,"a":{"y":[1, 2],"x":"<é>\u00e9"},"n":null,"b":true}`
	out, err := Edit(json.RawMessage(in), func(o *Object) error {
		if o.Get("n") != nil || o.Get("none") != nil {
			t.Error("null and absent members have a value")
		}
		if err := o.EditMember("none", func(*Object) error { return errors.New("called for what is absent") }); err != nil {
			return err
		}
		return errors.Join(o.Set("b", "<b>"), o.Set("new", []int{7}), o.EditMember("a", func(o *Object) error { return o.Set("y", 3) }))
	})
	want := `{"z":1.50,"a":{"y":3,"x":"<é>\u00e9"},"n":null,"b":"<b>","new":[7]}`
	if err != nil || string(out) != want {
		t.Errorf("%s, %v\nwant %s", out, err, want)
	}
	for _, bad := range []string{`[]`, `{"a":1`, `{"a"}`, `7`, `{"a":}`} {
		if _, err := Edit(json.RawMessage(bad), func(*Object) error { return nil }); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	if out, err := EditFile([]byte(`{"a":[1]}`), func(*Object) error { return nil }); err != nil || string(out) != "{\n  \"a\": [\n    1\n  ]\n}\n" {
		t.Errorf("%q, %v", out, err)
	}
}

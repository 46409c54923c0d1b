package linalg

import (
	"os"
	"strings"
	"testing"
)

func TestWithoutLibraryThePackageItselfComputes(t *testing.T) {
	if l, err := openLibrary(""); l != nil || err != nil {
		t.Errorf("no name: %v, %v", l, err)
	}
	if l, err := openLibrary("./no such library.so"); l != nil || err == nil || !strings.Contains(err.Error(), LibraryVariable) {
		t.Errorf("a library that is not there: %v, %v", l, err)
	}
	name, err := Library()
	if asked := os.Getenv(LibraryVariable); asked == "" && (name != "" || err != nil) || asked != "" && err == nil && name == "" {
		t.Errorf("%s=%q gives %q, %v", LibraryVariable, asked, name, err)
	}
}

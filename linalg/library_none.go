//go:build !(openblas && linux && (amd64 || arm64))

package linalg

func openLibrary(name string) (*library, error) {
	if name == "" {
		return nil, nil
	}
	return nil, errNoLibrary
}

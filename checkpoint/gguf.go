package checkpoint

import "fmt"

func openGGUF(path string) (*Checkpoint, error) {
	return nil, fmt.Errorf("%s: GGUF checkpoints cannot be opened yet; give the Hugging Face directory it was made from", path)
}

package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What a process left when it was killed between writing and renaming is taken away, and nothing else.
func TestSweepBeside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := time.Now().Add(-2 * time.Hour)
	files := map[string]struct {
		of    time.Time
		stays bool
	}{
		".inventory.json.1234567": {long, false},
		".inventory.json.7654321": {time.Now(), true}, // somebody may be writing it
		"inventory.json":          {long, true},
		".inventory.json.":        {time.Now(), true},
		".inventory.json.bak":     {long, true},
		".other.json.1234567":     {long, true},
	}
	for name, f := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, f.of, f.of); err != nil {
			t.Fatal(err)
		}
	}
	sweepBeside(filepath.Join(dir, InventoryFile))
	for name, f := range files {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != f.stays {
			t.Errorf("%s: %v", name, err)
		}
	}
}

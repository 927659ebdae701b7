package lab_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain runs all tests and then wants every goroutine of the lab to be gone: whatever was stopped has ended.
func TestMain(m *testing.M) {
	code := m.Run()
	deadline := time.Now().Add(5 * time.Second)
	for {
		left := leftovers()
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "FAIL: %d goroutines of the lab are left, such as:\n%s\n", len(left), left[0])
			code = 1
			break
		}
		runtime.Gosched()
		<-time.After(20 * time.Millisecond)
	}
	os.Exit(code)
}

// leftovers returns the stacks of goroutines that the lab or a library on its behalf still runs.
func leftovers() []string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var out []string
	for _, g := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(g, "lab_test.TestMain") {
			continue
		}
		for _, mine := range []string{"internal/lab.", "miekg/dns.", "quic-go.", "net/http.(*conn)", "net/http.(*Server)"} {
			if strings.Contains(g, mine) {
				out = append(out, g)
				break
			}
		}
	}
	return out
}

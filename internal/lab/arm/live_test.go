package arm_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain runs all tests and then wants every goroutine of the stand-in to be gone.
func TestMain(m *testing.M) {
	code := m.Run()
	deadline := time.Now().Add(5 * time.Second)
	for left := leftovers(); left != ""; left = leftovers() {
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "FAIL: goroutines of the stand-in are left, such as:\n%s\n", left)
			code = 1
			break
		}
		<-time.After(20 * time.Millisecond)
		runtime.Gosched()
	}
	os.Exit(code)
}

func leftovers() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		if !strings.Contains(g, "arm_test.TestMain") && (strings.Contains(g, "lab/arm.") || strings.Contains(g, "net/http.(*Server)")) {
			return g
		}
	}
	return ""
}

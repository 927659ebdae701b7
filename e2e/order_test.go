package e2e_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/lab/arm"
)

const assignments = "/roleassignments/"

// hold makes Azure take the next request about a role assignment of one method only once one of the other was answered.
func hold(w *workspace, method, until string) {
	have := len(w.azure.Requests())
	w.azure.Inject(arm.Fault{Method: method, Path: assignments, Times: 1, Before: func() {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
			for _, r := range w.azure.Requests()[have:] {
				if r.Method == until && about(r) {
					return
				}
			}
		}
	}})
}

func about(r arm.Request) bool { return strings.Contains(strings.ToLower(r.Path), assignments) }

// answered is how the last request of a method about a role assignment was answered; empty when there was none.
func answered(a *arm.Server, method string) string {
	code := ""
	for _, r := range a.Requests() {
		if r.Method == method && about(r) {
			code = strings.TrimSpace(fmt.Sprintf("%d %s", r.Status, r.Code))
		}
	}
	return code
}

package main

import (
	"context"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// checker looks at targets and judges each as soon as it was seen.
type checker struct {
	look        looker
	now         func() time.Time
	at          time.Time // judge as if it were then; zero for the moment of looking
	concurrency int
}

// run calls emit once for each target, from one goroutine, in the order in which results come. When ctx ends, targets
// that were not looked at to the end are emitted as unknown.
func (c checker) run(ctx context.Context, targets []assure.Target, emit func(i int, e endpoint)) {
	type result struct {
		i int
		e endpoint
	}
	work := make(chan int)
	results := make(chan result)
	var workers sync.WaitGroup
	for range min(c.concurrency, len(targets)) {
		workers.Go(func() {
			for i := range work {
				results <- result{i, c.one(ctx, targets[i])}
			}
		})
	}
	go func() {
		for i := range targets {
			work <- i
		}
		close(work)
		workers.Wait()
		close(results)
	}()
	for r := range results {
		emit(r.i, r.e)
	}
}

func (c checker) one(ctx context.Context, t assure.Target) endpoint {
	if ctx.Err() != nil {
		return stoppedEndpoint(t)
	}
	served := c.look.Look(ctx, t)
	if ctx.Err() != nil {
		// What an interrupted look brings back says more of the interruption than of the endpoint.
		return stoppedEndpoint(t)
	}
	at := c.at
	if at.IsZero() {
		at = c.now()
	}
	return newEndpoint(t, served, at)
}

// judge holds one look against the serving rules at the given time. The evidence counts as fresh then, however long
// ago or ahead that is: what is asked is how the thing seen would be judged.
func judge(t assure.Target, served assure.Served, at time.Time) assure.Judgement {
	claim := assure.Claim{
		ID: assure.NewClaimID(assure.Serving, "check", t.String()), Link: assure.Serving, Certificate: "check", Subject: t.String(),
		Declared: at, Every: time.Hour,
	}
	return assure.Judge(assure.Case{
		Claim:    claim,
		Evidence: &assure.Evidence{Claim: claim.ID, Fact: served, Observer: "notafter check", FirstSeen: at, LastSeen: at, Count: 1},
	}, assure.Setting{Now: at})
}

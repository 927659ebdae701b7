package main

import (
	"context"
	"fmt"
	"time"
)

// wholeDay is how long a day lasts at speed 1.
const wholeDay = 6 * time.Second

// The moments of the story, from the public post-mortem. When the renewal came due is not in it: some time after the
// change.
var (
	opening     = story(12, time.September, 9, 0)  // the monthly manual check
	planned     = story(22, time.September, 14, 0) // the plan is reviewed
	applied     = story(22, time.September, 15, 0) // and applied
	renewalDue  = story(23, time.September, 15, 0) // the controller's first attempt
	mendedEarly = story(24, time.September, 9, 0)  // when somebody who was paged has had time, in act 2
	expiry      = story(8, time.October, 15, 0)    // a Sunday
	discovery   = story(9, time.October, 8, 0)     // people find it
	drift       = story(9, time.October, 8, 15)    // a plan shows what is missing
	restored    = story(9, time.October, 8, 30)    // a forced renewal
	attemptEach = 24 * time.Hour                   // pause between attempts of the controller
)

func story(day int, month time.Month, hour, minute int) time.Time {
	return time.Date(2023, month, day, hour, minute, 0, 0, time.UTC)
}

// clock turns our time into the story's. It is set by the end of the certificate, the one moment that cannot be moved.
type clock struct {
	end time.Time     // when the certificate ends, in our time
	day time.Duration // how long a day lasts
}

// at is the story's time at a moment of ours.
func (c clock) at(t time.Time) time.Time {
	return expiry.Add(time.Duration(float64(t.Sub(c.end)) / float64(c.day) * float64(24*time.Hour)))
}

// ours is our time at a moment of the story.
func (c clock) ours(t time.Time) time.Time { return c.end.Add(c.lasts(t.Sub(expiry))) }

// lasts is how long a while of the story lasts here.
func (c clock) lasts(d time.Duration) time.Duration {
	return time.Duration(float64(d) / float64(24*time.Hour) * float64(c.day))
}

// wait waits until a moment of the story.
func (c clock) wait(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(c.ours(t)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// calendar is a moment as the screen shows it.
func calendar(t time.Time) string { return t.Format("Mon _2 Jan 15:04") }

// span is a while of the story, as people say it.
func span(d time.Duration) string {
	switch h := d.Hours(); {
	case d < time.Hour:
		return fmt.Sprintf("%d minutes", max(1, int(d.Minutes()+0.5)))
	case h < 48:
		return fmt.Sprintf("%.0f hours", h)
	default:
		return fmt.Sprintf("%.0f days", h/24)
	}
}

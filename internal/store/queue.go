package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Settings of the queue. The defaults would keep a page that was in flight at a crash waiting for an hour, and finished
// jobs for a day.
const (
	deliverTimeout = 20 * time.Second
	shardTimeout   = 5 * time.Minute
	// rescueAfter must be above deliverTimeout. A job whose process died is given up after it; Sweep makes a new one.
	rescueAfter = 60 * time.Second
	finishedFor = time.Minute
	poll        = 200 * time.Millisecond
	sweepEvery  = time.Second
	// drainFor is how long running jobs may take to finish when Run is asked to end.
	drainFor = 25 * time.Second
	// sweepMost bounds one sweep; what is left over is found by the next.
	sweepMost = 500
)

const (
	deliverQueue = "deliver"
	shardQueue   = "shard"
)

// deliverArgs name one attempt of a delivery. The number of attempts before makes the job of the next attempt another
// one. A job can die with its process before the attempt is counted; River would rescue it after a minute or more, so
// Sweep makes another one in the next turn. One too many does no harm: Take gives a delivery to one of them.
type deliverArgs struct {
	Delivery int64  `json:"delivery"`
	Attempt  int    `json:"attempt"`
	Turn     int64  `json:"turn"`
	Channel  string `json:"channel"`
}

// turnLength is how long a dead job can stand in the way of a delivery.
const turnLength = 15 * time.Second

func turn(now int64) int64 { return now / turnLength.Microseconds() }

func (deliverArgs) Kind() string { return "deliver" }

// InsertOpts makes jobs unique among those that are not over.
func (deliverArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: deliverQueue, MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}}
}

type shardArgs struct {
	Shard int `json:"shard"`
}

func (shardArgs) Kind() string { return "shard" }

// InsertOpts gives each job one try: when to try again is for our own tables to say. Jobs of shards are not unique,
// because a shard is enqueued by whoever has just leased it, and a job that died with its process must not be in the way.
func (shardArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: shardQueue, MaxAttempts: 1}
}

// enqueue inserts jobs in a transaction, or by itself when tx is nil, and counts those that were not there already.
func (db *DB) enqueue(ctx context.Context, tx *sql.Tx, jobs []deliverArgs) (int, error) {
	list := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		list[i] = river.InsertManyParams{Args: j}
	}
	return db.insertJobs(ctx, tx, list)
}

func (db *DB) insertJobs(ctx context.Context, tx *sql.Tx, list []river.InsertManyParams) (int, error) {
	if len(list) == 0 {
		return 0, nil
	}
	var done []*rivertype.JobInsertResult
	var err error
	if tx != nil {
		done, err = db.queue.InsertManyTx(ctx, tx, list)
	} else {
		done, err = db.queue.InsertMany(ctx, list)
	}
	if err != nil {
		return 0, db.wrap(err, "insert jobs")
	}
	n := 0
	for _, d := range done {
		if !d.UniqueSkippedAsDuplicate {
			n++
		}
	}
	return n, nil
}

// EnqueueShards makes a job for each of the shards. The caller holds their leases.
func (db *DB) EnqueueShards(ctx context.Context, shards []int) error {
	seen := map[int]bool{}
	var list []river.InsertManyParams
	for _, s := range shards {
		if s < 0 || s >= Shards {
			return fmt.Errorf("enqueue shards: there is no shard %d", s)
		}
		if !seen[s] {
			list = append(list, river.InsertManyParams{Args: shardArgs{Shard: s}})
		}
		seen[s] = true
	}
	_, err := db.insertJobs(ctx, nil, list)
	return err
}

// Sweep makes a job for every delivery that can be made at now and has none waiting or running, and returns how many.
// Deliveries whose lease ran out, because their process died, are among them.
func (db *DB) Sweep(ctx context.Context, now time.Time) (int, error) {
	jobs, err := all(ctx, db.reader(), func(s scanner) (a deliverArgs, err error) { return a, s.Scan(&a.Delivery, &a.Attempt, &a.Channel) },
		`SELECT d.id, d.attempt, d.channel FROM delivery d JOIN notice n ON n.id = d.notice WHERE d.state = 'pending' AND d.next_at <= $1 AND (d.lease_owner = '' OR d.lease_until <= $1)
		AND (d.incident = '' OR NOT EXISTS (SELECT 1 FROM delivery e WHERE e.incident = d.incident AND e.channel = d.channel AND e.id < d.id AND e.state = 'pending'))
		ORDER BY n.stage DESC, d.attempt, d.next_at, d.id LIMIT $2`, micro(now), sweepMost)
	if err != nil {
		return 0, db.wrap(err, "find due deliveries")
	}
	for i := range jobs {
		jobs[i].Turn = turn(micro(now))
	}
	return db.enqueue(ctx, nil, jobs)
}

// Work is what the jobs of the queue do.
type Work struct {
	// Shard looks at the due claims of a shard. Nil: this process takes no shards.
	Shard func(ctx context.Context, shard int) error
	// Deliver makes one attempt of a delivery. Its context ends after 20 seconds.
	Deliver func(ctx context.Context, id int64) error
	// Workers is how many jobs of each kind run at the same time (4); of deliveries, an eighth of them and at least one
	// through the same channel.
	Workers int
}

type deliverWorker struct {
	river.WorkerDefaults[deliverArgs]
	do    func(context.Context, int64) error
	lanes *lanes
}

func (w *deliverWorker) Work(ctx context.Context, j *river.Job[deliverArgs]) error {
	return w.lanes.run(ctx, j.Args.Channel, j.Args.Delivery, w.do)
}
func (w *deliverWorker) Timeout(*river.Job[deliverArgs]) time.Duration { return deliverTimeout }

type shardWorker struct {
	river.WorkerDefaults[shardArgs]
	do func(context.Context, int) error
}

func (w *shardWorker) Work(ctx context.Context, j *river.Job[shardArgs]) error {
	return w.do(ctx, j.Args.Shard)
}
func (w *shardWorker) Timeout(*river.Job[shardArgs]) time.Duration { return shardTimeout }

// Run works on the jobs of the queue, and sweeps every second, until ctx ends. Then it takes no more jobs, lets those
// that run finish for at most 25 seconds, and returns nil. An error of a job is logged; what is to be done about it
// stands in the outbox and the ledger.
func (db *DB) Run(ctx context.Context, w Work) error {
	if w.Deliver == nil && w.Shard == nil {
		return errors.New("run the queue: no work given")
	}
	if w.Workers <= 0 {
		w.Workers = 4
	}
	workers := river.NewWorkers()
	queues := map[string]river.QueueConfig{}
	if w.Deliver != nil {
		river.AddWorker(workers, &deliverWorker{do: w.Deliver, lanes: newLanes(max(1, w.Workers/8))})
		queues[deliverQueue] = river.QueueConfig{MaxWorkers: w.Workers}
	}
	if w.Shard != nil {
		river.AddWorker(workers, &shardWorker{do: w.Shard})
		queues[shardQueue] = river.QueueConfig{MaxWorkers: w.Workers}
	}
	client, err := river.NewClient(db.driver, &river.Config{
		Logger: quiet(db.log), Queues: queues, Workers: workers, ErrorHandler: jobErrors{db},
		PollOnly: true, FetchPollInterval: poll, FetchCooldown: poll / 2,
		JobTimeout: deliverTimeout, RescueStuckJobsAfter: rescueAfter, MaxAttempts: 1, SoftStopTimeout: drainFor,
		CompletedJobRetentionPeriod: finishedFor, CancelledJobRetentionPeriod: finishedFor, DiscardedJobRetentionPeriod: time.Hour,
	})
	if err != nil {
		return fmt.Errorf("run the queue: %w", err)
	}
	// The queue keeps using the database while it drains, so it is stopped by call and not by its context.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if err := client.Start(work); err != nil {
		return db.wrap(err, "run the queue")
	}
	var sweeping sync.WaitGroup
	sweeping.Go(func() { db.sweepUntil(ctx) })
	<-ctx.Done()
	sweeping.Wait()
	stop, cancelStop := context.WithTimeout(work, drainFor+10*time.Second)
	defer cancelStop()
	if err := client.Stop(stop); err != nil {
		return db.wrap(err, "drain the queue")
	}
	return nil
}

func (db *DB) sweepUntil(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if _, err := db.Sweep(ctx, db.now()); err != nil && ctx.Err() == nil {
			db.log.Error("no jobs could be made for due deliveries; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// jobErrors logs what jobs return.
type jobErrors struct{ db *DB }

func (e jobErrors) HandleError(_ context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	e.db.log.Error("a job ended with an error", "kind", job.Kind, "args", string(job.EncodedArgs), "error", err)
	return nil
}

func (e jobErrors) HandlePanic(_ context.Context, job *rivertype.JobRow, value any, trace string) *river.ErrorHandlerResult {
	e.db.log.Error("a job panicked", "kind", job.Kind, "args", string(job.EncodedArgs), "panic", value, "trace", trace)
	return nil
}

// forgetJobs empties the queue and ends all leases. On SQLite nobody else can be at work when the database is opened, so
// whatever is there is left over from a process that died; what it was about is found again by Sweep and Lease, at once.
// Pending TXT values keep their time: a child of the dead process may still be about to write one.
func (db *DB) forgetJobs(ctx context.Context) error {
	return db.transact(ctx, "clear up after the last process", func(q querier) error {
		for _, text := range []string{
			`DELETE FROM river_job`, `DELETE FROM river_leader`, `DELETE FROM river_notification`,
			`UPDATE shard SET lease_owner = '', lease_until = 0 WHERE lease_until > 0`,
			`UPDATE delivery SET lease_owner = '', lease_until = 0 WHERE state = 'pending' AND lease_until > 0`,
			`UPDATE renewal SET lease_owner = '', lease_until = 0 WHERE lease_until > 0`,
		} {
			if _, err := q.exec(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
}

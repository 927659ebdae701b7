package renew

import (
	"context"
	"sync"
)

// crew is how many certificates are attended to at the same time. Of several renewers none gets the last quarter: an
// authority or a provider that hangs must not hold up what others renew and rehearse.
type crew struct {
	size, most int // of all, and of one renewer

	mu    sync.Mutex
	taken map[string]int // by renewer
	all   int
}

func newCrew(size, renewers int) *crew {
	c := &crew{size: size, most: size, taken: map[string]int{}}
	if renewers > 1 {
		c.most = max(size-max(size/4, 1), 1)
	}
	return c
}

// join takes a slot, unless all that the renewer may have are taken.
func (c *crew) join(renewer string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.size || c.taken[renewer] >= c.most {
		return false
	}
	c.all++
	c.taken[renewer]++
	return true
}

func (c *crew) leave(renewer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	c.taken[renewer]--
}

// start attends to a certificate in the background, unless all slots are taken: then it is still due later.
func (k *Keeper) start(ctx context.Context, work *sync.WaitGroup, name string, slots *crew) {
	renewer := k.jobs[name].Renewer
	if ctx.Err() != nil || !slots.join(renewer) {
		return
	}
	here, end := context.WithCancel(ctx)
	if !k.enter(name, end) {
		end()
		slots.leave(renewer)
		return
	}
	work.Go(func() {
		defer func() {
			end()
			k.free(name)
			slots.leave(renewer)
			select {
			case k.woken <- struct{}{}:
			default:
			}
		}()
		k.attend(here, k.jobs[name])
	})
}

// enter claims a certificate to attend to it, unless it is busy or nothing new is to be begun. end cuts it short.
func (k *Keeper) enter(name string, end context.CancelFunc) bool {
	if !k.claim(name) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.draining() {
		k.state[name].busy = false
		return false
	}
	k.ends[name] = end
	return true
}

// claim marks a certificate as busy in this process, unless it is.
func (k *Keeper) claim(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.state[name]
	if st.busy {
		return false
	}
	st.busy = true
	return true
}

func (k *Keeper) free(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state[name].busy = false
	delete(k.ends, name)
}

// Drain makes Run begin nothing new and return when what is under way has ended. What is under way for certificates that
// goOn does not want to go on is cut short. It is called once, and does not wait.
func (k *Keeper) Drain(goOn func(certificate string) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.drained)
	for name, end := range k.ends {
		if !goOn(name) {
			end()
		}
	}
}

// draining reports whether nothing new is to be begun.
func (k *Keeper) draining() bool {
	select {
	case <-k.drained:
		return true
	default:
		return false
	}
}

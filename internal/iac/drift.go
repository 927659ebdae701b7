package iac

// drifted tells of what somebody took away outside the code since the last apply. What the plan makes again is worth
// knowing and no reason to stop the plan that mends it; what it does not make again is lost.
func (j *judge) drifted() {
	if len(j.plan.Drift) == 0 {
		return
	}
	// The world before the drift: what is known now, and what has gone since.
	st := &State{byType: map[string][]*Side{}}
	for _, r := range j.beforeSt.Resources {
		st.add(r)
	}
	for i := range j.plan.Drift {
		if c := &j.plan.Drift[i]; c.Do == Delete && c.Before != nil {
			j.gone[c] = true
			st.add(&Side{Change: c, Values: c.Before})
		}
	}
	if len(j.gone) == 0 {
		return
	}
	for _, t := range TiesOf(st) {
		if !j.gone[t.From.Change] || t.Kind == KindBlock || j.silent(&t) {
			continue
		}
		now := fate{class: Safe}
		if !j.stands(&t) {
			now = j.fate(&t)
			rest := j.resting(&t)
			switch {
			case now.class == Unknown:
			case now.class == Lost || now.class == Narrowed:
				now.class = Lost
				if t.Doubt != "" && len(rest) == 0 {
					if j.unused(&t) || j.quiet(&t) {
						continue
					}
					now.was, now.class, now.why = Lost, Unknown, t.Doubt
				}
			default:
				now = fate{class: Safe, by: now.by}
				if t.Doubt != "" && len(rest) == 0 {
					continue
				}
			}
			now.drift, now.past = true, j.plan.Past
			j.add(&t, now, rest)
		}
	}
}

// stands reports whether something covers a tie now, before the plan.
func (j *judge) stands(t *Tie) bool {
	for _, b := range j.was[t.key()] {
		if b.Covers(t) && len(b.Unknown) == 0 {
			return true
		}
	}
	return false
}

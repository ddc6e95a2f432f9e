package main

import "github.com/anishathalye/porcupine"

// Two locks of one seat cannot overlap, so one of them had ended before the other was taken. Often the recorded times leave
// only one order; then the later lock took effect no earlier than the call that ended the former, and that end no later than
// the later lock's return. Narrowing the operations to these windows removes no order that the model would accept, and is
// what makes a race of hundreds of clients decidable: without it the search tries orders that the seats exclude anyway.

// hold is one lock's possession of its seats.
type hold struct {
	lock   int   // index into the operations: the lock that succeeded
	enders []int // release and expiry, of which the first to take effect ends it
	seats  []int
	kept   bool // booked: nothing ends it
}

// endsFrom is the earliest moment at which the hold can have ended.
func (p *part) endsFrom(h *hold) (int64, bool) {
	if h.kept || len(h.enders) == 0 {
		return 0, false
	}
	first := p.operations[h.enders[0]].Call
	for _, e := range h.enders[1:] {
		if p.operations[e].Call < first {
			first = p.operations[e].Call
		}
	}
	return first, true
}

// canPrecede tells whether a may have ended before b was taken.
func (p *part) canPrecede(a, b *hold) bool {
	from, ends := p.endsFrom(a)
	return ends && from <= p.operations[b.lock].Return
}

// holds gives the possessions of each seat that are certain: taken by a lock that succeeded and was answered once.
func (p *part) holds() [][]*hold {
	byLock := map[int]*hold{}
	uncertain := map[int]bool{} // answered twice, or never: the order of its holds is the search's business
	for i, o := range p.operations {
		s := o.Input.(step)
		if s.op != "lock" || o.Output.(outcome) == refused {
			continue
		}
		if byLock[s.lock] != nil || o.Output.(outcome) == unknown {
			uncertain[s.lock] = true
		}
		byLock[s.lock] = &hold{lock: i, seats: s.seats}
	}
	for i, o := range p.operations {
		s := o.Input.(step)
		h := byLock[s.lock]
		if h == nil || s.op == "lock" || o.Output.(outcome) == refused {
			continue
		}
		if s.op == "book" {
			h.kept = h.kept || o.Output.(outcome) == done
		} else {
			h.enders = append(h.enders, i)
		}
	}
	bySeat := make([][]*hold, len(p.seats))
	for number, h := range byLock {
		if uncertain[number] {
			continue
		}
		for _, seat := range h.seats {
			bySeat[seat] = append(bySeat[seat], h)
		}
	}
	return bySeat
}

// contradiction finds two locks that must have held a seat at once, and gives the operations on these two.
func (p *part) contradiction() []porcupine.Operation {
	for _, holds := range p.holds() {
		for i, a := range holds {
			for _, b := range holds[i+1:] {
				if p.canPrecede(a, b) || p.canPrecede(b, a) {
					continue
				}
				var pair []porcupine.Operation
				for _, o := range p.operations {
					lock := o.Input.(step).lock
					if lock == p.operations[a.lock].Input.(step).lock || lock == p.operations[b.lock].Input.(step).lock {
						pair = append(pair, o)
					}
				}
				return pair
			}
		}
	}
	return nil
}

func (p *part) tighten() {
	bySeat := p.holds()
	for changed := true; changed; {
		changed = false
		for _, holds := range bySeat {
			for i, a := range holds {
				for _, b := range holds[i+1:] {
					ab, ba := p.canPrecede(a, b), p.canPrecede(b, a)
					switch {
					case ab && !ba:
						changed = p.order(a, b) || changed
					case ba && !ab:
						changed = p.order(b, a) || changed
					}
					// neither: two owners; both: open. The search finds out.
				}
			}
		}
	}
}

// order narrows the windows knowing that a ended before b was taken.
func (p *part) order(a, b *hold) bool {
	changed := false
	lock := &p.operations[b.lock]
	if from, _ := p.endsFrom(a); from > lock.Call && from <= lock.Return {
		lock.Call = from
		changed = true
	}
	if len(a.enders) == 1 {
		end := &p.operations[a.enders[0]]
		if lock.Return < end.Return && lock.Return >= end.Call {
			end.Return = lock.Return
			changed = true
		}
	}
	return changed
}

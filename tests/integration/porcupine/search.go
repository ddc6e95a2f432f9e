package main

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// In a race of hundreds of clients every operation overlaps with hundreds, and a search that tries them in the order of
// their calls gets lost. An order found in a stricter history proves the given one as well, so stricter ones are tried
// first: operations take effect shortly before they return, or locks soon after their call (a mark of admission refuses
// others long before the lock is answered), and those of unknown outcome never happened. Only the history as it was recorded
// can be found wrong.
func (p *part) judge(looseRefusals bool, timeout time.Duration) (porcupine.CheckResult, porcupine.Model, porcupine.LinearizationInfo) {
	end := time.Now().Add(timeout)
	model := p.model(looseRefusals)
	if pair := p.contradiction(); pair != nil {
		// two certain owners of a seat: the picture shows them and nothing else
		result, info := porcupine.CheckOperationsVerbose(model, pair, timeout)
		if result == porcupine.Illegal {
			return result, model, info
		}
	}
	longest, hasUnknown := int64(0), false
	for _, o := range p.operations {
		hasUnknown = hasUnknown || o.Output.(outcome) == unknown
		if o.Return != math.MaxInt64 && o.Return-o.Call > longest {
			longest = o.Return - o.Call
		}
	}
	for _, divisor := range []int64{256, 128, 64, 32, 16, 8, 4} {
		for _, withUnknown := range []bool{false, true} {
			if withUnknown && !hasUnknown {
				continue
			}
			for _, narrow := range []func(int64, bool) []porcupine.Operation{p.early, p.stricter} {
				operations := narrow(longest/divisor, withUnknown)
				if porcupine.CheckOperationsTimeout(model, operations, positive(time.Until(end)/20)) == porcupine.Ok {
					return porcupine.Ok, model, porcupine.LinearizationInfo{}
				}
			}
		}
	}
	result, info := porcupine.CheckOperationsVerbose(model, p.withoutPlainRefusals(), positive(time.Until(end)))
	return result, model, info
}

// porcupine takes 0 for "no limit"
func positive(d time.Duration) time.Duration {
	if d <= 0 {
		return time.Nanosecond
	}
	return d
}

// stricter gives the operations with windows of at most the given length, at their end.
func (p *part) stricter(window int64, withUnknown bool) []porcupine.Operation {
	var operations []porcupine.Operation
	for _, o := range p.operations {
		if o.Output.(outcome) == unknown && !withUnknown {
			continue
		}
		if o.Output.(outcome) != refused && o.Return != math.MaxInt64 && o.Return-window > o.Call {
			o.Call = o.Return - window
		}
		operations = append(operations, o)
	}
	narrowed := &part{show: p.show, seats: p.seats, locks: p.locks, operations: operations}
	narrowed.tighten()
	return narrowed.withoutPlainRefusals()
}

// early gives the operations with locks at the beginning of their windows and what ends them as late as the next lock of a
// seat allows: seats are held as long as they can have been, which is what most refusals need.
func (p *part) early(window int64, withUnknown bool) []porcupine.Operation {
	var operations []porcupine.Operation
	for _, o := range p.operations {
		if o.Output.(outcome) == unknown && !withUnknown {
			continue
		}
		if o.Input.(step).op == "lock" && o.Output.(outcome) == done && o.Call+window < o.Return {
			o.Return = o.Call + window
		}
		operations = append(operations, o)
	}
	narrowed := &part{show: p.show, seats: p.seats, locks: p.locks, operations: operations}
	narrowed.tighten()
	for i := range operations {
		o := &operations[i]
		if o.Input.(step).op != "lock" && o.Output.(outcome) == done && o.Return != math.MaxInt64 && o.Return-window > o.Call {
			o.Call = o.Return - window
		}
	}
	narrowed.tighten()
	return narrowed.withoutPlainRefusals()
}

// withoutPlainRefusals leaves out the refusals that are right in every order: at some moment between call and return the
// seats were surely held (their lock had returned, nothing that ends it had been called). They change nothing, and their
// subsets are what a search would drown in.
func (p *part) withoutPlainRefusals() []porcupine.Operation {
	holds := p.holds()
	surelyHeld := func(seat int, at int64) bool {
		for _, h := range holds[seat] {
			until, ends := p.endsFrom(h)
			if p.operations[h.lock].Return <= at && (!ends || at <= until) {
				return true
			}
		}
		return false
	}
	plain := func(o porcupine.Operation) bool {
		s := o.Input.(step)
		// one of the seats asked for is reason enough, unless the refusal named some: then it is all of those
		reasons := [][]int{s.named}
		if len(s.named) == 0 {
			reasons = nil
			for _, seat := range s.seats {
				reasons = append(reasons, []int{seat})
			}
		}
		for _, reason := range reasons {
			moments := []int64{o.Call}
			for _, seat := range reason {
				for _, h := range holds[seat] {
					if from := p.operations[h.lock].Return; from > o.Call && from <= o.Return {
						moments = append(moments, from)
					}
				}
			}
			for _, moment := range moments {
				all := true
				for _, seat := range reason {
					all = all && surelyHeld(seat, moment)
				}
				if all {
					return true
				}
			}
		}
		return false
	}
	var rest []porcupine.Operation
	for _, o := range p.operations {
		if o.Input.(step).op != "lock" || o.Output.(outcome) != refused || !plain(o) {
			rest = append(rest, o)
		}
	}
	return rest
}

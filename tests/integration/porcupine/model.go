package main

import (
	"fmt"
	"sort"
	"strings"

	"github.com/anishathalye/porcupine"
)

// The model's state is a string of two bytes a seat: the number of the lock that holds it, 0 for none, with the highest
// bit set once it is booked (nothing frees it then). A string is compared by == and never changed in place.
const booked = 1 << 15

// What an operation means inside its part.
type step struct {
	op     string
	lock   int
	seats  []int // indices into the part's seats
	named  []int // those that a refusal named
	lockID string
	labels []string
}

func (p *part) step(r record, seats []string) step {
	return step{op: r.Op, lock: p.locks[r.LockID], seats: p.indices(seats), named: p.indices(r.Unavailable),
		lockID: r.LockID, labels: seats}
}

func (p *part) indices(seats []string) []int {
	var indices []int
	for _, seat := range seats {
		indices = append(indices, sort.SearchStrings(p.seats, seat))
	}
	return indices
}

func ownerOf(state string, seat int) int {
	return int(state[2*seat])<<8 | int(state[2*seat+1])
}

// with gives the seats that from holds (of those listed) to to.
func with(state string, seats []int, from, to int) string {
	changed := []byte(state)
	for _, seat := range seats {
		if ownerOf(state, seat) == from {
			changed[2*seat], changed[2*seat+1] = byte(to>>8), byte(to)
		}
	}
	return string(changed)
}

func allOwnedBy(state string, seats []int, owner int) bool {
	for _, seat := range seats {
		if ownerOf(state, seat) != owner {
			return false
		}
	}
	return true
}

func (p *part) model(looseRefusals bool) porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return strings.Repeat("\x00\x00", len(p.seats)) },
		Step: func(state, input, output interface{}) (bool, interface{}) {
			return input.(step).apply(state.(string), output.(outcome), looseRefusals)
		},
		DescribeOperation: func(input, output interface{}) string {
			s := input.(step)
			return fmt.Sprintf("%s %s by %.13s: %s", s.op, strings.Join(s.labels, " "), s.lockID,
				[]string{"refused", "done", "unknown"}[output.(outcome)])
		},
		DescribeState: p.describe,
	}
}

// apply says whether the operation can take effect in this state with this outcome, and what the state is then.
func (s step) apply(state string, out outcome, looseRefusals bool) (bool, string) {
	switch s.op {
	case "lock":
		free := allOwnedBy(state, s.seats, 0)
		switch out {
		case done:
			// the same lock answered twice (an idempotent retry) is no second owner
			if allOwnedBy(state, s.seats, s.lock) {
				return true, state
			}
			return free, with(state, s.seats, 0, s.lock)
		case refused:
			for _, seat := range s.named {
				if ownerOf(state, seat) == 0 && !looseRefusals {
					return false, state
				}
			}
			return !free || looseRefusals, state
		default:
			// It may come to nothing: then it stands at the end of the order, where it disturbs nobody.
			if free {
				return true, with(state, s.seats, 0, s.lock)
			}
			return true, state
		}
	case "book":
		if out == refused {
			return true, state
		}
		held := allOwnedBy(state, s.seats, s.lock)
		if held {
			return true, with(state, s.seats, s.lock, s.lock|booked)
		}
		return out == unknown || allOwnedBy(state, s.seats, s.lock|booked), state
	default: // release, expire: a lock that has ended already is no error
		if out == refused {
			return true, state
		}
		return true, with(state, s.seats, s.lock, 0)
	}
}

func (p *part) describe(state interface{}) string {
	names := map[int]string{}
	for id, number := range p.locks {
		names[number] = id
	}
	var text []string
	for seat, label := range p.seats {
		if owner := ownerOf(state.(string), seat); owner != 0 {
			mark := ""
			if owner&booked != 0 {
				mark = "!"
			}
			text = append(text, fmt.Sprintf("%s=%.13s%s", label, names[owner&^booked], mark))
		}
	}
	return "{" + strings.Join(text, " ") + "}"
}

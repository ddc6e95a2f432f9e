package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sort"

	"github.com/anishathalye/porcupine"
)

type outcome int

const (
	refused outcome = iota
	done
	unknown
)

type record struct {
	Client      int             `json:"client"`
	Op          string          `json:"op"`
	Show        string          `json:"show"`
	Seats       []string        `json:"seats"`
	Call        int64           `json:"call_ns"`
	Return      int64           `json:"return_ns"`
	Ok          json.RawMessage `json:"ok"`
	LockID      string          `json:"lock_id"`
	Unavailable []string        `json:"unavailable"`

	outcome outcome
}

func readHistory(in io.Reader) ([]record, error) {
	var records []record
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("line %d: %v", number, err)
		}
		switch string(r.Ok) {
		case "true":
			r.outcome = done
		case "false":
			r.outcome = refused
		case `"unknown"`:
			r.outcome = unknown
		default:
			return nil, fmt.Errorf("line %d: ok is %s", number, r.Ok)
		}
		switch r.Op {
		case "lock":
			if len(r.Seats) == 0 {
				return nil, fmt.Errorf("line %d: a lock without seats", number)
			}
			if r.LockID == "" {
				if r.outcome == done {
					return nil, fmt.Errorf("line %d: a lock that succeeded without lock_id", number)
				}
				// nobody ever learned its name, and nobody can release it
				r.LockID = fmt.Sprintf("line %d", number)
			}
		case "release", "book", "expire":
			if r.LockID == "" {
				return nil, fmt.Errorf("line %d: %s without lock_id", number, r.Op)
			}
		default:
			return nil, fmt.Errorf("line %d: op is %q", number, r.Op)
		}
		if r.outcome == unknown || r.Return == 0 {
			// An operation that never happened is one that happens after all others: its end is open.
			r.Return = math.MaxInt64
		}
		if r.Return < r.Call {
			return nil, fmt.Errorf("line %d: it returned before it was called", number)
		}
		records = append(records, r)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("no operation in it")
	}
	return records, nil
}

// A part is a group of one show's seats that no operation joins with the others: parts are judged one by one, which is
// what keeps the search small.
type part struct {
	show       string
	seats      []string       // sorted; the model's state has them in this order
	locks      map[string]int // lock_id -> its number in the state, from 1
	operations []porcupine.Operation
}

func (p *part) String() string {
	return fmt.Sprintf("show %s, %d seats from %s, %d operations", p.show, len(p.seats), p.seats[0], len(p.operations))
}

type seatKey struct{ show, seat string }

// groups is a union-find over seats.
type groups map[seatKey]seatKey

func (g groups) find(key seatKey) seatKey {
	for {
		parent, known := g[key]
		if !known {
			g[key] = key
			return key
		}
		if parent == key {
			return key
		}
		g[key] = g[parent]
		key = parent
	}
}

func split(records []record) ([]*part, error) {
	joined := groups{}
	seatsOf := map[[2]string][]string{}
	for _, r := range records {
		if r.Op != "lock" {
			continue
		}
		for _, seat := range append(append([]string{}, r.Seats...), r.Unavailable...) {
			joined[joined.find(seatKey{r.Show, seat})] = joined.find(seatKey{r.Show, r.Seats[0]})
		}
		key := [2]string{r.Show, r.LockID}
		if previous, known := seatsOf[key]; known && !same(previous, r.Seats) {
			return nil, fmt.Errorf("lock %s stands there with different seats", r.LockID)
		}
		seatsOf[key] = r.Seats
	}

	members := map[seatKey]*part{}
	var parts []*part
	for key := range joined {
		group := joined.find(key)
		if members[group] == nil {
			members[group] = &part{show: key.show, locks: map[string]int{}}
			parts = append(parts, members[group])
		}
		members[group].seats = append(members[group].seats, key.seat)
	}
	for _, p := range parts {
		sort.Strings(p.seats)
	}
	sort.Slice(parts, func(i, j int) bool {
		if parts[i].show != parts[j].show {
			return parts[i].show < parts[j].show
		}
		return parts[i].seats[0] < parts[j].seats[0]
	})

	for _, r := range records {
		seats := seatsOf[[2]string{r.Show, r.LockID}]
		if seats == nil {
			return nil, fmt.Errorf("%s of lock %s, which nobody took", r.Op, r.LockID)
		}
		p := members[joined.find(seatKey{r.Show, seats[0]})]
		if p.locks[r.LockID] == 0 {
			p.locks[r.LockID] = len(p.locks) + 1
		}
		if len(p.locks) >= booked {
			return nil, fmt.Errorf("more than %d locks in one group of seats", booked-1)
		}
		p.operations = append(p.operations, porcupine.Operation{
			ClientId: r.Client, Input: p.step(r, seats), Call: r.Call, Output: r.outcome, Return: r.Return})
	}
	for _, p := range parts {
		p.tighten()
	}
	return parts, nil
}

func same(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	in := map[string]bool{}
	for _, s := range a {
		in[s] = true
	}
	for _, s := range b {
		if !in[s] {
			return false
		}
	}
	return true
}

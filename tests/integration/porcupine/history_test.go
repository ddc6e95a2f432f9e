package main

import (
	"fmt"
	"math"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

func judge(t *testing.T, history string, loose bool) bool {
	t.Helper()
	records, err := readHistory(strings.NewReader(history))
	if err != nil {
		t.Fatal(err)
	}
	parts, err := split(records)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		switch result, _, _ := p.judge(loose, 10*time.Second); result {
		case porcupine.Illegal:
			return false
		case porcupine.Unknown:
			t.Fatal("not decided in time")
		}
	}
	return true
}

// op writes one line; at is "call-return".
func op(what, lock, seats, ok string, call, ret int) string {
	list := ""
	if seats != "" {
		list = `"` + strings.Join(strings.Fields(seats), `","`) + `"`
	}
	return fmt.Sprintf(`{"client":1,"op":%q,"show":"s","seats":[%s],"call_ns":%d,"return_ns":%d,"ok":%s,"lock_id":%q}`+"\n",
		what, list, call, ret, ok, lock)
}

func TestHistories(t *testing.T) {
	const yes, no, maybe = "true", "false", `"unknown"`
	cases := []struct {
		name    string
		history string
		good    bool
	}{
		{"one after the other", op("lock", "a", "1 2", yes, 1, 2) + op("lock", "b", "3", yes, 3, 4), true},
		{"two owners of a seat", op("lock", "a", "1 2", yes, 1, 2) + op("lock", "b", "2 3", yes, 3, 4), false},
		{"two owners, at the same time", op("lock", "a", "1 2", yes, 1, 10) + op("lock", "b", "2 3", yes, 2, 9), false},
		{"refused while held", op("lock", "a", "1 2", yes, 1, 2) + op("lock", "", "2 3", no, 3, 4), true},
		{"refused for nothing", op("lock", "", "2 3", no, 3, 4), false},
		{"refused by one that came later", op("lock", "", "1", no, 1, 2) + op("lock", "b", "1", yes, 3, 4), false},
		{"a refused one holds nothing", op("lock", "a", "1", yes, 1, 2) + op("lock", "", "1 2", no, 3, 4) +
			op("lock", "c", "2", yes, 5, 6), true},
		{"released, taken again", op("lock", "a", "1", yes, 1, 2) + op("release", "a", "", yes, 3, 4) +
			op("lock", "b", "1", yes, 5, 6), true},
		{"taken while the release is under way", op("lock", "a", "1", yes, 1, 2) + op("release", "a", "", yes, 3, 9) +
			op("lock", "b", "1", yes, 4, 5), true},
		{"taken before the release", op("lock", "a", "1", yes, 1, 2) + op("lock", "b", "1", yes, 3, 4) +
			op("release", "a", "", yes, 5, 6), false},
		{"still refused after the release", op("lock", "a", "1", yes, 1, 2) + op("release", "a", "", yes, 3, 4) +
			op("lock", "", "1", no, 5, 6), false},
		{"an old release does not free another's", op("lock", "a", "1", yes, 1, 2) + op("release", "a", "", yes, 3, 4) +
			op("lock", "b", "1", yes, 5, 6) + op("release", "a", "", yes, 7, 8) + op("lock", "c", "1", yes, 9, 10), false},
		{"unknown, did happen", op("lock", "", "1", maybe, 1, 2) + op("lock", "", "1", no, 3, 4), true},
		{"unknown, did not happen", op("lock", "", "1", maybe, 1, 2) + op("lock", "b", "1", yes, 3, 4), true},
		{"unknown, happened late", op("lock", "", "1", maybe, 1, 2) + op("lock", "b", "1", yes, 3, 4) +
			op("release", "b", "", yes, 5, 6) + op("lock", "", "1", no, 7, 8), true},
		{"unknown, cannot have happened twice", op("lock", "", "1", maybe, 1, 2) + op("lock", "", "1", no, 3, 4) +
			op("lock", "b", "1", yes, 5, 6), false},
		{"unknown release", op("lock", "a", "1", yes, 1, 2) + op("release", "a", "", maybe, 3, 4) +
			op("lock", "", "1", no, 5, 6) + op("lock", "b", "1", yes, 7, 8), true},
		{"expired", op("lock", "a", "1", yes, 1, 2) + op("expire", "a", "", yes, 50, 0) + op("lock", "", "1", no, 51, 52) +
			op("lock", "b", "1", yes, 60, 61), true},
		{"taken over before it expired", op("lock", "a", "1", yes, 1, 2) + op("expire", "a", "", yes, 50, 0) +
			op("lock", "b", "1", yes, 40, 41), false},
		{"booked stays", op("lock", "a", "1", yes, 1, 2) + op("book", "a", "", yes, 3, 4) + op("expire", "a", "", yes, 50, 0) +
			op("lock", "b", "1", yes, 60, 61), false},
		{"booked what had been taken over", op("lock", "a", "1", yes, 1, 2) + op("expire", "a", "", yes, 50, 0) +
			op("lock", "b", "1", yes, 60, 61) + op("book", "a", "", yes, 70, 71), false},
		{"the same answer again", op("lock", "a", "1", yes, 1, 2) + op("lock", "a", "1", yes, 1, 5), true},
	}
	for _, c := range cases {
		if got := judge(t, c.history, false); got != c.good {
			t.Errorf("%s: linearizable is %v", c.name, got)
		}
	}
}

func TestARefusalHasToNameSeatsThatAreTaken(t *testing.T) {
	held := op("lock", "a", "1", "true", 1, 2)
	refusal := `{"client":2,"op":"lock","show":"s","seats":["1","2"],"call_ns":3,"return_ns":4,"ok":false,"unavailable":["%s"]}`
	if !judge(t, held+fmt.Sprintf(refusal, "1"), false) {
		t.Error("the seat that is held is a good reason")
	}
	if judge(t, held+fmt.Sprintf(refusal, "2"), false) {
		t.Error("a free seat is no reason")
	}
	if !judge(t, held+fmt.Sprintf(refusal, "2"), true) {
		t.Error("-loose-refusals asks for no reason")
	}
}

func TestShowsAndGroupsAreApart(t *testing.T) {
	records, err := readHistory(strings.NewReader(op("lock", "a", "1 2", "true", 1, 2) + op("lock", "b", "3 4", "true", 1, 2) +
		op("lock", "", "4 5", "false", 3, 4) + strings.ReplaceAll(op("lock", "c", "1 2", "true", 1, 2), `"s"`, `"t"`)))
	if err != nil {
		t.Fatal(err)
	}
	parts, err := split(records)
	if err != nil || len(parts) != 3 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
}

func TestBadInputIsRefused(t *testing.T) {
	for _, line := range []string{"", "{", `{"op":"lock","seats":["1"],"ok":true}`, op("dance", "a", "1", "true", 1, 2),
		op("lock", "a", "", "true", 1, 2), op("lock", "a", "1", "3", 1, 2), op("lock", "a", "1", "true", 5, 4)} {
		if _, err := readHistory(strings.NewReader(line)); err == nil {
			t.Errorf("accepted: %s", line)
		}
	}
}

// race plays a box office for many clients and returns the history they would have recorded. With a fault, one of the
// locks that succeeded is another client's seats.
func race(seed int64, clients, perClient, seats int, fault bool) string {
	random := rand.New(rand.NewSource(seed))
	type pending struct {
		client, call int
		seats        []int
		release      string
	}
	owner := make([]string, seats)
	held := map[string][]int{}
	takenAt, ending := map[string]int{}, map[string]bool{}
	mine := make([]string, clients)
	left := make([]int, clients)
	busyUntil := make([]int, clients)
	for i := range left {
		left[i] = perClient
	}
	var under []pending
	var lines strings.Builder
	now, number, live := 0, 0, clients
	for live > 0 || len(under) > 0 {
		now++
		client := random.Intn(clients)
		if busyUntil[client] < now && left[client] > 0 && random.Intn(2) == 0 {
			busyUntil[client] = math.MaxInt64
			left[client]--
			if left[client] == 0 {
				live--
			}
			p := pending{client: client, call: now, release: mine[client]}
			ending[p.release] = true
			if p.release == "" {
				p.seats = random.Perm(seats)[:1+random.Intn(4)]
			}
			under = append(under, p)
			continue
		}
		if len(under) == 0 {
			continue
		}
		at := random.Intn(len(under))
		p := under[at]
		under = append(under[:at], under[at+1:]...)
		// it takes effect now and is answered some time later
		answered := now + 1 + random.Intn(60)
		busyUntil[p.client] = answered
		if p.release != "" {
			for _, s := range held[p.release] {
				if owner[s] == p.release {
					owner[s] = ""
				}
			}
			lines.WriteString(op("release", p.release, "", "true", p.call, answered))
			mine[p.client] = ""
			continue
		}
		var names []string
		free := true
		for _, s := range p.seats {
			names = append(names, fmt.Sprint(s))
			free = free && owner[s] == ""
		}
		if !free && fault {
			// only where the owner holds it beyond doubt
			certain := false
			for _, s := range p.seats {
				certain = certain || owner[s] != "" && takenAt[owner[s]] < p.call && !ending[owner[s]]
			}
			if certain {
				free, fault, answered = true, false, now
			}
		}
		if !free {
			lines.WriteString(op("lock", "", strings.Join(names, " "), "false", p.call, answered))
			continue
		}
		number++
		id := fmt.Sprintf("lock-%d", number)
		for _, s := range p.seats {
			owner[s] = id
		}
		held[id] = p.seats
		takenAt[id] = answered
		mine[p.client] = id
		lines.WriteString(op("lock", id, strings.Join(names, " "), "true", p.call, answered))
	}
	return lines.String()
}

func TestRaces(t *testing.T) {
	for seed := int64(1); seed <= 5; seed++ {
		for _, clients := range []int{8, 500} {
			if !judge(t, race(seed, clients, 3000/clients, 50, false), false) {
				t.Errorf("seed %d, %d clients: an honest race is refused", seed, clients)
			}
			if judge(t, race(seed, clients, 3000/clients, 50, true), false) {
				t.Errorf("seed %d, %d clients: a seat sold twice is not seen", seed, clients)
			}
		}
	}
}

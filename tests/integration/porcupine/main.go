// history-check judges the seat locks of a race, recorded at its clients: is there an order of the operations, each taking
// effect at one moment between its call and its return, that a box office with exclusive seats could have followed?
//
//	history-check [-timeout 60s] [-html FILE] [-loose-refusals] HISTORY
//
// HISTORY has one JSON object a line:
//
//	{"client": 3, "op": "lock", "show": "s", "seats": ["A-1", "A-2"], "call_ns": 10, "return_ns": 20, "ok": true, "lock_id": "l"}
//	{"client": 4, "op": "lock", "show": "s", "seats": ["A-2"], "call_ns": 11, "return_ns": 19, "ok": false, "unavailable": ["A-2"]}
//	{"client": 3, "op": "release", "show": "s", "lock_id": "l", "call_ns": 30, "return_ns": 40, "ok": true}
//	{"client": 3, "op": "book", "show": "s", "lock_id": "l", "call_ns": 30, "return_ns": 40, "ok": true}
//	{"client": 0, "op": "expire", "show": "s", "lock_id": "l", "call_ns": 50, "return_ns": 0, "ok": true}
//
// ok is "unknown" when the client never learned the outcome: the operation may have happened at any time after its call, or
// never. return_ns 0 means the same open end; an expiry may happen at any moment from its call on.
//
// The exit status is 0 when the history is linearizable, 1 when it is not (then FILE shows it), 2 when it cannot be read,
// 3 when the time was too short to tell.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

func main() {
	os.Exit(run())
}

func run() int {
	timeout := flag.Duration("timeout", time.Minute, "how long to search in all")
	html := flag.String("html", "history.html", "where to draw a history that fails")
	loose := flag.Bool("loose-refusals", false, "a refused lock needs no reason: judge only what succeeded")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		return 2
	}
	file, err := os.Open(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "history-check:", err)
		return 2
	}
	defer file.Close()
	records, err := readHistory(file)
	if err != nil {
		fmt.Fprintf(os.Stderr, "history-check: %s: %v\n", flag.Arg(0), err)
		return 2
	}
	parts, err := split(records)
	if err != nil {
		fmt.Fprintf(os.Stderr, "history-check: %s: %v\n", flag.Arg(0), err)
		return 2
	}

	begun := time.Now()
	status := 0
	for _, part := range parts {
		result, model, info := part.judge(*loose, *timeout-time.Since(begun))
		switch result {
		case porcupine.Ok:
			continue
		case porcupine.Unknown:
			fmt.Printf("%v: not decided within %v\n", part, *timeout)
			if status == 0 {
				status = 3
			}
		case porcupine.Illegal:
			fmt.Printf("%v: NOT linearizable, drawn in %s\n", part, *html)
			if status != 1 {
				if err := porcupine.VisualizePath(model, info, *html); err != nil {
					fmt.Fprintln(os.Stderr, "history-check:", err)
				}
			}
			status = 1
		}
	}
	if status == 0 {
		fmt.Printf("%d operations on %d groups of seats: linearizable (%d ms)\n",
			len(records), len(parts), time.Since(begun).Milliseconds())
	}
	return status
}

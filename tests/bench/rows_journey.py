"""Whole purchases: journeys against the same SQL in pgbench, ticket papers, and an evening when a show goes on sale."""

import math
import statistics

import drive
import pgbench
import plot
import processes
from figures import best_two
from ground import Unclean
from measure import Cpu, cpu_us_per

SEATS = 20000
SECONDS = 2
CLIENTS = (2, 4, 8, 16)
PAPERS = 50               # different tickets, asked for by turns
ONSALE_SEATS, ONSALE_SMALL = 20000, 1000
BUYERS_PER_SEAT = 10
ONSALE_S = 40             # about what it may take
ONSALE_OPEN_S = 10


def journey(bench, wanted):
    figure = bench.figures["journey"]
    with bench.ground() as ground:
        paysim = ground.paysim()
        serve = ground.serve(*paysim.options, work=True)
        first = ground.make_show(serve, SEATS)
        organizer = ground.owner.execute("SELECT organizer_id FROM organizers").fetchone()[0]

        def fresh(n=1):
            """Seats are sold for good: every run has shows of its own, and the next one begins without them on sale."""
            shows = ground.copy_show(first, n)
            ground.owner.execute("UPDATE shows SET sale_ends_at = statement_timestamp() WHERE show_id <> ALL (%s::uuid[]) "
                                 "AND sale_ends_at > statement_timestamp()", [[first, *shows]])
            # whoever plans a statement now knows that these tables are not empty
            ground.owner.execute("VACUUM ANALYZE")
            return shows

        def program(rate, *options):
            file = ground.shows_file([(show, SEATS) for show in fresh(2)])
            return drive.run(ground, "journey", serve.url, "--shows", file, "--sessions", 20000, "--rate", rate,
                             *(options or ("--warmup", 0.7, "--seconds", bench.seconds(SECONDS))),
                             sample=lambda: Cpu(ground, serve))

        def denominator(clients, seconds):
            show = fresh()[0]
            done = pgbench.run(ground, "journey", clients, seconds, {
                "show": show, "seats": SEATS, "organizer": organizer, "i": -1,
                "call_create": "amount=9000&currency=eur&capture_method=manual&payment_method_types%5B%5D=card&metadata%5Bshow%5D="
                               "01a218a6-4415-73fe-b95b-376bac528071&metadata%5Bbooking%5D=01a218a6-4c15-70bd-b5ba-ad79f95434ba",
                "call_answer": '{"object":"payment_intent","id":"pi_8DuTj3TGL3o15hGSt1cNV5Vn","status":"requires_capture",'
                               '"amount":9000,"amount_received":0,"currency":"eur"}'},
                               counted=f"SELECT count(*) FROM bookings WHERE show_id = '{show}' AND state = 'confirmed'")
            # the auditor looks at every show; of this one's sales Redis was told nothing
            ground.cache.delete(f"map:{{{show}}}", f"ses:{{{show}}}")
            return done

        denominator(16, 1)
        found = {c: denominator(c, 1).rate for c in ((16,) if bench.quick else CLIENTS)}
        clients = best_two(found)
        bench.say("pgbench journey: " + ", ".join(f"{rate:,.0f}/s -c {c}" for c, rate in found.items()))
        best = max(found.values()) / 2  # a guess: the search goes up from what holds
        costs, simulator, others = [], [], []
        for number in bench.round_numbers():
            def probe(rate):
                before = paysim_cpu_s(paysim)
                done = program(rate)
                simulator.append((paysim_cpu_s(paysim) - before) / max(1, done.json["accepted"]) * 1e6)
                return done
            held, _ = drive.search(probe, best, step=1.15 if number == 1 else 1.06, probes=8 if number == 1 else 3)
            best = held.json["asked_rate"]
            costs.append(cpu_us_per(held.at_start, held.at_end, held.accepted))
            other = max((denominator(c, SECONDS) for c in clients), key=lambda run: run.rate)
            others.append(other.postgres_cpu_s / other.count * 1e6)
            ground.check()
            bench.pair("journey", held.rate, other.rate)
            bench.say(f"round {number}: {held.rate:,.0f}/s, pgbench {other.rate:,.0f}/s")
            figure.note = ("us per journey: " + ", ".join(f"{g} {statistics.median(c[g] for c in costs):.0f}" for g in
                                                         ("serve", "redis", "postgresql"))
                           + f"; the simulator {statistics.median(simulator):.0f}; pgbench's postgresql {statistics.median(others):.0f} "
                           f"(-c {' and '.join(map(str, clients))})")
            bench.save()


def paysim_cpu_s(paysim):
    return processes.cpu_s(paysim.process.pid)


def tickets(bench, wanted):
    figure = bench.figures["tickets"]
    with bench.ground() as ground:
        paysim = ground.paysim()
        serve = ground.serve(*paysim.options, work=True)
        show = ground.make_show(serve, 1000)
        with serve.client() as client:
            client.token = client.ask("POST", "/v1/sessions", {}, 201)["token"]
            lock = client.ask("POST", f"/v1/shows/{show}/locks", {"seats": ["S-0", "S-1"]}, 201)
            booking = client.ask("POST", f"/v1/shows/{show}/bookings", {
                "lock_id": lock["lock_id"], "buyer": {"name": "Ada Lovelace", "email": "ada@example.org"},
                "payment": {"method": "pm_card_visa"}}, 201)
        if booking["status"] != "confirmed":
            raise Unclean(f"a booking is {booking['status']}, not confirmed")
        path = f"/v1/shows/{show}/tickets/{booking['tickets'][0]['ticket_id']}.pdf?access_token={booking['access_token']}"
        for _ in range(20):  # every worker has its fonts: on connections of their own, because the kernel chooses the worker
            with serve.client() as client:
                status, _, body = client.ask("GET", path)
            if status != 200 or not body.startswith(b"%PDF"):
                raise Unclean(f"GET {path}: {status}")
        options = ["--path", path, "--expect", 200, "--connections", 64]
        best, per = 250, []
        for number in bench.round_numbers():
            held, _ = drive.search(lambda rate: drive.run(ground, "get", serve.url, *options, "--rate", rate, "--warmup", 0.5, "--seconds",
                                                          bench.seconds(SECONDS), sample=lambda: Cpu(ground, serve)),
                                   best, step=1.3 if number == 1 else 1.08, probes=10 if number == 1 else 3)
            best = held.json["asked_rate"]
            per.append(cpu_us_per(held.at_start, held.at_end, held.accepted)["serve"])
            bench.pair("tickets", held.rate / 2)
            bench.say(f"round {number}: {held.rate:,.0f} PDFs/s, {per[-1] / 1000:.1f} ms of CPU each")
            figure.note = f"a PDF of {len(body):,} bytes takes {statistics.median(per) / 1000:.1f} ms of CPU; nothing is kept of it"
            bench.save()
        ground.check()


def onsale(bench, wanted):
    figure = bench.figures["onsale"]
    with bench.ground() as ground:
        paysim = ground.paysim()
        serve = ground.serve(*paysim.options, work=True)
        csv = ground.dir / "onsale.csv"

        def sale(show, seats, open_s):
            return drive.run(ground, "onsale", serve.url, "--shows", ground.shows_file([(show, seats)]), "--buyers",
                             seats * BUYERS_PER_SEAT, "--sessions", 1, "--connections", 2000, "--open-seconds", open_s, "--seconds", 120,
                             "--csv", csv, timeout_s=240)

        # How large a sale this machine gets through in the time there is: buyers times seats, as each reads the seats
        small = sale(ground.make_show(serve, ONSALE_SMALL), ONSALE_SMALL, ONSALE_OPEN_S / 10)
        seats = int(min(ONSALE_SEATS, ONSALE_SMALL * (0.5 if bench.quick else 1) * math.sqrt(ONSALE_S / small.json["seconds"])) // 100) * 100
        buyers = seats * BUYERS_PER_SEAT
        bench.say(f"{ONSALE_SMALL * BUYERS_PER_SEAT:,} buyers for {ONSALE_SMALL:,} seats took {small.json['seconds']:.1f} s; now "
                  f"{buyers:,} for {seats:,}")
        show = ground.make_show(serve, seats)
        done = sale(show, seats, ONSALE_OPEN_S)
        sold, owners = ground.owner.execute("""SELECT count(*), count(DISTINCT seat_no) FROM booking_seats
            WHERE show_id = %s AND released_at IS NULL""", [show]).fetchone()
        booked = ground.owner.execute("SELECT count(*) FROM show_seats WHERE show_id = %s AND state = 2", [show]).fetchone()[0]
        text = csv.read_text()
        plot_path = bench.out.parent / "bench-onsale.svg"
        plot_path.write_text(plot.onsale(plot.read_csv(text), seats, f"{buyers:,} buyers for {seats:,} seats"))
        (bench.out.parent / "bench-onsale.csv").write_text(text)
        ground.check()
        counters, latencies = done.json.get("counters", {}), done.json["latencies"]
        bench.pair("onsale", sold, seats)
        figure.conditions = [
            (f"each seat once: {sold:,} seats have an owner, {owners:,} different ones, {booked:,} are booked in the map",
             sold == owners == booked),
            ("boxoffice check: all invariants hold", True)]
        figure.unclean += done.unclean
        figure.details = {"counters": counters, "latencies": latencies, "seconds": done.json["seconds"], "sold_out_ms":
                          done.json.get("sold_out_ms"), "by_status": done.json["by_status"], "driver": done.json["driver"]}
        figure.note = (f"{buyers:,} buyers (of {ONSALE_SEATS * BUYERS_PER_SEAT:,}: as many as the machine gets through in "
                       f"about {ONSALE_S} s), half of them in the first {ONSALE_OPEN_S / 4:g} s; sold out after "
                       f"{(done.json.get('sold_out_ms') or 0) / 1000:.1f} s; p99 " + ", ".join(
                           f"{name} {value['p99'] / 1000:.0f} ms" for name, value in latencies.items() if value["n"])
                       + f"\n{plot_path}")
        bench.say(f"{sold:,} of {seats:,} seats sold; {counters}; {'; '.join(done.unclean)}")
        bench.save()


GROUPS = [(journey, ["journey"]), (tickets, ["tickets"]), (onsale, ["onsale"])]

"""What a hostile client found once: each a request, or a crowd of them, that was answered wrongly."""

import threading

CROWD = 20


def at_once(office, token, ask, n=CROWD):
    """ask(api) by n clients of one session at the same moment; their answers."""
    answers, gate = [], threading.Barrier(n)

    def one():
        api = office.api(token)
        api.get("/healthz")  # connected
        gate.wait()
        answers.append(ask(api))
        api.close()

    threads = [threading.Thread(target=one) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == n
    return answers


def kinds(answers):
    return {(answer.status, answer.code) for answer in answers}


def free_of_charge(boxoffice):
    show = boxoffice.admin().make_show(seats=20, prices={"Standard": 0})
    buyer = boxoffice.session()
    return show, buyer, buyer.lock(show.show_id, 2).expect(201)["lock_id"]


def book_free(api, show, lock, key=None):
    return api.post(f"/v1/shows/{show.show_id}/bookings",
                    {"lock_id": lock, "buyer": {"name": "Ada Lovelace", "email": "ada@example.org"}}, key=key)


def test_a_free_lock_booked_by_many_at_once(boxoffice):
    show, buyer, lock = free_of_charge(boxoffice)
    answers = at_once(boxoffice, buyer.token, lambda api: book_free(api, show, lock))
    assert kinds(answers) == {(201, None), (409, "lock_already_used")}
    assert sum(answer.status == 201 for answer in answers) == 1


def test_a_free_lock_booked_by_many_with_one_key(boxoffice):
    show, buyer, lock = free_of_charge(boxoffice)
    answers = at_once(boxoffice, buyer.token, lambda api: book_free(api, show, lock, key="k"))
    assert kinds(answers) == {(201, None)}
    assert len({answer.json()["booking_id"] for answer in answers}) == 1


def test_a_cancellation_beside_goodwill_refunds(boxoffice):
    """The payment's rest is what it is when its row is ours, not what it was when we began to wait for it."""
    admin = boxoffice.admin()
    show = admin.make_show(cancellation={"until": "2099-01-01T00:00:00Z"})
    for _ in range(4):
        buyer = boxoffice.session()
        lock = buyer.lock(show.show_id, 2).expect(201)["lock_id"]
        booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
        path = f"/v1/shows/{show.show_id}/bookings/{booking}"
        turn = iter(range(CROWD))

        def ask(api):
            if next(turn) % 2:
                return api.post(f"{path}/cancel")
            return admin_of(api).post(f"{path}/refunds", {"amount": {"amount": 400, "currency": "EUR"}, "reason": "late"})

        def admin_of(api):
            api.token = boxoffice.admin_token
            return api

        answers = at_once(boxoffice, buyer.token, ask)
        assert kinds(answers) <= {(200, None), (201, None), (422, "invalid_value")}, kinds(answers)
        assert buyer.get(path).expect(200)["status"] == "cancelled"
    boxoffice.check()


def test_the_best_seats_for_a_crowd_in_a_large_hall(boxoffice):
    """Who left the choice to us gets seats while there are plenty, however many ask in the same moment."""
    show = boxoffice.admin().make_show(seats=400, per_row=20)
    tokens = iter([boxoffice.session().token for _ in range(100)])

    def ask(api):
        api.token = next(tokens)
        return api.lock(show.show_id, 2)

    answers = at_once(boxoffice, None, ask, n=100)
    refused = [answer for answer in answers if answer.status != 201]
    assert not refused, f"{len(refused)} of 100, as {refused[0]}"

"""Organisers of a test's own, and what tests of their things share: lists read page by page, another's id."""

import base64
import hashlib
import secrets
import uuid
from urllib.parse import urlencode

import psycopg

SCOPES = ("events", "seats", "bookings", "payments", "checkin", "admin")
NOWHERE = str(uuid.UUID(int=1))


def make_staff(office, organizer_id=None, scopes=SCOPES, **columns):
    """A client with a new token of a new organiser, or of one there is; columns: others of api_tokens."""
    token_id = uuid.uuid4()
    token = "bt_" + base64.urlsafe_b64encode(token_id.bytes + secrets.token_bytes(24)).decode()
    with psycopg.connect(office.database_url) as db:
        if organizer_id is None:
            organizer_id = uuid.uuid4()
            db.execute("INSERT INTO organizers (organizer_id, name) VALUES (%s, %s)", (organizer_id, f"o {organizer_id}"))
        row = {"token_id": token_id, "organizer_id": organizer_id, "name": "test", "scopes": list(scopes),
               "token_hash": hashlib.blake2b(token.encode(), digest_size=32).digest(), **columns}
        db.execute(f"INSERT INTO api_tokens ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values()))
    staff = office.api(token)
    staff.organizer_id = str(organizer_id)
    return staff


def pages(client, path, **query):
    """All items of a list, asked for page by page; every page but the last is full."""
    items, cursor, seen = [], None, 0
    while True:
        text = urlencode({**query, **({"cursor": cursor} if cursor else {})})
        page = client.get(f"{path}?{text}").expect(200)
        items += page["items"]
        seen += 1
        assert seen < 50, "the list does not end"
        if page["next"] is None:
            return items
        assert len(page["items"]) == 50
        cursor = page["next"]

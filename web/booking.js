// The page that mails lead to: one booking, by the token in the address after #, which no browser sends and no server logs. Texts go
// in as text, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.hash.slice(1));

async function ask(path, token) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { headers });
  if (answer.status === 401 || answer.status === 404) throw new Error("There is no such booking, or its link is not whole. Copy it from the mail once more.");
  if (!answer.ok) throw new Error(`The booking cannot be shown now (${answer.status}). Try again in a moment.`);
  return answer.json();
}

function money({ amount, currency }) {
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}

function ticketLinks(show, ticket, token) {
  const path = `/v1/shows/${encodeURIComponent(show)}/tickets/${encodeURIComponent(ticket.ticket_id)}`;
  return [["PDF", "pdf"], ["code", "png"], ["calendar", "ics"]].map(([label, ending]) => {
    const link = document.createElement("a");
    link.href = `${path}.${ending}?access_token=${encodeURIComponent(token)}`;
    link.textContent = label;
    return link;
  });
}

async function main() {
  const [show, id, token] = ["show", "booking", "access_token"].map((name) => asked.get(name) ?? "");
  const uuid = /^[0-9a-f-]{36}$/;
  if (!uuid.test(show) || !uuid.test(id) || !token) throw new Error("This address names no booking. Copy the link from the mail once more.");
  const [booking, about] = await Promise.all([ask(`/v1/shows/${show}/bookings/${id}`, token), ask(`/v1/shows/${show}`)]);
  byId("event").textContent = about.event_name;
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short", timeZone: about.timezone });
  byId("when").textContent = `${format.format(new Date(about.starts_at))} (${about.timezone})`;
  byId("reference").textContent = booking.reference;
  byId("status").textContent = booking.status.replace("_", " ");
  byId("detail").textContent = booking.detail ?? "";
  byId("total").textContent = money(booking.total);
  for (const seat of booking.seats) {
    const row = document.createElement("li");
    row.textContent = `${seat.guid} `;
    const ticket = booking.tickets.find((one) => one.seat === seat.guid && one.code);
    if (ticket) for (const link of ticketLinks(show, ticket, token)) row.append(link, " ");
    byId("seats").append(row);
  }
  if (booking.refund && booking.refund.status !== "none") {
    byId("refund").textContent = `Refund: ${money(booking.refund.amount)}, ${booking.refund.status}`;
    byId("refund").hidden = false;
  }
  byId("message").hidden = true;
  byId("booking").hidden = false;
}

main().catch((error) => { byId("message").textContent = error.message; });

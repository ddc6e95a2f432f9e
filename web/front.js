// The front page: asks the API what is on and shows it. Texts go in as text, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

function money(amount, currency) {
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}

function priceRange(categories) {
  if (!categories.length) return "";
  const amounts = categories.map((category) => category.price.amount);
  const currency = categories[0].price.currency;
  const [low, high] = [Math.min(...amounts), Math.max(...amounts)];
  if (high === 0) return "free";
  return low === high ? money(low, currency) : `${money(low, currency)} – ${money(high, currency)}`;
}

function when(show) {
  return new Intl.DateTimeFormat(undefined, {
    weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
    timeZone: show.timezone,
  }).format(new Date(show.starts_at));
}

function curlFor(show) {
  const base = location.origin;
  return `TOKEN=$(curl -fsS -X POST ${base}/v1/sessions \\
  -H 'Content-Type: application/json' -d '{}' | jq -r .token)
curl -fsS -X POST ${base}/v1/shows/${show.show_id}/locks \\
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '{"best": {"quantity": 2}}' | jq`;
}

async function copy(text, button) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    // no clipboard without TLS off this machine: the text is marked instead
    const range = document.createRange();
    range.selectNodeContents(button.previousElementSibling);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }
  button.textContent = done ? "Copied" : "Marked: copy it";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

function showRow(show) {
  const row = byId("show").content.cloneNode(true);
  const path = `/v1/shows/${show.show_id}`;
  const part = (selector) => row.querySelector(selector);
  const known = show.free !== null && show.free !== undefined;

  part(".when").textContent = when(show);
  part(".when").href = path;
  part(".where").textContent = [show.venue.name, show.venue.city].filter(Boolean).join(", ");
  part(".price").textContent = priceRange(show.categories);
  part(".plan").href = `${path}/seatmap`;
  part(".taken").href = `${path}/seats`;
  const meter = part("meter");
  meter.max = show.capacity;
  meter.value = known ? show.free : 0;
  const text = known ? `${show.free} of ${show.capacity} seats free` : `${show.capacity} seats`;
  meter.setAttribute("aria-label", text);
  part(".free").textContent = show.status === "cancelled" ? "cancelled" : show.on_sale ? text : `${text}, not on sale now`;
  const curl = curlFor(show);
  part("pre").textContent = curl;
  part("button").addEventListener("click", (click) => copy(curl, click.currentTarget));
  return row;
}

async function eventCard(event) {
  const card = byId("event").content.cloneNode(true);
  card.querySelector("h3").textContent = event.name;
  card.querySelector(".about").textContent = [event.category, event.description].filter(Boolean).join(" · ");
  const list = card.querySelector(".shows");
  const { items } = await ask(`/v1/events/${event.event_id}/shows`);
  const shows = await Promise.all(items.map((show) => ask(`/v1/shows/${show.show_id}`)));
  for (const show of shows) list.append(showRow(show));
  if (!shows.length) {
    const none = document.createElement("li");
    none.textContent = "No show yet.";
    list.append(none);
  }
  return card;
}

async function showState() {
  const state = byId("state");
  try {
    const answer = await fetch("/readyz");
    const { status } = await answer.json();
    state.textContent = status;
    state.className = status === "ready" ? "good" : "bad";
  } catch {
    state.textContent = "not reachable";
    state.className = "bad";
  }
}

async function main() {
  const message = byId("message");
  showState();
  try {
    const { items } = await ask("/v1/events");
    const cards = await Promise.all(items.map(eventCard));
    byId("events").replaceChildren(...cards);
    message.hidden = items.length > 0;
    message.textContent = "Nothing is on sale yet. Make a venue, a plan, an event and a show with the API.";
  } catch (error) {
    message.className = "bad";
    message.textContent = `The list could not be read: ${error.message}. Reload to try again.`;
  }
}

main();

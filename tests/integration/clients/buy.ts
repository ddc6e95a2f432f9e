// Buys a ticket with the generated TypeScript client: buy.js URL SHOW. Prints what it has, as JSON.
import { boxoffice, type Problem, type Schemas } from "boxoffice-client";

declare const process: { argv: string[] };
const [url, show] = process.argv.slice(2) as [string, string];

function must<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

const session = must(await boxoffice(url).POST("/v1/sessions", { body: {} }));
const buyer = boxoffice(url, { token: session.token });
const path = { show };
const ask = () =>
  buyer.POST("/v1/shows/{show}/locks", {
    params: { path, header: { "Idempotency-Key": "typescript" } },
    body: { best: { quantity: 2 } },
  });
const lock: Schemas["Lock"] = must(await ask());
if (must(await ask()).lock_id !== lock.lock_id) throw new Error("the same key made another lock");
const refused = await buyer.POST("/v1/shows/{show}/locks", { params: { path }, body: { seats: ["nowhere"] } });
const problem: Problem = refused.error!;

const book = (method: string) =>
  buyer.POST("/v1/shows/{show}/bookings", {
    params: { path },
    body: { lock_id: lock.lock_id, buyer: { name: "Ada", email: "ada@example.org" }, payment: { method } },
  });
const declined = await book("pm_card_chargeDeclined");
const booking = must(await book("pm_card_visa"));
const at = { params: { path: { show, booking: booking.booking_id } } };
const tickets = must(await buyer.GET("/v1/shows/{show}/bookings/{booking}/tickets", at));
const paper = must(
  await buyer.GET("/v1/shows/{show}/tickets/{ticket}.pdf", {
    params: { path: { show, ticket: tickets.items[0]!.ticket_id } },
    parseAs: "text",
  }),
) as string;
console.log(
  JSON.stringify({
    refused: problem.code,
    declined: declined.error!.code,
    status: booking.status,
    total: booking.total.amount,
    tickets: tickets.items.length,
    paper: paper.slice(0, 4),
  }),
);

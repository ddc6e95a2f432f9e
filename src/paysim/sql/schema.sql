-- The simulator's ledger. Applied at every start inside one transaction; user_version says which form a file has.
-- Rows of charges, payment_methods, disputes and events never change; nothing is ever deleted but idempotent answers after
-- a day, deliveries that were made and later steps that were taken.
-- Times are microseconds of the simulator's clock, amounts minor units.

CREATE TABLE IF NOT EXISTS settings (
	name TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS payment_intents (
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	created_us INTEGER NOT NULL,
	status TEXT NOT NULL,
	manual_capture INTEGER NOT NULL,
	redirects TEXT,                    -- automatic_payment_methods.allow_redirects; NULL: payment_method_types is card
	currency TEXT NOT NULL,
	amount INTEGER NOT NULL CHECK (amount > 0),
	amount_capturable INTEGER NOT NULL CHECK (amount_capturable IN (0, amount)),
	amount_received INTEGER NOT NULL CHECK (amount_received BETWEEN 0 AND amount),
	amount_refunded INTEGER NOT NULL CHECK (amount_refunded BETWEEN 0 AND amount_received),
	payment_method TEXT,
	latest_charge TEXT,
	client_secret TEXT NOT NULL,
	return_url TEXT,
	action_key TEXT,                   -- in the 3-D Secure page's address
	description TEXT,
	metadata TEXT NOT NULL,            -- a JSON object of strings
	last_payment_error TEXT,           -- JSON
	cancellation_reason TEXT,
	canceled_us INTEGER,
	authorised_us INTEGER,
	CHECK ((status = 'requires_capture') = (amount_capturable > 0)),
	CHECK (status = 'succeeded' OR amount_received = 0)
) STRICT;
CREATE INDEX IF NOT EXISTS payment_intents_to_expire ON payment_intents (authorised_us) WHERE status = 'requires_capture';

-- A charge is one attempt on a card; what was captured and refunded stands with the intent, which has at most one that
-- succeeded.
CREATE TABLE IF NOT EXISTS charges (
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	created_us INTEGER NOT NULL,
	payment_intent TEXT NOT NULL,
	amount INTEGER NOT NULL,
	payment_method TEXT NOT NULL,
	card TEXT NOT NULL,
	challenged INTEGER NOT NULL,       -- the payer passed 3-D Secure
	failure_code TEXT,                 -- NULL: it succeeded
	decline_code TEXT,
	failure_message TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS charges_by_intent ON charges (payment_intent);
CREATE UNIQUE INDEX IF NOT EXISTS charges_one_success ON charges (payment_intent) WHERE failure_code IS NULL;

CREATE TABLE IF NOT EXISTS payment_methods (
	id TEXT PRIMARY KEY,
	created_us INTEGER NOT NULL,
	card TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS refunds (
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	created_us INTEGER NOT NULL,
	payment_intent TEXT NOT NULL,
	charge TEXT NOT NULL,
	currency TEXT NOT NULL,
	amount INTEGER NOT NULL CHECK (amount > 0),
	status TEXT NOT NULL,
	failure_reason TEXT,
	reason TEXT,
	metadata TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS refunds_by_intent ON refunds (payment_intent);

CREATE TABLE IF NOT EXISTS disputes (
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	created_us INTEGER NOT NULL,
	charge TEXT NOT NULL,
	payment_intent TEXT NOT NULL,
	currency TEXT NOT NULL,
	amount INTEGER NOT NULL CHECK (amount > 0),
	reason TEXT NOT NULL,
	inquiry INTEGER NOT NULL,          -- the bank only asks, no money is taken back
	card TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS disputes_by_charge ON disputes (charge);

-- What some cards do after a while: kind says what happens to the charge or refund in subject.
CREATE TABLE IF NOT EXISTS later (
	seq INTEGER PRIMARY KEY,
	due_us INTEGER NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS later_by_due ON later (due_us);

CREATE TABLE IF NOT EXISTS events (
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	created_us INTEGER NOT NULL,
	type TEXT NOT NULL,
	object TEXT NOT NULL,              -- JSON, as it was then
	request_id TEXT,
	idempotency_key TEXT
) STRICT;

-- Events the webhook's receiver has not confirmed yet.
CREATE TABLE IF NOT EXISTS deliveries (
	event_seq INTEGER PRIMARY KEY,
	attempts INTEGER NOT NULL,
	copies INTEGER NOT NULL,           -- how often it shall be confirmed: 1, but for a switch
	due_us INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_by_due ON deliveries (due_us);

-- The first answer to each Idempotency-Key, written in the transaction of its effect. Rows stand in the order they came,
-- so that the oldest are found without an index of their own.
CREATE TABLE IF NOT EXISTS answers (
	seq INTEGER PRIMARY KEY,
	key TEXT NOT NULL UNIQUE,
	created_us INTEGER NOT NULL,
	path TEXT NOT NULL,
	params_hash BLOB NOT NULL,
	status INTEGER NOT NULL,
	body TEXT NOT NULL,
	request_id TEXT NOT NULL
) STRICT;

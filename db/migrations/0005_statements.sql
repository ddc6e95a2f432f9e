-- The daily statement reads the trail by its time, and only what moved money: pages of it need an order that ranges of pages of
-- the table do not have, and of an arrow in ten or so there is a row in this index. The cancellations of a day are found by
-- when their seats went back.
DROP INDEX payment_events_by_time;
CREATE INDEX payment_events_of_money ON payment_events (at, event_id) WHERE to_state IN ('captured', 'requested', 'succeeded');
CREATE INDEX booking_seats_released ON booking_seats (released_at) WHERE released_at IS NOT NULL;

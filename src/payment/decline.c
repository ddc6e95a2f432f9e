/*
 * Why a card was declined, in words for its holder. The codes are the gateway's (decline_code, or code of the error where it has
 * none), and a few of our own. What a thief should not learn (a card reported lost, a suspicion) is told as any decline: the true
 * code stays in the audit trail.
 */
#include "payment/payment.h"

#include <string.h>

#define ASK_BANK "The bank did not accept the payment and does not say why. Ask the bank, or take another card."
#define TYPING "What was typed of the card is not right: "

static const struct {
	const char *code;
	bool secret;
	const char *words;
} declines[] = {
	{"approve_with_id", false, "The bank could not approve the payment. Try again, or ask the bank."},
	{"authentication_not_handled", false, "The bank wants you to confirm this payment. Try again and confirm it."},
	{"authentication_required", false, "The bank wants you to confirm this payment. Try again and confirm it."},
	{"call_issuer", false, ASK_BANK},
	{"card_decline_rate_limit_exceeded", false, "This card was declined too often today. Take another card."},
	{"card_declined", false, ASK_BANK},
	{"card_not_supported", false, "This card cannot be used for this kind of purchase. Take another card."},
	{"card_velocity_exceeded", false, "This card's limit is reached. Ask the bank, or take another card."},
	{"currency_not_supported", false, "This card cannot pay in this currency. Take another card."},
	{"do_not_honor", false, ASK_BANK},
	{"do_not_try_again", false, ASK_BANK},
	{"duplicate_transaction", false,
	 "The same sum was paid with this card a moment ago. See whether you have the booking already."},
	{"expired_card", false, "This card has expired. Take another card."},
	{"fraudulent", true, ASK_BANK},
	{"generic_decline", false, ASK_BANK},
	{"incorrect_address", false, TYPING "the address. Correct it and try again."},
	{"incorrect_cvc", false, TYPING "the security code. Correct it and try again."},
	{"incorrect_number", false, TYPING "the number. Correct it and try again."},
	{"incorrect_pin", false, TYPING "the PIN. Correct it and try again."},
	{"incorrect_zip", false, TYPING "the postal code. Correct it and try again."},
	{"insufficient_funds", false, "There is not enough money on this card. Take another card."},
	{"invalid_account", false, "The account behind this card is not valid. Ask the bank, or take another card."},
	{"invalid_amount", false, "The bank does not allow this sum on this card. Ask the bank, or take another card."},
	{"invalid_cvc", false, TYPING "the security code. Correct it and try again."},
	{"invalid_expiry_month", false, TYPING "the month it expires. Correct it and try again."},
	{"invalid_expiry_year", false, TYPING "the year it expires. Correct it and try again."},
	{"invalid_number", false, TYPING "the number. Correct it and try again."},
	{"invalid_pin", false, TYPING "the PIN. Correct it and try again."},
	{"invalid_request", false, "The card that was named cannot be used. Enter it again, or take another card."},
	{"issuer_not_available", false, "The bank could not be reached. Try again in a moment, or take another card."},
	{"lost_card", true, ASK_BANK},
	{"merchant_blacklist", true, ASK_BANK},
	{"new_account_information_available", false,
	 "The bank has other data of this card. Ask the bank, or take another card."},
	{"no_action_taken", false, ASK_BANK},
	{"not_permitted", false, "This payment is not allowed with this card. Ask the bank, or take another card."},
	{"offline_pin_required", false, "This card wants its PIN, which cannot be asked for here. Take another card."},
	{"online_or_offline_pin_required", false,
	 "This card wants its PIN, which cannot be asked for here. Take another card."},
	{"payment_intent_authentication_failure", false,
	 "The bank could not make sure that it is you. Try again, or take another card."},
	{"pickup_card", true, ASK_BANK},
	{"pin_try_exceeded", false, "The PIN of this card was wrong too often. Take another card."},
	{"processing_error", false, "Something failed between the banks. Try again, or take another card."},
	{"reenter_transaction", false, "Something failed at the bank. Try again, or take another card."},
	{"resource_missing", false, "The card that was named cannot be used. Enter it again, or take another card."},
	{"restricted_card", true, ASK_BANK},
	{"revocation_of_all_authorizations", false, ASK_BANK},
	{"revocation_of_authorization", false, ASK_BANK},
	{"security_violation", true, ASK_BANK},
	{"service_not_allowed", false, ASK_BANK},
	{"stolen_card", true, ASK_BANK},
	{"stop_payment_order", false, ASK_BANK},
	{"testmode_decline", false, "This is a card for tests. Take a real one."},
	{"transaction_not_allowed", false, ASK_BANK},
	{"try_again_later", false, "The bank cannot answer now. Try again in a moment, or take another card."},
	{"withdrawal_count_limit_exceeded", false, "This card's limit is reached. Take another card."},
	/* our own */
	{"amount_differs", false,
	 "The payment service did not take the payment as it was asked. What was taken goes back."},
	{"capture_refused", false, "The bank had promised the money and did not pay it. Nothing was charged."},
};

const char *payment_decline_words(const char *code)
{
	for (size_t i = 0; i < sizeof(declines) / sizeof(declines[0]); i++)
		if (strcmp(code, declines[i].code) == 0)
			return declines[i].words;
	return ASK_BANK;
}

const char *payment_decline_told(const char *code)
{
	for (size_t i = 0; i < sizeof(declines) / sizeof(declines[0]); i++)
		if (strcmp(code, declines[i].code) == 0)
			return declines[i].secret ? "generic_decline" : code;
	return code[0] ? code : "generic_decline";
}

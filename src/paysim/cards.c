/* See cards.h. The cards that are used most stand first: finding one is a walk. */
#include "paysim/cards.h"

#include "paysim/rules.h"

#include <string.h>

#define NAME(s) \
	{ \
		(s), sizeof(s) - 1 \
	}
#define CARD(name_, number_, brand_, country_, funding_) \
	.name = NAME(name_), .number = (number_), .brand = (brand_), .country = (country_), .funding = (funding_)
#define VISA(name_, number_) CARD(name_, number_, "visa", "US", "credit")
#define COUNTRY(code_, upper_, number_) \
	{ \
		CARD("pm_card_" code_, number_, "visa", upper_, "credit") \
	}
#define SAYS(code_, decline_, message_) .code = (code_), .decline_code = (decline_), .message = (message_)
#define DECLINES .outcome = CARD_DECLINES
#define CHALLENGES .outcome = CARD_CHALLENGES

#define DECLINED "Your card was declined."
#define GENERIC SAYS("card_declined", "generic_decline", DECLINED)
#define NO_FUNDS SAYS("card_declined", "insufficient_funds", "Your card has insufficient funds.")
#define LOST SAYS("card_declined", "lost_card", DECLINED)
#define STOLEN SAYS("card_declined", "stolen_card", DECLINED)
#define TOO_OFTEN \
	SAYS("card_declined", "card_velocity_exceeded", \
	     "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.")
#define EXPIRED SAYS("expired_card", "expired_card", "Your card has expired."), .param = "exp_month"
#define WRONG_CVC SAYS("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."), .param = "cvc"
#define WRONG_NUMBER SAYS("incorrect_number", "incorrect_number", "Your card number is incorrect."), .param = "number"
#define PROCESSING \
	SAYS("processing_error", "processing_error", \
	     "An error occurred while processing your card. Try again in a little bit.")
#define BLOCKED DECLINES, SAYS("card_declined", "fraudulent", DECLINED), .risk = CARD_RISK_HIGHEST, .blocked = true

const struct card card_generic_decline = {VISA("", "4000000000000002"), DECLINES, GENERIC};
const struct card card_authentication_required = {
	VISA("", "4000002760003184"), DECLINES,
	SAYS("authentication_required", "authentication_required",
	     "Your card was declined. This transaction requires authentication.")};

static const struct card cards[] = {
	{VISA("pm_card_visa", "4242424242424242")},
	{CARD("pm_card_visa_debit", "4000056655665556", "visa", "US", "debit")},
	{CARD("pm_card_mastercard", "5555555555554444", "mastercard", "US", "credit")},
	{CARD("pm_card_mastercard_debit", "5200828282828210", "mastercard", "US", "debit")},
	{CARD("pm_card_mastercard_prepaid", "5105105105105100", "mastercard", "US", "prepaid")},
	{CARD("pm_card_amex", "371449635398431", "amex", "US", "credit")},
	{CARD("pm_card_discover", "6011111111111117", "discover", "US", "credit")},
	{CARD("pm_card_diners", "3056930009020004", "diners", "US", "credit")},
	{CARD("pm_card_jcb", "3566002020360505", "jcb", "JP", "credit")},
	{CARD("pm_card_unionpay", "6200000000000005", "unionpay", "CN", "credit")},
	{CARD("pm_card_visa_cartesBancaires", "4000002500001001", "visa", "FR", "credit")},
	{CARD("pm_card_mastercard_cartesBancaires", "5555552500001001", "mastercard", "FR", "credit")},
	{CARD("pm_card_visa_debit_eftposAuCoBranded", "4000050360000001", "visa", "AU", "debit")},
	{CARD("pm_card_mastercard_debit_eftposAuCoBranded", "5555050360000080", "mastercard", "AU", "debit")},
	{CARD("pm_card_debit_visaFsaProductCode", "4000051230000072", "visa", "US", "debit")},
	{CARD("pm_card_debit_visaHsaProductCode", "4000051230000072", "visa", "US", "debit")},
	{CARD("pm_card_mastercard_debit_mastercardFsaProductCode", "5200828282828897", "mastercard", "US", "debit")},
	{VISA("pm_card_bypassPending", "4000000000000077")},
	{CARD("pm_card_bypassPendingInternational", "4000003720000278", "visa", "IE", "credit")},
	{VISA("pm_card_credit_disableEnterpriseCardFeatures", "4000008400000076")},

	/* refused; the names without the brand are older ones of the same cards */
	{VISA("pm_card_visa_chargeDeclined", "4000000000000002"), DECLINES, GENERIC},
	{VISA("pm_card_chargeDeclined", "4000000000000002"), DECLINES, GENERIC},
	{VISA("pm_card_visa_chargeDeclinedInsufficientFunds", "4000000000009995"), DECLINES, NO_FUNDS},
	{VISA("pm_card_chargeDeclinedInsufficientFunds", "4000000000009995"), DECLINES, NO_FUNDS},
	{VISA("pm_card_visa_chargeDeclinedLostCard", "4000000000009987"), DECLINES, LOST},
	{VISA("pm_card_chargeDeclinedLostCard", "4000000000009987"), DECLINES, LOST},
	{VISA("pm_card_visa_chargeDeclinedStolenCard", "4000000000009979"), DECLINES, STOLEN},
	{VISA("pm_card_chargeDeclinedStolenCard", "4000000000009979"), DECLINES, STOLEN},
	{VISA("pm_card_visa_chargeDeclinedVelocityLimitExceeded", "4000000000006975"), DECLINES, TOO_OFTEN},
	{VISA("pm_card_chargeDeclinedVelocityLimitExceeded", "4000000000006975"), DECLINES, TOO_OFTEN},
	{VISA("pm_card_chargeDeclinedExpiredCard", "4000000000000069"), DECLINES, EXPIRED},
	{VISA("pm_card_chargeDeclinedIncorrectCvc", "4000000000000127"), DECLINES, WRONG_CVC, .cvc = "fail"},
	{VISA("pm_card_chargeDeclinedProcessingError", "4000000000000119"), DECLINES, PROCESSING},
	{VISA("pm_card_chargeDeclinedIncorrectNumber", "4242424242424241"), DECLINES, WRONG_NUMBER},
	{VISA("pm_card_chargeCustomerFail", "4000000000000341"), DECLINES, GENERIC},

	/* fraud; the simulator's rules are the gateway's first ones: the highest risk is blocked, nothing else is */
	{VISA("pm_card_radarBlock", "4100000000000019"), BLOCKED},
	{VISA("pm_card_chargeDeclinedFraudulent", "4100000000000019"), BLOCKED},
	{VISA("pm_card_riskLevelHighest", "4000000000004954"), BLOCKED},
	{VISA("pm_card_riskLevelElevated", "4000000000009235"), .risk = CARD_RISK_ELEVATED},
	{VISA("pm_card_cvcCheckFail", "4000000000000101"), .cvc = "fail"},
	{VISA("pm_card_cvcCheckFailElevatedRisk", "4000058400307872"), .cvc = "fail", .risk = CARD_RISK_ELEVATED},
	{VISA("pm_card_avsZipFail", "4000000000000036"), .postal_code = "fail"},
	{VISA("pm_card_avsZipFailElevatedRisk", "4000058400306072"), .postal_code = "fail", .risk = CARD_RISK_ELEVATED},
	{VISA("pm_card_avsLine1Fail", "4000000000000028"), .line1 = "fail"},
	{VISA("pm_card_avsFail", "4000000000000010"), .line1 = "fail", .postal_code = "fail"},
	{VISA("pm_card_avsUnchecked", "4000000000000044"), .line1 = "unavailable", .postal_code = "unavailable"},

	/* approved, with something to follow */
	{VISA("pm_card_createDispute", "4000000000000259"), .after = CARD_DISPUTES, .dispute_reason = "fraudulent"},
	{VISA("pm_card_createDisputeProductNotReceived", "4000000000002685"), .after = CARD_DISPUTES,
	 .dispute_reason = "product_not_received"},
	{VISA("pm_card_createDisputeInquiry", "4000000000001976"), .after = CARD_DISPUTES,
	 .dispute_reason = "fraudulent", .inquiry = true},
	{VISA("pm_card_createMultipleDisputes", "4000000404000079"), .after = CARD_DISPUTES_TWICE,
	 .dispute_reason = "fraudulent"},
	{VISA("pm_card_createCe3EligibleDispute", "4000000404000038"), .after = CARD_DISPUTES,
	 .dispute_reason = "fraudulent"},
	{VISA("pm_card_createComplianceDispute", "4000008400000779"), .after = CARD_DISPUTES,
	 .dispute_reason = "noncompliant"},
	{VISA("pm_card_createIssuerFraudRecord", "4000000000005423"), .after = CARD_WARNS},
	{VISA("pm_card_pendingRefund", "4000000000007726"), .refunds = CARD_REFUNDS_LATER},
	{VISA("pm_card_refundFail", "4000000000005126"), .refunds = CARD_REFUNDS_FAIL_LATER},
	/* ours: no card of the gateway's page has a refund that is pending and fails, none is refused at capture */
	{VISA("pm_card_pendingRefundFails", "4000009990000013"), .refunds = CARD_REFUNDS_NEVER},
	{VISA("pm_card_captureFails", "4000009990000005"), .capture_fails = true},

	/* 3-D Secure */
	{CARD("pm_card_authenticationRequired", "4000002760003184", "visa", "DE", "credit"), CHALLENGES},
	{CARD("pm_card_authenticationRequiredOnSetup", "4000002500003155", "visa", "FR", "credit"), CHALLENGES},
	{CARD("pm_card_authenticationRequiredSetupForOffSession", "4000003800000446", "visa", "IT", "credit"),
	 CHALLENGES, .set_up = true},
	{CARD("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", "4000008260003178", "visa", "GB",
	      "credit"),
	 CHALLENGES, NO_FUNDS},
	{CARD("pm_card_threeDSecure2Required", "4000000000003220", "visa", "IE", "credit"), CHALLENGES},
	{VISA("pm_card_threeDSecureRequired", "4000000000003063"), CHALLENGES},
	{VISA("pm_card_threeDSecureRequiredChargeDeclined", "4000008400001629"), CHALLENGES, GENERIC},
	{VISA("pm_card_threeDSecureRequiredProcessingError", "4000008400001280"), DECLINES, GENERIC},
	{VISA("pm_card_threeDSecureOptional", "4000000000003055")},
	{VISA("pm_card_threeDSecureOptionalProcessingError", "4000000000003097")},
	{CARD("pm_card_amex_threeDSecureNotSupported", "378282246310005", "amex", "US", "credit")},

	COUNTRY("us", "US", "4242424242424242"),
	COUNTRY("ar", "AR", "4000000320000021"),
	COUNTRY("br", "BR", "4000000760000002"),
	COUNTRY("ca", "CA", "4000001240000000"),
	COUNTRY("cl", "CL", "4000001520000001"),
	COUNTRY("co", "CO", "4000001700000003"),
	COUNTRY("cr", "CR", "4000001880000005"),
	COUNTRY("ec", "EC", "4000002180000000"),
	COUNTRY("mx", "MX", "4000004840008001"),
	COUNTRY("pa", "PA", "4000005910000000"),
	COUNTRY("py", "PY", "4000006000000066"),
	COUNTRY("pe", "PE", "4000006040000068"),
	COUNTRY("uy", "UY", "4000008580000003"),
	COUNTRY("ae", "AE", "4000007840000001"),
	{CARD("pm_card_ae_mastercard", "5200007840000022", "mastercard", "AE", "credit")},
	COUNTRY("at", "AT", "4000000400000008"),
	COUNTRY("be", "BE", "4000000560000004"),
	COUNTRY("bg", "BG", "4000001000000000"),
	COUNTRY("by", "BY", "4000001120000005"),
	COUNTRY("hr", "HR", "4000001910000009"),
	COUNTRY("cy", "CY", "4000001960000008"),
	COUNTRY("cz", "CZ", "4000002030000002"),
	COUNTRY("dk", "DK", "4000002080000001"),
	COUNTRY("ee", "EE", "4000002330000009"),
	COUNTRY("fi", "FI", "4000002460000001"),
	COUNTRY("fr", "FR", "4000002500000003"),
	COUNTRY("de", "DE", "4000002760000016"),
	COUNTRY("gi", "GI", "4000002920000005"),
	COUNTRY("gr", "GR", "4000003000000030"),
	COUNTRY("hu", "HU", "4000003480000005"),
	COUNTRY("ie", "IE", "4000003720000005"),
	COUNTRY("it", "IT", "4000003800000008"),
	COUNTRY("lv", "LV", "4000004280000005"),
	COUNTRY("li", "LI", "4000004380000004"),
	COUNTRY("lt", "LT", "4000004400000000"),
	COUNTRY("lu", "LU", "4000004420000006"),
	COUNTRY("mt", "MT", "4000004700000007"),
	COUNTRY("nl", "NL", "4000005280000002"),
	COUNTRY("no", "NO", "4000005780000007"),
	COUNTRY("pl", "PL", "4000006160000005"),
	COUNTRY("pt", "PT", "4000006200000007"),
	COUNTRY("ro", "RO", "4000006420000001"),
	COUNTRY("sa", "SA", "4000006820000007"),
	COUNTRY("si", "SI", "4000007050000006"),
	COUNTRY("sk", "SK", "4000007030000001"),
	COUNTRY("es", "ES", "4000007240000007"),
	COUNTRY("se", "SE", "4000007520000008"),
	COUNTRY("ch", "CH", "4000007560000009"),
	COUNTRY("gb", "GB", "4000008260000000"),
	{CARD("pm_card_gb_debit", "4000058260000005", "visa", "GB", "debit")},
	{CARD("pm_card_gb_mastercard", "5555558265554449", "mastercard", "GB", "credit")},
	COUNTRY("au", "AU", "4000000360000006"),
	COUNTRY("cn", "CN", "4000001560000002"),
	COUNTRY("hk", "HK", "4000003440000004"),
	COUNTRY("in", "IN", "4000003560000008"),
	COUNTRY("jp", "JP", "4000003920000003"),
	COUNTRY("my", "MY", "4000004580000002"),
	COUNTRY("nz", "NZ", "4000005540000008"),
	COUNTRY("sg", "SG", "4000007020000003"),
	COUNTRY("tw", "TW", "4000001580000008"),
	COUNTRY("th_credit", "TH", "4000007640000003"),
	{CARD("pm_card_th_debit", "4000057640000008", "visa", "TH", "debit")},
};

size_t card_count(void)
{
	return sizeof(cards) / sizeof(cards[0]);
}

const struct card *card_at(size_t i)
{
	return &cards[i];
}

const struct card *card_find(struct str name)
{
	for (size_t i = 0; i < card_count(); i++)
		if (str_eq(name, cards[i].name))
			return &cards[i];
	return NULL;
}

void card_refuse(const struct card *c, struct refusal *r)
{
	refuse(r, 402, "card_error", c->code, c->param, "%s", c->message);
	r->decline_code = c->decline_code;
	r->with_intent = true;
}

/* Not a secret: it only has to differ from card to card and to stay as it is. FNV-1a over two seeds, 8 digits of each. */
void card_fingerprint(const struct card *c, char out[CARD_FINGERPRINT_TEXT])
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const uint64_t seeds[2] = {UINT64_C(0xcbf29ce484222325), UINT64_C(0x9ae16a3b2f90404f)};

	for (size_t half = 0; half < 2; half++) {
		uint64_t h = seeds[half];

		for (const char *p = c->number; *p; p++)
			h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
		for (size_t i = 0; i < 8; i++, h /= 62)
			out[8 * half + i] = digits[h % 62];
	}
	out[CARD_FINGERPRINT_TEXT - 1] = '\0';
}

const char *card_last4(const struct card *c)
{
	return c->number + strlen(c->number) - 4;
}

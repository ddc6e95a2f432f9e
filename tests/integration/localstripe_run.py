"""Runs localstripe, somebody else's idea of the payment gateway, on the loopback address: localstripe_run.py PORT.

What it does not do as the gateway does is put right here, and nothing else:
- confirming with a payment_method is not implemented there (500) and return_url is unknown: the method is set before;
- 3-D Secure is always `use_stripe_sdk` there; the gateway redirects when a return_url was given.
Its store is not written to a file that all users of the machine share.
"""

import sys

from aiohttp import web
from localstripe import resources

resources.Store.dump_to_disk = lambda self: None
confirm = resources.PaymentIntent._api_confirm.__func__


def confirm_with_method(cls, id, payment_method=None, return_url=None, **kwargs):
    intent = cls._api_retrieve(id)
    if payment_method is not None:
        intent.payment_method = resources.PaymentMethod._api_retrieve(payment_method).id
    intent = confirm(cls, id, **kwargs)
    if intent.next_action and return_url:
        intent.next_action = {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": f"https://bank.invalid/{id}"}}
    return intent


# before its server makes routes of what is listed
place = resources.extra_apis.index(("POST", "/v1/payment_intents/{id}/confirm", resources.PaymentIntent._api_confirm))
resources.PaymentIntent._api_confirm = classmethod(confirm_with_method)
resources.extra_apis[place] = ("POST", "/v1/payment_intents/{id}/confirm", resources.PaymentIntent._api_confirm)

from localstripe.server import app  # noqa: E402

web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)

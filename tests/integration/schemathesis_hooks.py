"""What schemathesis sends is changed here where JSON Schema and the contract mean different things."""

import schemathesis


def whole(value):
    """To JSON Schema 1.0 is an integer; the API takes whole numbers only as they are written everywhere: without a fraction."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, (dict, list, float)):
        case.body = whole(case.body)

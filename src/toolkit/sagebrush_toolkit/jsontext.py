"""JSON without the module json: that one imports `re`, which takes longer than all that a job's start needs together.

What does the work in it is C, and has stood behind the same two names since Python 2.7; where it does not, json itself
is taken. An error in the text is json's own ValueError either way."""

try:
    from _json import make_encoder, make_scanner
except ImportError:
    make_encoder = make_scanner = None

WHITE = ' \t\n\r'


class Options:
    """What the scanner asks its decoder for: json's defaults."""
    strict, object_hook, object_pairs_hook, parse_float, parse_int = True, None, None, float, int
    parse_constant, memo = {'-Infinity': -float('inf'), 'Infinity': float('inf'), 'NaN': float('nan')}.__getitem__, {}


def loads(text):
    if not make_scanner:
        import json
        return json.loads(text)
    if not isinstance(text, str):
        raise TypeError('the JSON text must be a str')
    start = len(text) - len(text.lstrip(WHITE))
    try:
        value, end = make_scanner(Options)(text, start)
    except StopIteration:
        raise ValueError('there is no JSON value in it') from None
    except SystemError:
        # To say what is wrong, the scanner wants json loaded (Python 3.11), and has nothing to raise where it is not.
        import json
        return json.loads(text)
    if text[end:].strip(WHITE):
        raise ValueError(f'there is more after the JSON value, at character {end}')
    return value


def not_json(value):
    raise TypeError(f'{type(value).__name__} has no JSON form')


def dumps(value):
    """Compact, members sorted, in the characters themselves."""
    if not make_encoder:
        import json
        return json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False)
    from _json import encode_basestring
    return ''.join(make_encoder({}, not_json, encode_basestring, None, ':', ',', True, False, True)(value, 0))

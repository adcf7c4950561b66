"""constraints.py - every constraint of the models, kept once and broken once.

    .venv/bin/python tests/model/constraints.py build/tests/wire/wire_probe

For each operation a valid input is made from its model; it must pass. Then each constraint that can be reached in it is
broken alone, and the answer must name that member and that constraint, in AWS's words."""
import base64
import json
import re
import subprocess
import sys

try:
    from re import _constants as C, _parser as sre
except ImportError:
    import sre_constants as C
    import sre_parse as sre

import botocore.loaders
import botocore.model

SERVICES = {"sagemaker": "json", "logs": "json", "cloudwatch": "json", "iam": "query", "sts": "query"}
DEEPEST = 4
TOLD = 5

# For patterns that Python cannot read, or whose intersection with a length is not found by trying.
KNOWN = [
    "a", "abcdefgh", "abcdefghij", "abcdefghijklmnopqrst", "abcdefghijklmnopqrstuvwxyzabcdefghij", "123456", "12345678",
    "123456789012", "{}", "10.0.0.0/16", "2024-02-29T12:00:00Z", "s3://bucket/key", "https://a.bc/d",
    "subnet-0123456789abcdef0", "123456789012.dkr.ecr.us-east-1.amazonaws.com/name:tag", "arn:aws:s3:::bucket",
    "arn:aws:iam::123456789012:role/abc", "arn:aws:sagemaker:us-east-1:123456789012:training-job/abc",
    "arn:aws:kms:us-east-1:123456789012:key/abc", "arn:aws:lambda:us-east-1:123456789012:function:f",
]


def member_of_set(items):
    """A character of a set, a letter if there is one."""
    taken = []
    negated = False
    for kind, value in items:
        if kind is C.NEGATE:
            negated = True
        elif kind is C.LITERAL:
            taken.append(chr(value))
        elif kind is C.RANGE:
            taken += [chr(value[0]), chr(value[1])]
        elif kind is C.CATEGORY:
            taken += {C.CATEGORY_DIGIT: ["1"], C.CATEGORY_WORD: ["a"], C.CATEGORY_SPACE: [" "]}.get(value, ["a", " "])
    if negated:
        taken = [c for c in "abcxyz019" if c not in taken and not any(
            k is C.RANGE and v[0] <= ord(c) <= v[1] for k, v in items)]
    letters = [c for c in taken if c.isalnum() and ord(c) < 128]
    return (letters or taken)[0]


def text_of(tree, extra, groups):
    """A text that matches; repetitions take 'extra' more than they must."""
    out = ""
    for kind, value in tree:
        if kind is C.LITERAL:
            out += chr(value)
        elif kind is C.NOT_LITERAL:
            out += "a" if value != ord("a") else "b"
        elif kind is C.ANY:
            out += "a"
        elif kind is C.IN:
            out += member_of_set(value)
        elif kind is C.BRANCH:
            out += text_of(value[1][0], extra, groups)
        elif kind is C.SUBPATTERN:
            piece = text_of(value[3], extra, groups)
            groups[value[0]] = piece
            out += piece
        elif kind in (C.MAX_REPEAT, C.MIN_REPEAT):
            low, high, inner = value
            count = min(high if high is not C.MAXREPEAT else 10**6, low + extra)
            out += text_of(inner, 0, groups) * count if extra else text_of(inner, extra, groups) * low
        elif kind is C.GROUPREF:
            out += groups.get(value, "")
        elif kind in (C.AT, C.ASSERT, C.ASSERT_NOT):
            pass
        else:
            raise ValueError(str(kind))
    return out


def readable(pattern):
    """Java's classes in Python's words."""
    for java, python in (("\\p{L}", "a-z"), ("\\p{Zs}", " "), ("\\p{Z}", " "), ("\\p{N}", "0-9"), ("\\p{M}", ""),
                         ("\\p{S}", "$"), ("\\p{P}", "."), ("\\p{Alnum}", "a-z0-9"), ("\\p{Print}", "a-z"),
                         ("\\p{Graph}", "a-z"),
                         ("\\p{Alpha}", "a-z"), ("\\z", "\\Z"), ("${1,128}", "$"), ("${1,256}", "$"),
                         ("\\w-_", "\\w_")):
        pattern = pattern.replace(java, python)
    return pattern


def string_of(shape):
    if shape.enum:
        return shape.enum[0]
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 10**9)
    pattern = shape.metadata.get("pattern")
    if not pattern:
        return "a" * max(low, min(1, high))
    candidates = list(KNOWN)
    try:
        tree = sre.parse(readable(pattern))
        for extra in (1, 0, 2, 3, 8, 16, 32, 64, low):
            candidates.insert(0, text_of(tree, extra, {}))
    except (ValueError, re.error, IndexError):
        pass
    for text in candidates:
        try:
            if low <= len(text) <= high and re.fullmatch(readable(pattern), text):
                return text
        except re.error:
            continue
    return None


class Unmade(Exception):
    """No valid value was found: a limit of this script, counted and told."""


def value_of(shape, depth, optional):
    kind, meta = shape.type_name, shape.metadata
    if kind == "structure":
        return structure_of(shape, depth + 1, optional)
    if kind == "list":
        return [value_of(shape.member, depth + 1, optional) for _ in range(max(1, meta.get("min", 1)))]
    if kind == "map":
        count = min(max(1, meta.get("min", 1)), meta.get("max", 1))
        return {value_of(shape.key, depth + 1, optional) + "b" * i: value_of(shape.value, depth + 1, optional)
                for i in range(count)}
    if kind == "string":
        text = string_of(shape)
        if text is None:
            raise Unmade(shape.name)
        return text
    if kind in ("integer", "long"):
        return int(max(meta.get("min", 1), min(1, meta.get("max", 1))))
    if kind in ("float", "double"):
        return float(max(meta.get("min", 1), min(1, meta.get("max", 1))))
    if kind == "boolean":
        return True
    if kind == "blob":
        return base64.b64encode(b"x" * max(1, meta.get("min", 1))).decode()
    return 1700000000


def structure_of(shape, depth, optional):
    made = {}
    members = shape.members
    if shape.is_tagged_union:
        members = dict([next(iter(members.items()))])
    for name, member in members.items():
        if name in shape.required_members or (optional and depth <= DEEPEST) or shape.is_tagged_union and depth <= 8:
            try:
                made[name] = value_of(member, depth, optional)
            except (Unmade, RecursionError):
                if name in shape.required_members:
                    raise
    return made


def lower(name):
    return name[0].lower() + name[1:]


def breaches(shape, value, path):
    """(path in the value, what to put there or None to drop it, the path and words of the answer)"""
    for name, member in shape.members.items():
        if name not in value:
            continue
        at = path + [name]
        where = ".".join([p for p in words_of(at)])
        if name in shape.required_members:
            yield at, None, "null at '%s' failed to satisfy constraint: Member must not be null" % where
        yield from breaches_of(member, value[name], at, where)


def words_of(path):
    for step in path:
        yield "%d.member" % (step + 1) if isinstance(step, int) else lower(step)


def breaches_of(shape, value, at, where):
    meta, kind = shape.metadata, shape.type_name
    says = "at '%s' failed to satisfy constraint: " % where
    if kind == "structure":
        yield from breaches(shape, value, at)
    elif kind == "string" and shape.enum:
        yield at, "no such value", says + "Member must satisfy enum value set: [%s]" % ", ".join(shape.enum)
    elif kind == "string":
        if meta.get("max", 10**6) < 70000:
            yield at, "a" * (meta["max"] + 1), says + "Member must have length less than or equal to %d" % meta["max"]
        if meta.get("min", 0) > 0:
            yield at, "", says + "Member must have length greater than or equal to %d" % meta["min"]
        if "pattern" in meta:
            for text in ("\u0001", "!", " ", "a b", "-", "", "\n"):
                try:
                    if not re.fullmatch(readable(meta["pattern"]), text):
                        yield at, text, says + "Member must satisfy regular expression pattern: "
                        break
                except re.error:
                    break
    elif kind in ("integer", "long", "float", "double"):
        if "max" in meta and meta["max"] < 2**31 - 1:
            yield at, meta["max"] + 1, says + "Member must have value less than or equal to %d" % meta["max"]
        if "min" in meta and meta["min"] > -2**31:
            yield at, meta["min"] - 1, says + "Member must have value greater than or equal to %d" % meta["min"]
    elif kind == "list":
        if "max" in meta and meta["max"] <= 300 and value:
            longer = [value[0]] * (meta["max"] + 1)
            yield at, longer, says + "Member must have length less than or equal to %d" % meta["max"]
        if meta.get("min", 0) > 0:
            yield at, [], says + "Member must have length greater than or equal to %d" % meta["min"]
        if value and shape.member.type_name == "structure":
            yield from breaches(shape.member, value[0], at + [0])
        elif value and shape.member.type_name == "string" and shape.member.enum:
            yield at, ["no such value"], says + "Member must satisfy constraint: [Member must satisfy enum value set: ["
    elif kind == "map" and "max" in shape.value.metadata and shape.value.type_name == "string" and not shape.value.enum:
        longest = shape.value.metadata["max"]
        if value and longest < 70000:
            yield at, {next(iter(value)): "a" * (longest + 1)}, says + \
                "Map value must satisfy constraint: [Member must have length less than or equal to %d" % longest


def with_change(value, path, new):
    """A copy of the value with one place changed."""
    if not path:
        return new
    head, rest = path[0], path[1:]
    copy = list(value) if isinstance(value, list) else dict(value)
    if new is None and not rest:
        del copy[head]
    else:
        copy[head] = with_change(value[head], rest, new)
    return copy


class Probe:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.asked = 0

    def ask(self, model, operation, value):
        """Inputs go in as JSON also for the Query services: it is their shapes that are tested here."""
        self.asked += 1
        question = {"method": "POST", "target": "/", "headers": [], "body": "", "signing": model.signing_name,
                    "service": model.service_name, "operation": operation, "input": value, "validate": True}
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def main():
    probe = Probe(sys.argv[1])
    loader = botocore.loaders.Loader()
    mistakes, unmade, operations = [], [], 0
    for service in SERVICES:
        model = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"), service)
        for name in model.operation_names:
            shape = model.operation_model(name).input_shape
            if shape is None:
                continue
            operations += 1
            for optional in (False, True):
                try:
                    value = structure_of(shape, 0, optional)
                except Unmade as why:
                    unmade.append("%s.%s %s" % (service, name, why))
                    break
                answer = probe.ask(model, name, value)
                if "error" in answer or "invalid" in answer:
                    mistakes.append((service, name, "a valid input", json.dumps(value)[:1500], answer))
                    break
            else:
                for path, new, words in breaches(shape, value, []):
                    answer = probe.ask(model, name, with_change(value, path, new))
                    if words not in answer.get("invalid", ""):
                        mistakes.append((service, name, path, str(new)[:100], words, answer.get("invalid", answer)))
    for mistake in mistakes[:TOLD]:
        for part in mistake:
            print(str(part)[:1500])
        print()
    for mistake in mistakes:
        print("mistake:", *mistake[:3])
    for name in sorted(set(unmade)):
        print("no valid value was found:", name)
    print("%d operations, %d inputs, %d mistakes, %d not made" % (operations, probe.asked, len(mistakes), len(unmade)))
    sys.exit(1 if mistakes else 0)


main()

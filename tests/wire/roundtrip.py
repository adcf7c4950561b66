"""roundtrip.py - what botocore writes we read, what we write botocore reads: every operation of every service.

    .venv/bin/python tests/wire/roundtrip.py build/tests/wire/wire_probe [seed [rounds]]

Inputs and outputs are made from the models by dice; the same seed makes the same ones."""
import base64
import datetime
import io
import json
import random
import subprocess
import sys

import botocore.awsrequest
import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize
from botocore.compat import HTTPHeaders
from dateutil.tz import tzutc

SERVICES = ["cloudwatch", "iam", "logs", "s3", "sagemaker", "sagemaker-featurestore-runtime", "sagemaker-metrics",
            "sagemaker-runtime", "sts"]
PROTOCOLS = {"json": 0, "rest-json": 1, "rest-xml": 2, "query": 3, "ec2": 4, "smithy-rpc-v2-cbor": 5}
NUMBERED = 3  # a mistake of this many operations is told in full

# What botocore changes in handlers, outside its serializers and parsers, or what is another host's.
UNROUTED = {"ListDirectoryBuckets", "WriteGetObjectResponse"}
DEPRECATED = {"GetBucketLifecycle", "PutBucketLifecycle", "GetBucketNotification", "PutBucketNotification"}
UNPARSED = {"GetBucketLocation"}


class Dice:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self, shape):
        if shape.enum:
            return self.random.choice(shape.enum)
        alphabet = "abcXYZ019-_.~ /+&=%<>\"'é世" if self.random.random() < 0.5 else "abcxyz0189"
        return "".join(self.random.choice(alphabet) for _ in range(self.random.randint(1, 12))).strip() or "x"

    def value(self, shape, depth, plain):
        kind = shape.type_name
        if kind == "structure":
            return self.structure(shape, depth + 1)
        if kind == "list":
            return [self.value(shape.member, depth + 1, plain) for _ in range(self.random.randint(1, 3))]
        if kind == "map":
            return {self.text(shape.key): self.value(shape.value, depth + 1, plain)
                    for _ in range(self.random.randint(1, 3))}
        if kind == "string":
            return "abc%d" % self.random.randint(0, 99) if plain and not shape.enum else self.text(shape)
        if kind == "integer":
            return self.random.choice([0, 1, -1, 2**31 - 1, -2**31])
        if kind == "long":
            return self.random.choice([0, 7, -2**63, 2**63 - 1, 2**53 + 1])
        if kind in ("float", "double"):
            return self.random.choice([0.5, -1.25, 3.0, 1e-7, 1.5e30, 0.1])
        if kind == "boolean":
            return self.random.random() < 0.5
        if kind == "blob":
            return bytes(self.random.randrange(256) for _ in range(self.random.randint(1, 9)))
        if kind == "timestamp":
            return datetime.datetime(2024, 2, 29, 12, 0, self.random.randint(0, 59), tzinfo=tzutc())
        raise AssertionError(kind)

    def structure(self, shape, depth=0):
        members = list(shape.members.items())
        union = shape.is_tagged_union
        if union:
            simple = [m for m in members if m[1].type_name not in ("structure", "list", "map")]
            members = [self.random.choice(simple if simple and depth > 5 else members)]
        made = {}
        for name, member in members:
            where = member.serialization.get("location")
            required = name in shape.required_members or where == "uri"
            chance = 1 if depth < 2 else 0.5 if depth < 5 else 0
            if not union and (depth > 8 or not (required or self.random.random() < chance)):
                continue
            made[name] = self.value(member, depth, where is not None)
        return made


def canonical(shape, value):
    """As our documents show it in JSON."""
    kind = shape.type_name
    if kind == "structure":
        return {name: canonical(shape.members[name], v) for name, v in value.items()
                if name in shape.members and v is not None}
    if kind == "list":
        return [canonical(shape.member, v) for v in value]
    if kind == "map":
        return {k: canonical(shape.value, v) for k, v in value.items()}
    if kind == "timestamp":
        return int(value.timestamp() * 1000)
    if kind == "blob":
        if hasattr(value, "read"):
            value = value.read()
        return base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
    if kind in ("float", "double"):
        return float(value)
    return value


def streaming(shape):
    name = shape and shape.serialization.get("payload")
    member = name and shape.members[name]
    return name if member is not None and (member.serialization.get("streaming") or member.serialization.get(
        "eventstream")) else None


def without_empty(value):
    """A form has no way to say that a structure is there and empty."""
    if isinstance(value, list):
        return [v for v in (without_empty(v) for v in value) if v != {}]
    if isinstance(value, dict):
        return {k: v for k, v in ((k, without_empty(v)) for k, v in value.items()) if v not in ({}, [])}
    return value


class Probe:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, question):
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("wire_probe ended (status %s) at %s" % (self.process.wait(), json.dumps(question)[:2000]))
        return json.loads(line)


def request_of(protocol, model, operation, params):
    serializer = botocore.serialize.create_serializer(protocol, include_validation=False)
    made = serializer.serialize_to_request(params, operation)
    made.setdefault("headers", {})
    botocore.awsrequest.prepare_request_dict(made, "http://127.0.0.1:9000")
    prepared = botocore.awsrequest.create_request_object(made).prepare()
    body = prepared.body or b""
    if hasattr(body, "read"):
        body = body.read()
    if isinstance(body, str):
        body = body.encode()
    target = prepared.url[len("http://127.0.0.1:9000"):] or "/"
    headers = [[k, v.decode() if isinstance(v, bytes) else str(v)] for k, v in prepared.headers.items()]
    return {"method": prepared.method, "target": target, "headers": headers,
            "body": base64.b64encode(body).decode(), "signing": model.signing_name}


def without_spaces(shape, params):
    """A name in a header is a token, and S3 keeps those of user metadata in lower case."""
    for name, member in shape.members.items():
        if name not in params:
            continue
        if member.serialization.get("location") == "headers":
            params[name] = {"key%d" % i: "v%d" % i for i, _ in enumerate(params[name])}


def check(probe, protocol, model, name, dice, mistakes):
    operation = model.operation_model(name)
    params = dice.structure(operation.input_shape) if operation.input_shape else {}
    output = dice.structure(operation.output_shape) if operation.output_shape else {}
    if operation.input_shape:
        without_spaces(operation.input_shape, params)
    if operation.output_shape:
        without_spaces(operation.output_shape, output)
    for made, shape in ((params, operation.input_shape), (output, operation.output_shape)):
        if streaming(shape):
            made.pop(streaming(shape), None)
    for key in ("ContentLength", "ContentEncoding"):
        params.pop(key, None)
    if "ContentLength" in output:
        output["ContentLength"] = abs(output["ContentLength"]) // 2
    question = request_of(protocol, model, operation, params)
    if operation.output_shape:
        question["output"] = canonical(operation.output_shape, output)
    answer = probe.ask(question)
    where = "%s %s.%s" % (protocol, model.service_name, name)
    if answer.get("operation") != name or answer.get("protocol") != PROTOCOLS[protocol] or "error" in answer:
        mistakes.append((where, "request", question, answer))
        return
    expected = canonical(operation.input_shape, params) if operation.input_shape else {}
    answer["input"].pop("ContentLength", None)  # prepare() counted the body
    if protocol == "query":
        expected = without_empty(expected)
    if answer["input"] != expected:
        mistakes.append((where, "input", expected, answer["input"], question))
    if not operation.output_shape or name in UNPARSED or operation.has_event_stream_output:
        return
    headers = HTTPHeaders()
    for key, value in answer["headers"]:
        headers[key] = value
    if "ContentLength" in output:
        headers["Content-Length"] = str(answer["length"])
    body = base64.b64decode(answer["body"])
    parsed = botocore.parsers.create_parser(protocol).parse(
        {"status_code": answer["status"], "headers": headers,
         "body": io.BytesIO(body) if operation.has_streaming_output else body}, operation.output_shape)
    parsed.pop("ResponseMetadata", None)
    if streaming(operation.output_shape):
        parsed.pop(streaming(operation.output_shape), None)
    got, expected = canonical(operation.output_shape, parsed), question["output"]
    if got != expected:
        mistakes.append((where, "output", expected, got, base64.b64decode(answer["body"])[:3000]))


def check_error(probe, protocol, model, name, mistakes):
    operation = model.operation_model(name)
    params = Dice(1).structure(operation.input_shape) if operation.input_shape else {}
    if operation.input_shape:
        without_spaces(operation.input_shape, params)
        if streaming(operation.input_shape):
            params.pop(streaming(operation.input_shape))
    question = request_of(protocol, model, operation, params)
    code = operation.error_shapes[0].name if operation.error_shapes else "SomethingWrong"
    if model.metadata.get("awsQueryCompatible") is not None:
        question["headers"].append(["x-amzn-query-mode", "true"])
    question["fail"] = {"kind": 1, "code": code, "text": "why <it> & \"how\""}
    answer = probe.ask(question)
    if "status" not in answer:
        mistakes.append(("%s %s.%s" % (protocol, model.service_name, name), "error request", question, answer))
        return
    headers = HTTPHeaders()
    for key, value in answer["headers"]:
        headers[key] = value
    parsed = botocore.parsers.create_parser(protocol).parse(
        {"status_code": answer["status"], "headers": headers, "body": base64.b64decode(answer["body"])},
        operation.output_shape)
    expected = code
    if operation.error_shapes and (protocol == "query" or "awsQueryCompatible" in model.metadata):
        expected = operation.error_shapes[0].error_code
    if operation.http["method"] == "HEAD":
        return
    if parsed["Error"]["Code"] != expected or parsed["Error"]["Message"] != question["fail"]["text"] or \
            parsed["ResponseMetadata"].get("RequestId") != "REQUEST-ID":
        mistakes.append(("%s %s.%s" % (protocol, model.service_name, name), "error", expected, parsed))


def main():
    probe = Probe(sys.argv[1])
    seed, rounds = int((sys.argv[2:] + ["1"])[0]), int((sys.argv[3:] + ["1"])[0])
    # S3 gives an Expires header back as it came, so it is text to us: without botocore's own amendments.
    loader = botocore.loaders.Loader(include_default_extras=False)
    loader.search_paths.append(loader.BUILTIN_DATA_PATH)
    mistakes, count = [], 0
    for service in SERVICES:
        try:
            data = loader.load_service_model(service, "service-2")
        except botocore.exceptions.UnknownServiceError:
            continue
        for protocol in data["metadata"].get("protocols", [data["metadata"]["protocol"]]):
            model = botocore.model.ServiceModel(data, service)
            model.metadata["protocol"] = protocol
            for name in model.operation_names:
                if name in UNROUTED or name in DEPRECATED:
                    continue
                for i in range(rounds):
                    check(probe, protocol, model, name, Dice("%d %d %s %s" % (seed, i, protocol, name)), mistakes)
                    count += 1
                check_error(probe, protocol, model, name, mistakes)
    for mistake in mistakes[:NUMBERED]:
        for part in mistake:
            print(str(part)[:1500])
        print()
    for mistake in mistakes:
        print("mistake:", mistake[0], mistake[1])
    print("%d operations, %d mistakes" % (count, len(mistakes)))
    sys.exit(1 if mistakes else 0)


main()

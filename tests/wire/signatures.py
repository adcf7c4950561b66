"""signatures.py PROBE - what boto3 signs, we take; what was changed on the way, we do not.

Requests are made by real boto3 clients and caught just before they would be sent, so they are signed, encoded and
chunked as on the wire. Signed chunks, which boto3 does not send, are made here after the S3 manual."""
import base64
import hashlib
import hmac
import io
import json
import subprocess
import sys
import time
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.config import Config
from botocore.credentials import Credentials

KEY, SECRET, TOKEN = 'AKIAIOSFODNN7EXAMPLE', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', 'token+/=token=='
NAMES = {'sagemaker-runtime': 'sagemaker', 'cloudwatch': 'monitoring', 'sagemaker-featurestore-runtime': 'sagemaker',
         'sagemaker-metrics': 'sagemaker'}
probe = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
checked = refused = 0


def text(value):
    return value.decode('latin-1') if isinstance(value, bytes) else str(value)


def ask(service, method, url, headers, body, **more):
    parts = urlsplit(url)
    target = parts.path + ('?' + parts.query if parts.query else '')
    pairs = [[text(k), text(v)] for k, v in headers]
    if not any(k.lower() == 'host' for k, _ in pairs):
        pairs.append(['Host', parts.netloc])
    decoded = [int(v) for k, v in pairs if k.lower() == 'x-amz-decoded-content-length']
    probe.stdin.write(json.dumps({
        'method': method, 'target': target or '/', 'headers': pairs, 'body': base64.b64encode(body).decode(),
        'service': NAMES.get(service, service), 'secret': SECRET,
        'now_ms': int(time.time() * 1000) + more.get('later_ms', 0), 'decoded_bytes': decoded[0] if decoded else -1,
        'bucket': 'bucket' if parts.netloc.startswith('bucket.') else ''}) + '\n')
    probe.stdin.flush()
    return json.loads(probe.stdout.readline())


def good(what, answer):
    global checked
    checked += 1
    if 'code' in answer:
        raise SystemExit(f'{what}: {answer["code"]}: {answer["text"]}')
    return answer


def bad(what, answer, *codes):
    global refused
    refused += 1
    if answer.get('code') not in codes:
        raise SystemExit(f'{what}: {answer}, {codes} expected')


def body_of(request):
    body = request.body
    if body is None:
        return b''
    if isinstance(body, str):
        return body.encode()
    return body if isinstance(body, (bytes, bytearray)) else body.read()


class Caught(Exception):
    pass


def client(service, token=False, **more):
    made = boto3.client(service, region_name='eu-west-1', aws_access_key_id=KEY, aws_secret_access_key=SECRET,
                        aws_session_token=TOKEN if token else None, **more)
    made.caught = []

    def catch(request, **_):
        made.caught.append((request.method, request.url, list(request.headers.items()), body_of(request)))
        return AWSResponse(request.url, 500, {}, io.BytesIO(b''))

    made.meta.events.register('before-send', catch)
    return made


def call(c, operation, **arguments):
    """Runs it; the caught request is verified, and is refused with a byte of it changed."""
    service = c.meta.service_model.service_name
    c.caught.clear()
    try:
        getattr(c, operation)(**arguments)
    except Exception:
        pass
    method, url, headers, body = c.caught[0]
    what = f'{service} {operation} {url}'
    answer = good(what, ask(service, method, url, headers, body))
    wrong = ('SignatureDoesNotMatch', 'InvalidSignatureException')
    bad(what + ' (method)', ask(service, 'PATCH', url, headers, body), *wrong)
    bad(what + ' (path)', ask(service, method, url.replace('.com/', '.com/x', 1), headers, body), *wrong)
    if body:
        bad(what + ' (body)', ask(service, method, url, headers, bytes([body[0] ^ 1]) + body[1:]), *wrong,
            'XAmzContentSHA256Mismatch', 'IncompleteBody', 'MalformedTrailerError')
    return answer, body


quick = Config(retries={'total_max_attempts': 1}, s3={'addressing_style': 'path'})
keys = ['plain', 'a b', 'a+b', 'a%20b', 'ü/é/日本語', "!*'()~-._", 'a&b=c?d#e', '//double//slash/', 'x/../y/./z',
        '$@:;,|^`{}[]<>"\\', 'tab\there', '%', '%zz', '+', 'k' * 900]

for token in (False, True):
    s3 = client('s3', token, config=quick)
    for key in keys:
        call(s3, 'get_object', Bucket='bucket', Key=key)
        call(s3, 'head_object', Bucket='bucket', Key=key, VersionId='a+b/c=')
        call(s3, 'list_objects_v2', Bucket='bucket', Prefix=key, Delimiter='/', ContinuationToken=key)
        call(s3, 'delete_object', Bucket='bucket', Key=key)
    call(s3, 'list_buckets')
    call(s3, 'get_bucket_location', Bucket='bucket')
    call(s3, 'create_multipart_upload', Bucket='bucket', Key='k', Metadata={'a': 'two  spaces   here', 'b-c': ' edge '})
    call(s3, 'delete_objects', Bucket='bucket', Delete={'Objects': [{'Key': k} for k in keys]})
    call(s3, 'put_bucket_tagging', Bucket='bucket', Tagging={'TagSet': [{'Key': 'a', 'Value': 'ü'}]})
    call(s3, 'copy_object', Bucket='bucket', Key='to', CopySource={'Bucket': 'from', 'Key': 'a b+ü'})
    call(client('s3', token, config=Config(retries={'total_max_attempts': 1}, s3={'addressing_style': 'virtual'})),
         'get_object', Bucket='bucket', Key='a b')
    # Over TLS an unsigned chunked body with a CRC32 trailer; over plain HTTP, or from bytes, what else it thinks of.
    for endpoint in (None, 'http://127.0.0.1.com'):
        up = client('s3', token, config=quick, endpoint_url=endpoint)
        for data in (b'', b'hello', b'x' * 300_000):
            for algorithm in ('CRC32', 'SHA256', 'SHA1', 'CRC32C', 'CRC64NVME'):
                arguments = {'ChecksumAlgorithm': algorithm} if algorithm in ('CRC32', 'SHA256', 'SHA1') else {}
                for body in (data, io.BytesIO(data)):
                    answer, sent = call(up, 'put_object', Bucket='bucket', Key='k', Body=body, **arguments)
                    if 'decoded_sha256' in answer:
                        assert answer['decoded_sha256'] == hashlib.sha256(data).hexdigest()
                        assert any(k.startswith('x-amz-checksum-') for k in answer), answer
                    else:
                        assert sent == data
    for version, method in [(v, m) for v in ('s3v4', 's3') for m in ('get_object', 'put_object')]:
        signer = client('s3', token, config=Config(signature_version=version))
        for key in keys:
            url = signer.generate_presigned_url(method, Params={'Bucket': 'bucket', 'Key': key}, ExpiresIn=60)
            verb = 'GET' if method == 'get_object' else 'PUT'
            good(url, ask('s3', verb, url, [], b'anything'))
            bad(url, ask('s3', verb, url, [], b'', later_ms=61_500), 'AccessDenied')
            bad(url, ask('s3', 'DELETE', url, [], b''), 'SignatureDoesNotMatch')
            bad(url, ask('s3', verb, url.replace('Expires=', 'Expires=1'), [], b''), 'SignatureDoesNotMatch',
                'AuthorizationQueryParametersError')
            bad(url, ask('s3', verb, url + '&versionId=y', [], b''), 'SignatureDoesNotMatch')

    # The way before, which is what boto3 presigns with unless it is told otherwise.
    for style in ('path', 'virtual'):
        signer = client('s3', token, config=Config(signature_version='s3', s3={'addressing_style': style}))
        arguments = {'Bucket': 'bucket', 'Key': 'a b', 'VersionId': 'x+/=',
                     'ResponseContentType': 'text/plain; charset=x'}
        url = signer.generate_presigned_url('get_object', Params=arguments)
        good(url, ask('s3', 'GET', url, [], b''))
        url = signer.generate_presigned_url('put_object', Params={'Bucket': 'bucket', 'Key': 'k',
                                                                  'ContentType': 'text/x', 'Metadata': {'a': 'b'}})
        good(url, ask('s3', 'PUT', url, [('Content-Type', 'text/x')], b''))
        bad(url, ask('s3', 'PUT', url, [('Content-Type', 'text/y')], b''), 'SignatureDoesNotMatch')
        bad(url, ask('s3', 'PUT', url, [('Content-Type', 'text/x'), ('x-amz-acl', 'public-read')], b''),
            'SignatureDoesNotMatch')

    sagemaker = client('sagemaker', token, config=quick)
    call(sagemaker, 'describe_training_job', TrainingJobName='x')
    call(sagemaker, 'list_training_jobs', NameContains='ü')
    call(client('sagemaker-runtime', token, config=quick), 'invoke_endpoint', EndpointName='e-1', Body=b'1,2,3',
         ContentType='text/csv', CustomAttributes='a  b')
    call(client('sagemaker-featurestore-runtime', token, config=quick), 'get_record', FeatureGroupName='a',
         RecordIdentifierValueAsString='a b/ü+&', FeatureNames=['x', 'y', 'a b'])
    call(client('logs', token, config=quick), 'describe_log_groups')
    call(client('iam', token, config=quick), 'create_user', UserName='x+y')
    call(client('sts', token, config=quick), 'get_caller_identity')
    call(client('cloudwatch', token, config=quick), 'list_metrics', Namespace='n')

# Presigned, elsewhere than S3.
request = AWSRequest('GET', 'https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15')
SigV4QueryAuth(Credentials(KEY, SECRET, TOKEN), 'sts', 'eu-west-1', expires=60).add_auth(request)
answer = good('sts presigned', ask('sts', 'GET', request.url, [], b''))
assert answer['token'] == TOKEN
bad('sts presigned', ask('sts', 'GET', request.url, [], b'', later_ms=70_000), 'SignatureDoesNotMatch')
# Paths that clients write in ways of their own.
for path in ('/a/b', '/a%2Fb', '/a//b/../c/', '/endpoints/x%20y/invocations', '/%E6%97%A5', "/a!b*c'(d)", '/a:b@c',
             '/a%253Ab'):
    for query in ('', '?b=2&a=1', '?a=%20&a=', '?x', '?a=b%3Dc%26', '?A=1&a=2', '?a-=1&a=2'):
        request = AWSRequest('GET', f'https://host.example.com{path}{query}', headers={'My-Header': '  a   b  '})
        SigV4Auth(Credentials(KEY, SECRET), 'sagemaker', 'eu-west-1').add_auth(request)
        good(request.url, ask('sagemaker', 'GET', request.url, request.headers.items(), b''))


# Signed chunks.
def sign(key, data):
    return hmac.new(key, data.encode(), hashlib.sha256).digest()


def signed_body(seed, amz_date, data, chunk, trailer):
    date = amz_date[:8]
    scope = f'{date}/eu-west-1/s3/aws4_request'
    key = sign(sign(sign(sign(('AWS4' + SECRET).encode(), date), 'eu-west-1'), 's3'), 'aws4_request')
    empty, out, previous = hashlib.sha256(b'').hexdigest(), b'', seed
    for at in list(range(0, len(data), chunk)) + [len(data)]:
        piece = data[at:at + chunk]
        previous = sign(key, '\n'.join(['AWS4-HMAC-SHA256-PAYLOAD', amz_date, scope, previous, empty,
                                        hashlib.sha256(piece).hexdigest()])).hex()
        out += f'{len(piece):x};chunk-signature={previous}\r\n'.encode() + piece + (b'\r\n' if piece else b'')
    if not trailer:
        return out + b'\r\n'
    line = 'x-amz-checksum-crc32c:sOO8/Q=='
    previous = sign(key, '\n'.join(['AWS4-HMAC-SHA256-TRAILER', amz_date, scope, previous,
                                    hashlib.sha256((line + '\n').encode()).hexdigest()])).hex()
    return out + f'{line}\r\nx-amz-trailer-signature:{previous}\r\n\r\n'.encode()


for trailer in (False, True):
    for size in (0, 1, 8192, 100_000):
        data = bytes(i % 251 for i in range(size))
        payload = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD' + ('-TRAILER' if trailer else '')
        request = AWSRequest('PUT', 'https://s3.example.com/bucket/key', headers={
            'X-Amz-Content-SHA256': payload, 'x-amz-decoded-content-length': str(size),
            'Content-Encoding': 'aws-chunked'})

        class Streaming(S3SigV4Auth):
            def payload(self, request):
                return payload

        signer = Streaming(Credentials(KEY, SECRET), 's3', 'eu-west-1')
        signer.add_auth(request)
        headers = [(k, payload if k.lower() == 'x-amz-content-sha256' else v) for k, v in request.headers.items()]
        seed = request.headers['Authorization'].rsplit('Signature=', 1)[1]
        body = signed_body(seed, request.headers['X-Amz-Date'], data, 16384, trailer)
        answer = good(f'chunks of {size}', ask('s3', 'PUT', request.url, headers, body))
        assert answer['decoded_sha256'] == hashlib.sha256(data).hexdigest()
        if trailer:
            assert answer['x-amz-checksum-crc32c'] == 'sOO8/Q=='
            bad('trailer changed', ask('s3', 'PUT', request.url, headers, body.replace(b'sOO8', b'tOO8')),
                'SignatureDoesNotMatch')
        if size > 20000:
            changed = bytearray(body)
            changed[20000] ^= 1
            bad('a byte changed', ask('s3', 'PUT', request.url, headers, bytes(changed)), 'SignatureDoesNotMatch')

probe.stdin.close()
print(f'{checked} signatures taken, {refused} forgeries refused')

"""One GET from S3, signed with the credentials of the container: the source archive, before anything is installed.

A stdlib client of 80 lines: boto3 takes 200 ms to import, and an image need not have it."""
import datetime
import hashlib
import hmac
import html
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

from sagebrush_toolkit.layout import Failure

EMPTY = hashlib.sha256(b'').hexdigest()


def split(uri):
    """s3://bucket/key"""
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme != 's3' or not parts.netloc or len(parts.path) < 2:
        raise Failure(f'{uri} is no S3 URI of an object (s3://bucket/key).')
    # A key may hold '?' and '#', which urlsplit takes for its own.
    return parts.netloc, uri[len('s3://') + len(parts.netloc) + 1:]


def credentials(environment):
    """(key id, secret, token or None): the role of the container, else what the environment says."""
    address = environment.get('AWS_CONTAINER_CREDENTIALS_FULL_URI')
    if not address and environment.get('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'):
        address = 'http://169.254.170.2' + environment['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']
    if environment.get('AWS_ACCESS_KEY_ID') and environment.get('AWS_SECRET_ACCESS_KEY'):
        return (environment['AWS_ACCESS_KEY_ID'], environment['AWS_SECRET_ACCESS_KEY'],
                environment.get('AWS_SESSION_TOKEN'))
    if not address:
        raise Failure('There are no credentials in the container to fetch the source archive with: neither '
                      'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_ACCESS_KEY_ID is set.')
    request = urllib.request.Request(address)
    if environment.get('AWS_CONTAINER_AUTHORIZATION_TOKEN'):
        request.add_header('Authorization', environment['AWS_CONTAINER_AUTHORIZATION_TOKEN'])
    with urllib.request.urlopen(request, timeout=5) as answer:
        found = json.load(answer)
    return found['AccessKeyId'], found['SecretAccessKey'], found.get('Token')


def signed(url, region, keys, now):
    """The headers of a GET (AWS Signature Version 4)."""
    parts = urllib.parse.urlsplit(url)
    moment = now.strftime('%Y%m%dT%H%M%SZ')
    scope = f'{moment[:8]}/{region}/s3/aws4_request'
    headers = {'host': parts.netloc, 'x-amz-content-sha256': EMPTY, 'x-amz-date': moment}
    if keys[2]:
        headers['x-amz-security-token'] = keys[2]
    names = ';'.join(sorted(headers))
    lines = [f'{name}:{headers[name]}' for name in sorted(headers)]
    canonical = '\n'.join(['GET', parts.path, parts.query, *lines, '', names, EMPTY])
    text = '\n'.join(['AWS4-HMAC-SHA256', moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b'AWS4' + keys[1].encode()
    for part in (moment[:8], region, 's3', 'aws4_request', text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    headers['authorization'] = (f'AWS4-HMAC-SHA256 Credential={keys[0]}/{scope}, SignedHeaders={names}, '
                                f'Signature={key.hex()}')
    del headers['host']  # urllib writes it
    return headers


def told(error):
    """What S3 says in an error's XML: its code and its words."""
    text = error.read(4000).decode('utf-8', 'replace')
    found = [re.search(f'<{tag}>(.*?)</{tag}>', text, re.S) for tag in ('Code', 'Message')]
    if not all(found):
        return f'{error.code} {error.reason}'
    return f'{html.unescape(found[0][1])} ({error.code}): {html.unescape(found[1][1])}'


def download(uri, path, environment=os.environ):
    bucket, key = split(uri)
    region = environment.get('AWS_REGION') or environment.get('AWS_DEFAULT_REGION') or 'us-east-1'
    endpoint = (environment.get('AWS_ENDPOINT_URL_S3') or environment.get('S3_ENDPOINT_URL') or
                environment.get('AWS_ENDPOINT_URL') or f'https://s3.{region}.amazonaws.com')
    url = f'{endpoint.rstrip("/")}/{bucket}/{urllib.parse.quote(key, safe="/-_.~")}'
    context = None
    if url.startswith('https'):
        context = ssl.create_default_context(cafile=environment.get('AWS_CA_BUNDLE') or None)
    for attempt in range(4):
        try:
            now = datetime.datetime.now(datetime.timezone.utc)
            request = urllib.request.Request(url, headers=signed(url, region, credentials(environment), now))
            with urllib.request.urlopen(request, timeout=60, context=context) as answer, open(path, 'wb') as f:
                shutil.copyfileobj(answer, f, 1 << 20)
                if f.tell() == int(answer.headers.get('Content-Length', f.tell())):
                    return
            trouble = 'the connection broke in the middle of it'
        except urllib.error.HTTPError as error:
            trouble = told(error)
            if error.code < 500:
                break
        except OSError as error:
            trouble = str(error)
        time.sleep(0.2 * 4 ** attempt)
    raise Failure(f'Cannot download {uri}: {trouble}')

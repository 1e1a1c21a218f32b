"""Requests that are not signed as they must be: AWS's codes and statuses, service by service.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import datetime
import hashlib
import http.client
import json
import re
import urllib.parse

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from story_data import unique

# How far a client's clock may be off, in minutes: S3 allows more than the others.
SKEW_MINUTES = {"s3": 15}
SKEW_MINUTES_ELSEWHERE = 5


class Service:
    """A request that would succeed, or fail for its content alone, if it were signed."""

    def __init__(self, name, path, body, headers, method="POST", signer=botocore.auth.SigV4Auth):
        self.name, self.path, self.body, self.headers, self.method = name, path, body, headers, method
        self.signer = signer


def target(prefix, version):
    return {"Content-Type": f"application/x-amz-json-{version}", "X-Amz-Target": prefix}


SERVICES = {
    service.name: service
    for service in [
        Service("s3", "/", b"", {}, "GET", botocore.auth.S3SigV4Auth),
        Service("states", "/", b"{}", target("AWSStepFunctions.ListStateMachines", "1.0")),
        Service(
            "sts",
            "/",
            b"Action=GetCallerIdentity&Version=2011-06-15",
            {"Content-Type": "application/x-www-form-urlencoded"},
        ),
        Service("lambda", "/2015-03-31/functions", b"", {}, "GET"),
        Service("sagemaker", "/", b"{}", target("SageMaker.ListEndpoints", "1.1")),
        Service("sagemaker-runtime", "/endpoints/nobody/invocations", b"x", {"Content-Type": "image/png"}),
    ]
}
# The runtime's signing name is the control plane's.
SIGNING_NAMES = {"sagemaker-runtime": "sagemaker"}

# What a service answers: code and status. JSON services have 400, the REST ones 403.
UNKNOWN_KEY = {
    "s3": ("InvalidAccessKeyId", 403),
    "states": ("UnrecognizedClientException", 400),
    "sts": ("InvalidClientTokenId", 403),
    "lambda": ("UnrecognizedClientException", 403),
    "sagemaker": ("UnrecognizedClientException", 400),
    "sagemaker-runtime": ("UnrecognizedClientException", 403),
}
MISMATCH = {
    "s3": ("SignatureDoesNotMatch", 403),
    "states": ("InvalidSignatureException", 400),
    "sts": ("SignatureDoesNotMatch", 403),
    "lambda": ("InvalidSignatureException", 403),
    "sagemaker": ("InvalidSignatureException", 400),
    "sagemaker-runtime": ("InvalidSignatureException", 403),
}
MISSING = {
    "s3": ("AccessDenied", 403),
    "states": ("MissingAuthenticationTokenException", 400),
    "sts": ("MissingAuthenticationToken", 403),
    "lambda": ("MissingAuthenticationTokenException", 403),
    "sagemaker": ("MissingAuthenticationTokenException", 400),
    "sagemaker-runtime": ("MissingAuthenticationTokenException", 403),
}
SKEWED = {**MISMATCH, "s3": ("RequestTimeTooSkewed", 403)}


@pytest.fixture
def send(server, monkeypatch):
    """Signs a request, lets the test spoil it, sends it; gives code, status and body."""

    def send(service, key=None, secret=None, shift=None, sign=True, spoil=lambda request: None, add=()):
        request = AWSRequest(service.method, server.endpoint + service.path, dict(service.headers), service.body)
        if sign:
            if shift:
                now = datetime.datetime.now(datetime.UTC) + shift
                monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: now)
            credentials = Credentials(
                key or server.environment["AWS_ACCESS_KEY_ID"], secret or server.environment["AWS_SECRET_ACCESS_KEY"]
            )
            signing_name = SIGNING_NAMES.get(service.name, service.name)
            service.signer(credentials, signing_name, "us-east-1").add_auth(request)
        spoil(request)
        for name, value in add:
            request.headers[name] = value
        return exchange(server, service.method, service.path, request.headers, request.data)

    return send


def exchange(server, method, path, headers, body):
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, path, body or None, dict(headers.items()))
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    return error_code(response.headers, text), response.status, text


def error_code(headers, text):
    """The code of an error in any of AWS's forms."""
    if found := headers.get("x-amzn-ErrorType"):
        return found.split(":")[0]
    if found := re.search(r"<Code>(\w+)</Code>", text):
        return found[1]
    try:
        return json.loads(text).get("__type", "").rpartition("#")[2]
    except ValueError:
        return ""


def every(services=SERVICES):
    return pytest.mark.parametrize("name", list(services))


@every()
def test_a_signed_request_is_let_in(send, name):
    code, status, text = send(SERVICES[name])
    if name == "sagemaker-runtime":
        assert (code, status) == ("ValidationError", 400)  # There is no such endpoint.
    else:
        assert (code, status) == ("", 200), text


@every()
def test_an_unknown_key(send, name):
    code, status, text = send(SERVICES[name], key="AKIAIOSFODNN7EXAMPLE")
    assert (code, status) == UNKNOWN_KEY[name], text


@every()
def test_a_wrong_secret(send, name):
    code, status, text = send(SERVICES[name], secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    assert (code, status) == MISMATCH[name]
    assert "signature we calculated does not match the signature you provided" in text


@every()
def test_no_signature(send, name):
    code, status, text = send(SERVICES[name], sign=False)
    assert (code, status) == MISSING[name], text


def skew(name, sign, more):
    """What `name` tolerates, in the direction of `sign`, and `more` minutes."""
    return sign * datetime.timedelta(minutes=SKEW_MINUTES.get(name, SKEW_MINUTES_ELSEWHERE) + more)


@pytest.mark.parametrize(("sign", "words"), [(-1, "Signature expired:"), (1, "Signature not yet current:")])
@every()
def test_a_skewed_clock(send, name, sign, words):
    code, status, text = send(SERVICES[name], shift=skew(name, sign, 1))
    assert (code, status) == SKEWED[name]
    if name == "s3":
        words = "The difference between the request time and the current time is too large."
    assert words in text


@pytest.mark.parametrize("sign", [-1, 1])
@every()
def test_a_clock_within_the_skew(send, name, sign):
    assert send(SERVICES[name], shift=skew(name, sign, -1))[0] in ("", "ValidationError")


@every([name for name, service in SERVICES.items() if service.body])
def test_a_tampered_body(send, name):
    def spoil(request):
        request.data = request.data + b" "

    code, status, text = send(SERVICES[name], spoil=spoil)
    assert (code, status) == MISMATCH[name], text


def test_a_tampered_upload_is_not_stored(server, s3, send):
    bucket = unique("tampered")
    s3.create_bucket(Bucket=bucket)
    upload = Service("s3", f"/{bucket}/key", b"what was signed", {}, "PUT", botocore.auth.S3SigV4Auth)

    def spoil(request):
        # The signer has put the hash of the true body into a header, which is signed.
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(b"what was signed").hexdigest()
        request.data = b"what was stolen"

    code, status, _ = send(upload, spoil=spoil)
    assert (code, status) in [("XAmzContentSHA256Mismatch", 400), ("SignatureDoesNotMatch", 403)]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@every()
def test_a_tampered_path(send, server, name):
    """The signature is of another path or query."""
    service = SERVICES[name]
    changed = Service(name, service.path + "?added=1", service.body, service.headers, service.method, service.signer)
    credentials = Credentials(server.environment["AWS_ACCESS_KEY_ID"], server.environment["AWS_SECRET_ACCESS_KEY"])
    request = AWSRequest(service.method, server.endpoint + service.path, dict(service.headers), service.body)
    service.signer(credentials, SIGNING_NAMES.get(name, name), "us-east-1").add_auth(request)
    code, status, text = exchange(server, changed.method, changed.path, request.headers, request.data)
    assert (code, status) == MISMATCH[name], text


def test_s3_names_the_region_to_sign_for(server, s3):
    """boto3 signs again where a bucket is named; other services do not look at the region."""
    bucket = unique("region")
    s3.create_bucket(Bucket=bucket)
    elsewhere = {name: server.client(name, region_name="eu-west-3") for name in ("s3", "stepfunctions")}
    with pytest.raises(ClientError) as refused:
        elsewhere["s3"].list_buckets()
    error = refused.value.response["Error"]
    assert error["Code"] == "AuthorizationHeaderMalformed"
    assert error["Message"].endswith("the region 'eu-west-3' is wrong; expecting 'us-east-1'")
    assert error["Region"] == "us-east-1"
    assert elsewhere["s3"].list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert "stateMachines" in elsewhere["stepfunctions"].list_state_machines()


def test_s3_asks_for_the_hash_of_the_body(send):
    def spoil(request):
        del request.headers["X-Amz-Content-SHA256"]

    code, status, text = send(SERVICES["s3"], spoil=spoil)
    assert (code, status) == ("InvalidRequest", 400)
    assert "Missing required header for this request: x-amz-content-sha256" in text


def test_a_header_of_amazon_that_is_not_signed(send):
    code, status, text = send(SERVICES["s3"], add=[("X-Amz-Meta-Added", "by somebody between")])
    assert (code, status) == ("AccessDenied", 403)
    assert "There were headers present in the request which were not signed" in text
    assert "x-amz-meta-added" in text


@every()
def test_a_signature_without_its_parts(send, name):
    def spoil(request):
        value = request.headers["Authorization"]
        del request.headers["Authorization"]
        request.headers["Authorization"] = re.sub(r", Signature=.*", "", value)

    code, status, text = send(SERVICES[name], spoil=spoil)
    expected = {"s3": "AuthorizationHeaderMalformed", "sts": "IncompleteSignature"}
    assert code == expected.get(name, "IncompleteSignatureException"), text
    # AWS documents both, service by service.
    assert status in (400, 403)


# Presigned


@pytest.fixture
def stored(s3):
    bucket = unique("presigned")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a key", Body=b"what is inside")
    return bucket


def presign(s3, stored, seconds=60):
    url = s3.generate_presigned_url("get_object", Params={"Bucket": stored, "Key": "a key"}, ExpiresIn=seconds)
    parts = urllib.parse.urlsplit(url)
    return f"{parts.path}?{parts.query}"


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_url_reads_the_object(server, stored, version):
    path = presign(server.client("s3", signature_version=version), stored)
    assert exchange(server, "GET", path, {}, b"") == ("", 200, "what is inside")
    code, status, _ = exchange(server, "PUT", path, {}, b"other")
    assert (code, status) == ("SignatureDoesNotMatch", 403)


def test_an_expired_url(server, stored, monkeypatch):
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=2)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: past)
    path = presign(server.client("s3", signature_version="s3v4"), stored)
    code, status, text = exchange(server, "GET", path, {}, b"")
    assert (code, status) == ("AccessDenied", 403)
    assert "<Message>Request has expired</Message>" in text
    path = presign(server.client("s3", signature_version="s3v4"), stored, seconds=600)
    assert exchange(server, "GET", path, {}, b"")[1] == 200


def test_a_url_may_not_live_longer_than_a_week(server, stored):
    path = presign(server.client("s3", signature_version="s3v4"), stored, seconds=604801)
    code, status, _ = exchange(server, "GET", path, {}, b"")
    assert (code, status) == ("AuthorizationQueryParametersError", 400)


def test_a_tampered_url(server, stored):
    path = presign(server.client("s3", signature_version="s3v4"), stored)
    code, status, _ = exchange(server, "GET", path.replace("a%20key", "another"), {}, b"")
    assert (code, status) == ("SignatureDoesNotMatch", 403)


def test_health_needs_no_signature(server):
    code, status, text = exchange(server, "GET", "/_scones/health", {}, b"")
    assert status == 200
    assert server.environment["AWS_SECRET_ACCESS_KEY"] not in text


@pytest.mark.parametrize("expect", [None, "100-continue"])
def test_who_is_refused_before_the_body_is_read_is_told_that_the_connection_ends(endpoint, expect):
    """Otherwise the rest of the body and the next request could not be told apart."""
    host = urllib.parse.urlsplit(endpoint).netloc
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.putrequest("PUT", "/bucket/key")
    connection.putheader("Content-Length", "5")
    if expect:
        connection.putheader("Expect", expect)
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Connection")) == (403, "close")
    answer.read()
    connection.close()

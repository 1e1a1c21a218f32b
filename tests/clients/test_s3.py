"""S3 as boto3 and the AWS CLI use it, against the real server."""

import base64
import datetime
import hashlib
import http.client
import io
import json
import os
import random
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.compat import HAS_CRT
from botocore.config import Config
from botocore.exceptions import ClientError

MIB = 1024 * 1024
# The Common Runtime brings botocore the checksums that Python does not have.
ALGORITHMS = ["CRC32", "SHA1", "SHA256"] + (["CRC32C", "CRC64NVME"] if HAS_CRT else [])


@pytest.fixture
def bucket(s3):
    name = f"test-s3-{os.urandom(6).hex()}"
    s3.create_bucket(Bucket=name)
    yield name
    for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if keys:
            assert "Errors" not in s3.delete_objects(Bucket=name, Delete={"Objects": keys})
    s3.delete_bucket(Bucket=name)


def error_of(call, **arguments):
    """The code and status of the error that a call must end with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


# Buckets


def test_buckets_come_and_go(s3):
    name = f"test-s3-{os.urandom(6).hex()}"
    s3.create_bucket(Bucket=name)
    s3.create_bucket(Bucket=name)  # us-east-1 forgives
    assert name in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    s3.put_object(Bucket=name, Key="k", Body=b"")
    assert error_of(s3.delete_bucket, Bucket=name) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    assert error_of(s3.head_bucket, Bucket=name) == ("404", 404)
    assert error_of(s3.delete_bucket, Bucket=name) == ("NoSuchBucket", 404)
    assert error_of(s3.list_objects_v2, Bucket=name) == ("NoSuchBucket", 404)


def test_a_bucket_remembers_its_region(s3):
    name = f"test-s3-{os.urandom(6).hex()}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"
    s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize("name", ["Upper", "a.", "ab", "192.168.1.1", "xn--abc", "abc-s3alias"])
def test_bucket_names_are_checked(s3, name):
    assert error_of(s3.create_bucket, Bucket=name)[0] == "InvalidBucketName"


def test_buckets_are_paged(s3):
    prefix = f"page-{os.urandom(4).hex()}"
    names = [f"{prefix}-{index}" for index in range(5)]
    for name in names:
        s3.create_bucket(Bucket=name)
    pages = s3.get_paginator("list_buckets").paginate(Prefix=prefix, PaginationConfig={"PageSize": 2})
    assert [entry["Name"] for page in pages for entry in page["Buckets"]] == names
    for name in names:
        s3.delete_bucket(Bucket=name)


def test_versioning_is_refused_honestly(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    enable = {"Status": "Enabled"}
    assert error_of(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=enable) == ("NotImplemented", 501)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    [version] = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert (version["Key"], version["VersionId"], version["IsLatest"]) == ("k", "null", True)
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"x"


@pytest.mark.parametrize(
    "operation, code",
    [
        ("get_bucket_cors", "NoSuchCORSConfiguration"),
        ("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
        ("get_bucket_policy", "NoSuchBucketPolicy"),
        ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
        ("get_bucket_tagging", "NoSuchTagSet"),
        ("get_bucket_website", "NoSuchWebsiteConfiguration"),
        ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
        ("get_public_access_block", "NoSuchPublicAccessBlockConfiguration"),
    ],
)
def test_what_is_not_configured_says_so(s3, bucket, operation, code):
    assert error_of(getattr(s3, operation), Bucket=bucket) == (code, 404)
    assert error_of(getattr(s3, operation), Bucket="no-such-bucket-here") == ("NoSuchBucket", 404)


def test_what_is_not_built_says_so(s3, bucket):
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    assert error_of(s3.put_bucket_tagging, Bucket=bucket, Tagging=tags) == ("NotImplemented", 501)
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    assert error_of(s3.put_bucket_policy, Bucket=bucket, Policy=policy) == ("NotImplemented", 501)
    put = dict(Bucket=bucket, Key="k", Body=b"x")
    assert error_of(s3.put_object, **put, Tagging="a=b") == ("NotImplemented", 501)
    assert error_of(s3.put_object, **put, ServerSideEncryption="aws:kms") == ("NotImplemented", 501)
    assert error_of(s3.put_object, **put, ACL="public-read") == ("AccessControlListNotSupported", 400)
    assert error_of(s3.put_object, **put, StorageClass="GLACIER") == ("NotImplemented", 501)
    s3.put_object(**put, ACL="bucket-owner-full-control", StorageClass="STANDARD_IA")
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == "STANDARD_IA"


# Objects


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 3 * MIB + 7])
def test_an_object_comes_back_as_it_was_put(s3, bucket, size):
    body = noise(size)
    put = s3.put_object(Bucket=bucket, Key="folder/ü ñ+&=.bin", Body=body, ContentType="image/png", Metadata={"a": "1"})
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="folder/ü ñ+&=.bin")
    assert got["Body"].read() == body
    assert (got["ContentLength"], got["ContentType"], got["Metadata"]) == (size, "image/png", {"a": "1"})
    assert got["ETag"] == put["ETag"]


def test_headers_come_back(s3, bucket):
    headers = dict(
        CacheControl="max-age=5",
        ContentDisposition='attachment; filename="x"',
        ContentEncoding="gzip",
        ContentLanguage="de",
    )
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Expires="Thu, 01 Jan 2032 00:00:00 GMT", **headers)
    head = s3.head_object(Bucket=bucket, Key="k")
    assert {name: head[name] for name in headers} == headers
    assert head["ResponseMetadata"]["HTTPHeaders"]["expires"] == "Thu, 01 Jan 2032 00:00:00 GMT"
    assert head["ContentType"] == "binary/octet-stream"
    got = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="text/csv", ResponseCacheControl="no-store")
    assert (got["ContentType"], got["CacheControl"]) == ("text/csv", "no-store")


@pytest.mark.parametrize(
    "header, first, last",
    [("bytes=0-0", 0, 0), ("bytes=5-9", 5, 9), ("bytes=95-", 95, 99), ("bytes=-3", 97, 99), ("bytes=90-500", 90, 99)],
)
def test_ranges(s3, bucket, header, first, last):
    body = bytes(range(100))
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    got = s3.get_object(Bucket=bucket, Key="k", Range=header)
    assert got["Body"].read() == body[first : last + 1]
    assert got["ContentRange"] == f"bytes {first}-{last}/100"
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_ranges_beyond_the_end(s3, bucket, header):
    s3.put_object(Bucket=bucket, Key="k", Body=bytes(100))
    assert error_of(s3.get_object, Bucket=bucket, Key="k", Range=header) == ("InvalidRange", 416)


@pytest.mark.parametrize("header", ["bytes=0-1,3-4", "bytes=a-b", "bytes=5-2", "items=0-1"])
def test_ranges_that_are_ignored(s3, bucket, header):
    body = bytes(range(100))
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    got = s3.get_object(Bucket=bucket, Key="k", Range=header)
    assert (got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read()) == (200, body)
    head = s3.head_object(Bucket=bucket, Key="k", Range=header)
    assert (head["ResponseMetadata"]["HTTPStatusCode"], head["ContentLength"]) == (200, 100)


@pytest.mark.parametrize("key", ["a\x01b", "a\rb", "a\nb", "a\tb", "a\x7fb", "a<&>b"])
def test_keys_that_xml_can_hardly_carry(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [item["Key"] for item in listed] == [key]
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
    assert [item["Key"] for item in answer["Deleted"]] == [key.replace("\x01", "\ufffd")]
    assert error_of(s3.get_object, Bucket=bucket, Key=key) == ("NoSuchKey", 404)


def test_the_usual_encryption_may_be_asked_for(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="AES256")
    assert "ServerSideEncryption" not in put
    assert "ServerSideEncryption" not in s3.head_object(Bucket=bucket, Key="k")


def test_conditional_reads(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    head = s3.head_object(Bucket=bucket, Key="k")
    etag, modified = head["ETag"], head["LastModified"]
    object = dict(Bucket=bucket, Key="k")
    assert s3.get_object(**object, IfMatch=etag)["Body"].read() == b"x"
    assert error_of(s3.get_object, **object, IfMatch='"other"') == ("PreconditionFailed", 412)
    assert error_of(s3.get_object, **object, IfNoneMatch=etag) == ("304", 304)
    assert s3.get_object(**object, IfNoneMatch='"other"')["Body"].read() == b"x"
    assert error_of(s3.get_object, **object, IfModifiedSince=modified) == ("304", 304)
    assert error_of(s3.head_object, **object, IfNoneMatch=etag) == ("304", 304)
    earlier = modified.replace(year=modified.year - 1)
    assert error_of(s3.get_object, **object, IfUnmodifiedSince=earlier) == ("PreconditionFailed", 412)
    assert error_of(s3.get_object, Bucket=bucket, Key="none", IfMatch=etag) == ("NoSuchKey", 404)


def test_conditional_writes(s3, bucket):
    object = dict(Bucket=bucket, Key="k")
    first = s3.put_object(**object, Body=b"1", IfNoneMatch="*")["ETag"]
    assert error_of(s3.put_object, **object, Body=b"2", IfNoneMatch="*") == ("PreconditionFailed", 412)
    second = s3.put_object(**object, Body=b"2", IfMatch=first)["ETag"]
    assert error_of(s3.put_object, **object, Body=b"3", IfMatch=first) == ("PreconditionFailed", 412)
    assert error_of(s3.put_object, Bucket=bucket, Key="none", Body=b"3", IfMatch=first) == ("NoSuchKey", 404)
    assert s3.get_object(**object)["ETag"] == second


def test_copies(s3, bucket):
    body = noise(MIB)
    s3.put_object(Bucket=bucket, Key="a b/ü", Body=body, ContentType="image/png", Metadata={"m": "1"})
    source = {"Bucket": bucket, "Key": "a b/ü"}
    result = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)["CopyObjectResult"]
    assert result["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (body, "image/png", {"m": "1"})
    replaced = dict(MetadataDirective="REPLACE", Metadata={"n": "2"}, ContentType="text/plain")
    s3.copy_object(Bucket=bucket, Key="a b/ü", CopySource=source, **replaced)
    got = s3.get_object(**source)
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (body, "text/plain", {"n": "2"})
    assert error_of(s3.copy_object, Bucket=bucket, Key="a b/ü", CopySource=source) == ("InvalidRequest", 400)
    missing = {"Bucket": bucket, "Key": "none"}
    assert error_of(s3.copy_object, Bucket=bucket, Key="x", CopySource=missing) == ("NoSuchKey", 404)
    wrong = dict(CopySource=source, CopySourceIfMatch='"other"')
    assert error_of(s3.copy_object, Bucket=bucket, Key="x", **wrong) == ("PreconditionFailed", 412)


def test_deletions(s3, bucket):
    for key in ["a", "b", "c&<d>"]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    assert s3.delete_object(Bucket=bucket, Key="a")["ResponseMetadata"]["HTTPStatusCode"] == 204
    s3.delete_object(Bucket=bucket, Key="a")
    keys = [{"Key": "b"}, {"Key": "c&<d>"}, {"Key": "never"}]
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})["Deleted"]
    assert sorted(entry["Key"] for entry in deleted) == ["b", "c&<d>", "never"]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert error_of(s3.get_object, Bucket=bucket, Key="a") == ("NoSuchKey", 404)
    assert error_of(s3.head_object, Bucket=bucket, Key="a") == ("404", 404)


# Listings


@pytest.fixture
def tree(s3, bucket):
    keys = ["a", "a b", "a/1", "a/2", "a/x/1", "b", "b+c", "d/é", "d/日本", "z%20"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return sorted(keys, key=str.encode)


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_listings_are_paged(s3, bucket, tree, operation, size):
    pages = s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": size})
    member = "Versions" if operation == "list_object_versions" else "Contents"
    listed = [item["Key"] for page in pages for item in page.get(member, [])]
    assert listed == tree


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_common_prefixes(s3, bucket, tree, operation, size):
    arguments = dict(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size})
    keys, prefixes = [], []
    for page in s3.get_paginator(operation).paginate(**arguments):
        keys += [item["Key"] for item in page.get("Contents", [])]
        prefixes += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
    assert keys == [key for key in tree if "/" not in key]
    assert prefixes == ["a/", "d/"]


def test_listing_details(s3, bucket, tree):
    first = s3.list_objects_v2(Bucket=bucket, Prefix="a/", MaxKeys=1, FetchOwner=True)
    assert (first["KeyCount"], first["IsTruncated"], first["Prefix"]) == (1, True, "a/")
    [item] = first["Contents"]
    assert (item["Key"], item["Size"], item["StorageClass"]) == ("a/1", 3, "STANDARD")
    assert item["ETag"] == f'"{hashlib.md5(b"a/1").hexdigest()}"' and item["Owner"]["ID"]
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="b")["Contents"]
    assert [item["Key"] for item in after] == [key for key in tree if key > "b"]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    assert error_of(s3.list_objects_v2, Bucket=bucket, ContinuationToken="nonsense") == ("InvalidArgument", 400)


# Checksums and corrupted uploads


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksums_are_kept_and_echoed(s3, bucket, algorithm):
    member = f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="k", Body=noise(100_000), ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    got["Body"].read()
    assert put[member] == got[member]
    attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize", "ETag"])
    assert attributes["Checksum"] == {member: put[member], "ChecksumType": "FULL_OBJECT"}
    assert attributes["ObjectSize"] == 100_000
    assert member not in s3.head_object(Bucket=bucket, Key="k") or s3.meta.config.response_checksum_validation


@pytest.mark.parametrize(
    "declared, code",
    [
        (dict(ContentMD5=base64.b64encode(bytes(16)).decode()), "BadDigest"),
        (dict(ContentMD5="nonsense"), "InvalidDigest"),
        (dict(ChecksumCRC32="AAAAAA=="), "BadDigest"),
        (dict(ChecksumSHA256=base64.b64encode(bytes(32)).decode()), "BadDigest"),
        (dict(ChecksumSHA1="nonsense"), "InvalidRequest"),
    ],
)
def test_a_corrupted_upload_is_refused(s3, bucket, declared, code):
    assert error_of(s3.put_object, Bucket=bucket, Key="k", Body=b"body", **declared) == (code, 400)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def signed(s3, method, bucket, key, body):
    """A signed request's path and headers, to be changed afterwards."""
    arguments = dict(Bucket=bucket, Key=key, Body=body) if method == "put_object" else dict(Bucket=bucket, Key=key)
    kept = {}

    def keep(request, **_):
        kept["request"] = request
        raise StopIteration

    s3.meta.events.register_last("before-send.s3", keep)
    try:
        getattr(s3, method)(**arguments)
    except StopIteration:
        pass
    finally:
        s3.meta.events.unregister("before-send.s3", keep)
    request = kept["request"]
    url = urllib.parse.urlsplit(request.url)
    headers = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in request.headers.items()
        if name.lower() != "expect"
    }
    return url, headers


def test_another_body_than_the_signed_one_is_refused(s3, bucket):
    url, headers = signed(s3, "put_object", bucket, "k", b"signed body")
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    connection.request("PUT", url.path, b"another one", headers)
    response = connection.getresponse()
    assert response.status == 400 and b"XAmzContentSHA256Mismatch" in response.read()
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_broken_connection_stores_nothing(s3, bucket):
    url, headers = signed(s3, "put_object", bucket, "k", noise(MIB))
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    connection.putrequest("PUT", url.path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if "host" not in {name.lower() for name in headers}:
        connection.putheader("Host", url.netloc)
    connection.endheaders()
    connection.send(noise(MIB)[:1000])
    connection.close()
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_signatures_are_checked(s3, endpoint, bucket):
    url, headers = signed(s3, "get_object", bucket, "k", None)

    def answer(headers):
        connection = http.client.HTTPConnection(url.netloc, timeout=10)
        connection.request("GET", url.path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()

    assert answer(headers)[0] == 404
    authorization = headers["Authorization"]
    status, text = answer({**headers, "Authorization": authorization[:-4] + "0000"})
    assert status == 403 and "SignatureDoesNotMatch" in text and "<RequestId>" in text
    key = authorization.split("Credential=")[1].split("/")[0]
    status, text = answer({**headers, "Authorization": authorization.replace(key, "AKIDNOBODYKNOWSIT00")})
    assert status == 403 and "InvalidAccessKeyId" in text
    date = headers["X-Amz-Date"]
    old = str(int(date[:4]) - 1) + date[4:]
    skewed = authorization.replace(f"/{date[:8]}/", f"/{old[:8]}/")
    status, text = answer({**headers, "X-Amz-Date": old, "Authorization": skewed})
    assert status == 403 and "RequestTimeTooSkewed" in text
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{endpoint}/{bucket}")
    assert caught.value.code == 403


# Multipart


def upload_parts(s3, bucket, key, parts, **arguments):
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **arguments)
    named = []
    for number, body in enumerate(parts, 1):
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload["UploadId"], PartNumber=number, Body=body)
        checksums = {name: value for name, value in part.items() if name.startswith("Checksum")}
        named.append({"PartNumber": number, "ETag": part["ETag"], **checksums})
    return upload["UploadId"], named


def test_a_multipart_upload(s3, bucket):
    parts = [noise(5 * MIB, 1), noise(5 * MIB, 2), noise(123, 3)]
    upload, named = upload_parts(s3, bucket, "big", parts, ContentType="x/y", Metadata={"a": "b"})
    listed = s3.list_parts(Bucket=bucket, Key="big", UploadId=upload)
    assert [(part["PartNumber"], part["Size"]) for part in listed["Parts"]] == [(1, 5 * MIB), (2, 5 * MIB), (3, 123)]
    assert [entry["UploadId"] for entry in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    object = dict(Bucket=bucket, Key="big")
    done = s3.complete_multipart_upload(**object, UploadId=upload, MultipartUpload={"Parts": named})
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    got = s3.get_object(**object)
    assert got["Body"].read() == b"".join(parts)
    assert (got["ContentType"], got["Metadata"]) == ("x/y", {"a": "b"})
    across = s3.get_object(**object, Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}")["Body"].read()
    assert across == parts[0][-2:] + parts[1][:2]
    second = s3.get_object(**object, PartNumber=2)
    assert second["Body"].read() == parts[1] and second["PartsCount"] == 3
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    # A repeated completion, as after a lost answer, is the same success.
    again = s3.complete_multipart_upload(**object, UploadId=upload, MultipartUpload={"Parts": named})
    assert again["ETag"] == done["ETag"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_multipart_checksums(s3, bucket, algorithm):
    parts = [noise(5 * MIB, 1), noise(1000, 2)]
    kinds = {"CRC64NVME": ["FULL_OBJECT"], "SHA1": ["COMPOSITE"], "SHA256": ["COMPOSITE"]}
    for kind in kinds.get(algorithm, ["COMPOSITE", "FULL_OBJECT"]):
        upload = s3.create_multipart_upload(
            Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType=kind
        )["UploadId"]
        target = dict(Bucket=bucket, Key="k", UploadId=upload)
        named = []
        for number, body in enumerate(parts, 1):
            part = s3.upload_part(**target, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm)
            member = f"Checksum{algorithm}"
            named.append({"PartNumber": number, "ETag": part["ETag"], member: part[member]})
        done = s3.complete_multipart_upload(**target, MultipartUpload={"Parts": named})
        got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert got["Body"].read() == b"".join(parts)
        assert done["ChecksumType"] == got["ChecksumType"] == kind
        assert got[member] == done[member]
        if kind == "COMPOSITE":
            assert done[member].endswith("-2")
        if (algorithm, kind) == ("CRC32", "FULL_OBJECT"):
            expect = base64.b64encode(zlib.crc32(b"".join(parts)).to_bytes(4, "big")).decode()
            assert done[member] == expect


def test_wrong_completions(s3, bucket):
    upload, named = upload_parts(s3, bucket, "k", [noise(5 * MIB, 1), noise(10, 2), noise(10, 3)])

    def complete(parts):
        return error_of(
            s3.complete_multipart_upload,
            Bucket=bucket,
            Key="k",
            UploadId=upload,
            MultipartUpload={"Parts": parts},
        )

    assert complete(named) == ("EntityTooSmall", 400)
    assert complete(named[1::-1]) == ("InvalidPartOrder", 400)
    assert complete([{**named[0], "ETag": '"other"'}]) == ("InvalidPart", 400)
    assert complete([{**named[0], "PartNumber": 7}]) == ("InvalidPart", 400)
    assert complete([]) == ("MalformedXML", 400)
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    assert complete(named[:1]) == ("NoSuchUpload", 404)
    assert error_of(s3.list_parts, Bucket=bucket, Key="k", UploadId=upload) == ("NoSuchUpload", 404)


def test_parts_are_copied(s3, bucket):
    body = noise(6 * MIB)
    s3.put_object(Bucket=bucket, Key="source", Body=body)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    named = []
    for number, last in enumerate([5 * MIB - 1, 6 * MIB - 1], 1):
        first = (number - 1) * 5 * MIB
        copied = s3.upload_part_copy(
            Bucket=bucket,
            Key="k",
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": bucket, "Key": "source"},
            CopySourceRange=f"bytes={first}-{last}",
        )["CopyPartResult"]
        named.append({"PartNumber": number, "ETag": copied["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": named})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body


def test_the_transfer_manager(s3, bucket, tmp_path):
    body = noise(20 * MIB)
    s3.upload_fileobj(io.BytesIO(body), bucket, "k", Config=TransferConfig(multipart_threshold=8 * MIB))
    s3.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy")
    target = tmp_path / "got"
    s3.download_file(bucket, "copy", str(target))
    assert target.read_bytes() == body


# Presigned URLs


@pytest.fixture(params=["s3", "s3v4"])
def presigner(request, s3, endpoint):
    """A client for each of the two kinds of presigned URLs."""
    keys = s3._request_signer._credentials
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        config=Config(signature_version=request.param),
    )


def fetch(url, method="GET", body=None):
    """A request as curl would make it: no header but what it must have."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request(method, f"{parts.path}?{parts.query}", body)
    response = connection.getresponse()
    return response.status, response.read()


def test_presigned_urls(presigner, bucket):
    def url(operation, key="k ü", **arguments):
        return presigner.generate_presigned_url(operation, Params={"Bucket": bucket, "Key": key}, **arguments)

    assert fetch(url("put_object"), "PUT", b"presigned")[0] == 200
    assert fetch(url("get_object")) == (200, b"presigned")
    status, text = fetch(url("get_object").replace("k%20", "l%20"))
    assert status == 403 and b"SignatureDoesNotMatch" in text
    status, text = fetch(url("get_object"), "PUT", b"other")
    assert status == 403 and b"SignatureDoesNotMatch" in text
    if presigner.meta.config.signature_version == "s3v4":
        status, text = fetch(url("get_object", ExpiresIn=8 * 86400))
        assert status == 400 and b"AuthorizationQueryParametersError" in text


def test_an_expired_url(presigner, bucket, monkeypatch):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 120)
    if presigner.meta.config.signature_version == "s3v4":
        past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=120)
        modules = ["botocore.auth", "botocore.crt.auth"] if HAS_CRT else ["botocore.auth"]
        for module in modules:
            monkeypatch.setattr(f"{module}.get_current_datetime", lambda **_: past)
    url = presigner.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    monkeypatch.undo()
    status, text = fetch(url)
    assert status == 403 and b"AccessDenied" in text and b"Request has expired" in text


# The AWS CLI


def test_the_cli_tells_the_same_story(run_aws, s3, bucket, tmp_path):
    def aws(*arguments):
        result = run_aws(["s3", *arguments])
        assert result.returncode == 0, result.stderr
        return result.stdout if isinstance(result.stdout, str) else result.stdout.decode()

    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    bodies = {"a.png": noise(100), "deep/b c.png": noise(200), "big.bin": noise(9 * MIB)}
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    aws("sync", str(folder), f"s3://{bucket}/set")
    assert aws("sync", str(folder), f"s3://{bucket}/set").strip() == ""
    listing = aws("ls", f"s3://{bucket}/set/", "--recursive")
    assert [line.split(None, 3)[2:] for line in listing.splitlines()] == [
        ["100", "set/a.png"],
        [str(9 * MIB), "set/big.bin"],
        ["200", "set/deep/b c.png"],
    ]
    assert "PRE set/" in aws("ls", f"s3://{bucket}/")
    back = tmp_path / "back"
    aws("cp", f"s3://{bucket}/set", str(back), "--recursive")
    assert {name: (back / name).read_bytes() for name in bodies} == bodies
    aws("mv", f"s3://{bucket}/set/a.png", f"s3://{bucket}/moved.png")
    assert s3.get_object(Bucket=bucket, Key="moved.png")["ContentType"] == "image/png"
    url = aws("presign", f"s3://{bucket}/moved.png").strip()
    assert urllib.request.urlopen(url).read() == bodies["a.png"]
    aws("rm", f"s3://{bucket}/set", "--recursive")
    other = f"test-s3-{os.urandom(6).hex()}"
    aws("mb", f"s3://{other}")
    aws("cp", str(folder / "a.png"), f"s3://{other}/x")
    assert run_aws(["s3", "rb", f"s3://{other}"], check=False).returncode != 0
    aws("rb", f"s3://{other}", "--force")
    assert other not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]

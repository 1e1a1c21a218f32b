"""serializeImageData: an object of S3 becomes base64 in the event."""

import base64

import boto3

s3 = boto3.client("s3")


def lambda_handler(event, context):
    """Reads s3://s3_bucket/s3_key and passes it on as image_data."""
    bucket, key = event["s3_bucket"], event["s3_key"]
    image = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    # An endpoint or a threshold for this execution alone travels along.
    own = {name: event[name] for name in ("endpoint", "threshold") if name in event}
    return {
        "statusCode": 200,
        "body": {
            # Bytes, which the runtime decodes, as much as text.
            "image_data": base64.b64encode(image),
            "s3_bucket": bucket,
            "s3_key": key,
            "inferences": [],
            **own,
        },
    }

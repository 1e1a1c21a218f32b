"""filterInferences: a confident answer passes, another ends the execution."""

import os

THRESHOLD = float(os.environ.get("THRESHOLD", "0.93"))


class THRESHOLD_CONFIDENCE_NOT_MET(Exception):
    """Named as the error that the state machine fails with."""


def lambda_handler(event, context):
    """Gives the event back if one of its inferences is above THRESHOLD, or the event's own."""
    body = event["body"]
    inferences, threshold = body["inferences"], body.get("threshold", THRESHOLD)
    if not any(inference > threshold for inference in inferences):
        raise THRESHOLD_CONFIDENCE_NOT_MET(
            f"THRESHOLD_CONFIDENCE_NOT_MET: none of {inferences} is above {threshold}"
        )
    return {"statusCode": 200, "body": body}

"""filterInferences: a confident answer passes, another ends the execution."""

import os

THRESHOLD = float(os.environ.get("THRESHOLD", "0.93"))


class THRESHOLD_CONFIDENCE_NOT_MET(Exception):
    """Named as the error that the state machine fails with."""


def lambda_handler(event, context):
    """Gives the event back if one of its inferences is above the threshold."""
    inferences = event["body"]["inferences"]
    if not any(inference > THRESHOLD for inference in inferences):
        message = "THRESHOLD_CONFIDENCE_NOT_MET: none of {} is above {}".format(inferences, THRESHOLD)
        raise THRESHOLD_CONFIDENCE_NOT_MET(message)
    return {"statusCode": 200, "body": event["body"]}

"""Starts an execution of the state machine for each of some photographs and
prints how it ends.

    scones up                 # in another terminal, after `scones demo`
    eval "$(scones env)"
    python3 client.py --count 10 --threshold 0.9
"""

import argparse
import json
import time

import boto3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bucket", default="scones-unlimited", help="where the photographs are")
    parser.add_argument("--machine", default="scones-unlimited", help="the state machine's name")
    parser.add_argument("--count", type=int, default=5, help="how many photographs")
    parser.add_argument("--threshold", type=float, help="the confidence to exceed, instead of the function's own")
    parser.add_argument("--endpoint", help="the endpoint to ask, instead of the function's own")
    return parser.parse_args()


def photographs(bucket, count):
    """The keys of the first test images."""
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix="test/", MaxKeys=count)
    return [found["Key"] for found in listed.get("Contents", [])]


def machine_arn(states, name):
    pages = states.get_paginator("list_state_machines").paginate()
    for machine in pages.search("stateMachines[]"):
        if machine["name"] == name:
            return machine["stateMachineArn"]
    raise SystemExit(f"There is no state machine {name}: run `scones demo` first.")


def ended(states, execution):
    """The description of an execution, once it has ended."""
    while True:
        description = states.describe_execution(executionArn=execution)
        if description["status"] != "RUNNING":
            return description
        time.sleep(0.1)


def failure(description):
    """Why an execution failed: a function's cause is JSON with its message."""
    error, cause = description.get("error"), description.get("cause", "")
    try:
        cause = json.loads(cause)["errorMessage"]
    except (ValueError, KeyError, TypeError):
        pass
    return cause if error and cause.startswith(error) else f"{error}: {cause}"


def main():
    options = arguments()
    states = boto3.client("stepfunctions")
    machine = machine_arn(states, options.machine)
    own = {name: value for name in ("threshold", "endpoint") if (value := getattr(options, name)) is not None}
    executions = {}
    for key in photographs(options.bucket, options.count):
        given = json.dumps({"s3_bucket": options.bucket, "s3_key": key, **own})
        started = states.start_execution(stateMachineArn=machine, input=given)
        executions[key] = started["executionArn"]
    for key, execution in executions.items():
        description = ended(states, execution)
        if description["status"] == "SUCCEEDED":
            result = json.loads(description["output"])["body"]["inferences"]
        else:
            result = failure(description)
        print(f"{key}  {description['status']}  {result}")


if __name__ == "__main__":
    main()

"""Distributed maps from one bucket into another, as boto3 sees them."""

import gzip
import json

import pytest

from harness import ROOT, create_machine, ended, wait_for

ROWS = 200


def definition(processor, **fields):
    """A map from data/items.csv of the bucket `data` into the bucket `results`."""
    state = {
        "Type": "Map",
        "Label": "Rows",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"},
            "Parameters": {"Bucket": "data", "Key": "items.csv"},
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Step",
            "States": {"Step": {**processor, "End": True}},
        },
        "ResultWriter": {
            "Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": "results", "Prefix": "runs"},
        },
        "End": True,
    }
    return {"StartAt": "Map", "States": {"Map": {**state, **fields}}}


def put_rows(aws, pack=lambda text: text):
    rows = "id,name\n" + "".join(f'{number},"row, {number}"\n' for number in range(ROWS))
    aws.s3.create_bucket(Bucket="data")
    aws.s3.create_bucket(Bucket="results")
    aws.s3.put_object(Bucket="data", Key="items.csv", Body=pack(rows.encode()))


def read_json(aws, key):
    return json.loads(aws.s3.get_object(Bucket="results", Key=key)["Body"].read())


def map_run(aws, execution):
    """The one map run of an execution, once it has begun."""
    listed = wait_for(
        lambda: aws.states.list_map_runs(executionArn=execution)["mapRuns"], what=f"a map run of {execution}"
    )
    assert len(listed) == 1
    return listed[0]["mapRunArn"]


def results(aws, execution):
    """What the files of an execution's run say about the children that succeeded."""
    described = ended(aws.states, execution)
    assert described["status"] == "SUCCEEDED", described
    written = json.loads(described["output"])["ResultWriterDetails"]
    manifest = read_json(aws, written["Key"])
    assert manifest["DestinationBucket"] == written["Bucket"] == "results"
    assert manifest["ResultFiles"]["FAILED"] == manifest["ResultFiles"]["PENDING"] == []
    children = []
    for file in manifest["ResultFiles"]["SUCCEEDED"]:
        assert aws.s3.head_object(Bucket="results", Key=file["Key"])["ContentLength"] == file["Size"]
        children += read_json(aws, file["Key"])
    return children


@pytest.mark.parametrize("pack", [lambda text: text, gzip.compress], ids=["plain", "gzip"])
def test_rows_become_results(own, pack):
    put_rows(own, pack)
    machine = create_machine(own.states, "rows", definition({"Type": "Pass"}))
    execution = own.states.start_execution(stateMachineArn=machine)["executionArn"]
    children = results(own, execution)
    items = [json.loads(child["Output"]) for child in children]
    assert items == [{"id": str(number), "name": f"row, {number}"} for number in range(ROWS)]
    run = own.states.describe_map_run(mapRunArn=map_run(own, execution))
    assert (run["status"], run["itemCounts"]["succeeded"], run["itemCounts"]["resultsWritten"]) == (
        "SUCCEEDED",
        ROWS,
        ROWS,
    )
    pages = own.states.get_paginator("list_executions").paginate(mapRunArn=run["mapRunArn"])
    listed = {child["executionArn"] for page in pages for child in page["executions"]}
    assert listed == {child["ExecutionArn"] for child in children}


def test_objects_of_a_prefix_are_items(own):
    put_rows(own)
    for number in range(3):
        own.s3.put_object(Bucket="data", Key=f"parts/{number}.jsonl", Body=f'{{"n": {number}}}\n')
    listing = {
        "Resource": "arn:aws:states:::s3:listObjectsV2",
        "Parameters": {"Bucket": "data", "Prefix": "parts/"},
    }
    machine = create_machine(own.states, "objects", definition({"Type": "Pass"}, ItemReader=listing))
    execution = own.states.start_execution(stateMachineArn=machine)["executionArn"]
    items = [json.loads(child["Output"]) for child in results(own, execution)]
    head = own.s3.head_object(Bucket="data", Key="parts/0.jsonl")
    assert [item["Key"] for item in items] == [f"parts/{number}.jsonl" for number in range(3)]
    assert (items[0]["Etag"], items[0]["Size"]) == (head["ETag"], head["ContentLength"])
    assert items[0]["LastModified"] == int(head["LastModified"].timestamp())
    listing["ReaderConfig"] = {"Transformation": "LOAD_AND_FLATTEN", "InputType": "JSONL"}
    machine = create_machine(own.states, "contents", definition({"Type": "Pass"}, ItemReader=listing))
    execution = own.states.start_execution(stateMachineArn=machine)["executionArn"]
    assert [json.loads(child["Output"]) for child in results(own, execution)] == [{"n": n} for n in range(3)]


def test_rows_of_parquet_are_items(own):
    own.s3.create_bucket(Bucket="data")
    own.s3.create_bucket(Bucket="results")
    # A column of numbers, and one of texts that is null in every second row.
    body = (ROOT / "crates/scones-states/tests/states/item_readers/packed/zstd.parquet").read_bytes()
    own.s3.put_object(Bucket="data", Key="rows.parquet", Body=body)
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "PARQUET"},
        "Parameters": {"Bucket": "data", "Key": "rows.parquet"},
    }
    machine = create_machine(own.states, "parquet", definition({"Type": "Pass"}, ItemReader=reader))
    children = results(own, own.states.start_execution(stateMachineArn=machine)["executionArn"])
    items = [json.loads(child["Output"]) for child in children]
    assert items == [{"n": number, "s": "same text" if number % 2 else None} for number in range(100)]
    own.s3.put_object(Bucket="data", Key="rows.parquet", Body=body[:-1])
    execution = own.states.start_execution(stateMachineArn=machine)["executionArn"]
    failed = ended(own.states, execution)
    assert (failed["status"], failed["error"]) == ("FAILED", "States.ItemReaderFailed")
    assert failed["cause"].startswith("s3://data/rows.parquet cannot be read: it is not a Parquet file")


def test_a_run_goes_on_after_kills(own_server, own):
    """Children wait, so that kills meet some that have ended, some that run and some that have not begun."""
    put_rows(own)
    waits = definition({"Type": "Wait", "Seconds": 1}, MaxConcurrency=20)
    machine = create_machine(own.states, "waits", waits)
    execution = own.states.start_execution(stateMachineArn=machine)["executionArn"]
    run = map_run(own, execution)

    def succeeded():
        return own.states.describe_map_run(mapRunArn=run)["itemCounts"]["succeeded"]

    wait_for(lambda: 0 < succeeded() < ROWS, what="some children that have ended")
    own_server.restart()
    own_server.restart()
    wait_for(lambda: succeeded() > 0, what="the run to go on")
    own.states.update_map_run(mapRunArn=run, maxConcurrency=ROWS)
    assert own.states.describe_map_run(mapRunArn=run)["maxConcurrency"] == ROWS
    own_server.restart()
    children = results(own, execution)
    assert [json.loads(child["Output"])["id"] for child in children] == [str(number) for number in range(ROWS)]
    assert len({child["ExecutionArn"] for child in children}) == ROWS
    described = own.states.describe_map_run(mapRunArn=run)
    assert (described["status"], described["maxConcurrency"]) == ("SUCCEEDED", ROWS)
    assert described["itemCounts"]["succeeded"] == described["itemCounts"]["total"] == ROWS


def test_what_fails_is_told_apart(own):
    put_rows(own)
    # Names of every second row are no numbers.
    picky = {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd(States.StringToJson($.id), 1)"}}
    odd = "id\n" + "".join(f"{number if number % 2 else 'x'}\n" for number in range(10))
    own.s3.put_object(Bucket="data", Key="items.csv", Body=odd)
    tolerant = create_machine(own.states, "tolerant", definition(picky, ToleratedFailurePercentage=50))
    execution = own.states.start_execution(stateMachineArn=tolerant)["executionArn"]
    output = json.loads(ended(own.states, execution)["output"])
    files = read_json(own, output["ResultWriterDetails"]["Key"])["ResultFiles"]
    failed, succeeded = (read_json(own, files[kind][0]["Key"]) for kind in ("FAILED", "SUCCEEDED"))
    assert [json.loads(child["Input"])["id"] for child in failed] == ["x"] * 5
    assert [json.loads(child["Output"])["n"] for child in succeeded] == [2, 4, 6, 8, 10]
    missing = definition(picky)
    missing["States"]["Map"]["ItemReader"]["Parameters"]["Key"] = "nothing.csv"
    machine = create_machine(own.states, "missing", missing)
    described = ended(own.states, own.states.start_execution(stateMachineArn=machine)["executionArn"])
    assert (described["status"], described["error"]) == ("FAILED", "States.ItemReaderFailed")
    assert "NoSuchKey, Bucket: data, Key: nothing.csv" in described["cause"]

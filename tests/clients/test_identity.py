"""Who one is, and the roles that the story's requests name."""

import json

import boto3

from harness import ROLE, refused
from story_data import unique

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def test_the_caller_is_the_account(aws, server):
    identity = aws.sts.get_caller_identity()
    assert identity["Account"] == "000000000000"
    assert identity["Arn"].startswith("arn:aws:iam::000000000000:")
    assert identity["UserId"]


def test_a_role_is_made_found_and_assumed(aws, server):
    name = unique("role")
    made = aws.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    found = aws.iam.get_role(RoleName=name)["Role"]
    assert found["Arn"] == made["Arn"] == f"arn:aws:iam::000000000000:role/{name}"
    assert found["AssumeRolePolicyDocument"] == TRUST
    session = aws.sts.assume_role(RoleArn=found["Arn"], RoleSessionName="test")
    assert session["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::000000000000:assumed-role/{name}/test"
    keys = session["Credentials"]
    temporary = {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "region_name": "us-east-1",
        "endpoint_url": server.endpoint,
    }
    of_session = boto3.client("sts", aws_session_token=keys["SessionToken"], **temporary)
    assert of_session.get_caller_identity()["Arn"] == session["AssumedRoleUser"]["Arn"]
    bucket = unique("assumed")
    boto3.client("s3", aws_session_token=keys["SessionToken"], **temporary).create_bucket(Bucket=bucket)
    assert bucket in [one["Name"] for one in aws.s3.list_buckets()["Buckets"]]
    without_token = boto3.client("sts", **temporary)
    assert refused(without_token.get_caller_identity)[:2] == ("InvalidClientTokenId", 403)
    aws.iam.delete_role(RoleName=name)
    assert refused(aws.iam.get_role, RoleName=name)[:2] == ("NoSuchEntity", 404)


def test_the_sdks_question_about_a_role_is_answered(aws):
    answer = aws.iam.simulate_principal_policy(
        PolicySourceArn=ROLE, ActionNames=["s3:GetObject", "sagemaker:CreateTrainingJob"]
    )
    decisions = {one["EvalActionName"]: one["EvalDecision"] for one in answer["EvaluationResults"]}
    assert decisions == {"s3:GetObject": "allowed", "sagemaker:CreateTrainingJob": "allowed"}


def test_the_role_that_sagemaker_makes_is_there(aws):
    """The notebook looks its own role up by name."""
    role = aws.iam.get_role(RoleName=ROLE.rpartition("/")[2])["Role"]
    assert role["Arn"] == ROLE

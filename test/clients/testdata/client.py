"""boto3 on its defaults. One verb a run; see script_test.go."""

import os
import shutil
import sys

import boto3

s3 = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"])
bucket = os.environ["BUCKET"]


def put(file, name):
    with open(file, "rb") as body:
        s3.put_object(Bucket=bucket, Key=name, Body=body)


def get(name, file):
    with open(file, "wb") as out:
        shutil.copyfileobj(s3.get_object(Bucket=bucket, Key=name)["Body"], out)


def upload(file, name):
    s3.upload_file(file, bucket, name)


def download(name, file):
    s3.download_file(bucket, name, file)


def span(name, first, last):
    answer = s3.get_object(Bucket=bucket, Key=name, Range=f"bytes={first}-{last}")
    sys.stdout.buffer.write(answer["Body"].read())


def list(prefix):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for o in page.get("Contents", []):
            print(o["Size"], o["Key"])


def size(name):
    print(s3.head_object(Bucket=bucket, Key=name)["ContentLength"])


def remove(name):
    s3.delete_object(Bucket=bucket, Key=name)


globals()[sys.argv[1]](*sys.argv[2:])

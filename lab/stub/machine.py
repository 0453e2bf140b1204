"""Emulates instance metadata (only IMDSv2) and the EKS Pod Identity Agent. Both return credentials of the role `runner` from
STS. Like the real ones, they return the same credentials until shortly before these expire."""
import asyncio, datetime as dt, json, os

ROLE = "runner"
POD_TOKEN = os.environ["POD_IDENTITY_TOKEN"]
ACCOUNT = os.environ["MINISTACK_ACCOUNT_ID"]
LIFETIME, CREDENTIALS = 21600, {}


def assume_role(session):
    import boto3
    endpoint = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
    sts = boto3.client("sts", endpoint_url=endpoint, region_name=os.environ["MINISTACK_REGION"], aws_access_key_id="test", aws_secret_access_key="test")
    return sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{ROLE}", RoleSessionName=session, DurationSeconds=LIFETIME)["Credentials"]


async def credentials(session):
    now = dt.datetime.now(dt.timezone.utc)
    if session not in CREDENTIALS or CREDENTIALS[session][1] - now < dt.timedelta(minutes=5):
        CREDENTIALS[session] = await asyncio.to_thread(assume_role, session), now + dt.timedelta(seconds=LIFETIME)
    issued, expires = CREDENTIALS[session]
    return {"AccessKeyId": issued["AccessKeyId"], "SecretAccessKey": issued["SecretAccessKey"], "Token": issued["SessionToken"],
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}


def response(content, status=200):
    kind = b"text/plain"
    if isinstance(content, dict):
        content, kind = json.dumps(content), b"application/json"
    return status, [(b"content-type", kind)], content.encode()


async def answer(method, path, headers):
    if path == "/_machine/pod-identity":
        if headers.get("authorization") != POD_TOKEN:
            return response("the token of the pod is not valid", 401)
        return response({**await credentials("pod"), "AccountId": ACCOUNT})
    directory = "/latest/meta-data/iam/security-credentials"
    if not path.startswith(directory) or method != "GET":
        return None
    from ministack.services import imds
    if not headers.get("x-aws-ec2-metadata-token") or not imds._check_token(headers):
        return response("Unauthorized", 401)
    if path.rstrip("/") == directory:
        return response(ROLE)
    if path != f"{directory}/{ROLE}":
        return response("Not Found", 404)
    return response({"Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC", **await credentials("i-0123456789abcdef0")})

"""Where a machine's keys come from: instance metadata (version 2 alone) and the agent of EKS Pod Identity. They hand out
keys that STS gave for the role `runner`, the same ones until shortly before their end, as the real ones do."""
import asyncio, datetime as dt, json, os

ROLE = "runner"
POD_TOKEN = os.environ["POD_IDENTITY_TOKEN"]
ACCOUNT = os.environ["MINISTACK_ACCOUNT_ID"]
LASTS, KEYS = 21600, {}


def assumed(session):
    import boto3
    endpoint = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
    sts = boto3.client("sts", endpoint_url=endpoint, region_name=os.environ["MINISTACK_REGION"], aws_access_key_id="test", aws_secret_access_key="test")
    return sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{ROLE}", RoleSessionName=session, DurationSeconds=LASTS)["Credentials"]


async def keys(session):
    now = dt.datetime.now(dt.timezone.utc)
    if session not in KEYS or KEYS[session][1] - now < dt.timedelta(minutes=5):
        KEYS[session] = await asyncio.to_thread(assumed, session), now + dt.timedelta(seconds=LASTS)
    given, end = KEYS[session]
    return {"AccessKeyId": given["AccessKeyId"], "SecretAccessKey": given["SecretAccessKey"], "Token": given["SessionToken"],
            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}


def text(content, status=200):
    kind = b"text/plain"
    if isinstance(content, dict):
        content, kind = json.dumps(content), b"application/json"
    return status, [(b"content-type", kind)], content.encode()


async def answer(method, path, headers):
    if path == "/_machine/pod-identity":
        if headers.get("authorization") != POD_TOKEN:
            return text("the token of the pod is not valid", 401)
        return text({**await keys("pod"), "AccountId": ACCOUNT})
    directory = "/latest/meta-data/iam/security-credentials"
    if not path.startswith(directory) or method != "GET":
        return None
    from ministack.services import imds
    if not headers.get("x-aws-ec2-metadata-token") or not imds._check_token(headers):
        return text("Unauthorized", 401)
    if path.rstrip("/") == directory:
        return text(ROLE)
    if path != f"{directory}/{ROLE}":
        return text("Not Found", 404)
    return text({"Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC", **await keys("i-0123456789abcdef0")})

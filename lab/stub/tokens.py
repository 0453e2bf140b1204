"""GitHub's OIDC issuer, and the checks of its tokens by STS before a role is assumed."""
import re, time, urllib.parse, uuid

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://token.actions.githubusercontent.com"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ROGUE = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def subject(repository="acme/shop", context="ref:refs/heads/main"):
    """Returns the subject of a job, by default one of the branch main. GitHub names the repository as acme/shop, or as acme@123456/shop@987654321
    (OWNER@OWNER_ID/NAME@ID) if it was created, renamed or transferred since 15 July 2026."""
    return f"repo:{repository}:{context}"


def claims(**over):
    now = int(time.time())
    c = {"iss": ISSUER, "aud": "sts.amazonaws.com", "sub": subject(), "jti": str(uuid.uuid4()),
         "iat": now, "nbf": now - 300, "exp": now + 300, "repository": "acme/shop", "repository_owner": "acme",
         "repository_id": "987654321", "repository_owner_id": "123456",
         "ref": "refs/heads/main", "actor": "octocat", "run_id": "1", "workflow": "ci", "event_name": "push",
         "job_workflow_ref": "acme/shop/.github/workflows/ci.yml@refs/heads/main", "runner_environment": "github-hosted"}
    c.update(over)
    return c


def mint(key=KEY, **over):
    return jwt.encode(claims(**over), key, "RS256", headers={"kid": "k1"})


def sts_error(status, code, message):
    body = (f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>{code}</Code>'
            f'<Message>{message}</Message></Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>').encode()
    return status, [(b"content-type", b"text/xml")], body


def web_identity_error(form):
    """Returns STS's error response for a token that it rejects, or None."""
    from ministack.services import iam
    role = form.get("RoleArn", [""])[0]
    token = form.get("WebIdentityToken", [""])[0]
    try:
        c = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return sts_error(400, "InvalidIdentityToken", "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
    account = role.split(":")[4] if role.count(":") > 4 else ""
    host = str(c.get("iss", "")).split("://", 1)[-1]
    arn = f"arn:aws:iam::{account}:oidc-provider/{host}"
    provider = None
    for (_, k), record in iam._oidc_providers._data.items():
        if k == arn or (isinstance(record, dict) and record.get("Url", "").split("://", 1)[-1] == host):
            provider = record
    if provider is None:
        return sts_error(400, "InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {c.get('iss')}")
    try:
        jwt.decode(token, KEY.public_key(), algorithms=["RS256"], options={"verify_aud": False})
    except jwt.ExpiredSignatureError:
        return sts_error(400, "ExpiredTokenException", f"Token expired: current date/time {int(time.time())} must be before the expiration date/time{c.get('exp')}")
    except jwt.InvalidSignatureError:
        return sts_error(400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
    except jwt.PyJWTError as e:
        return sts_error(400, "InvalidIdentityToken", str(e))
    audiences = provider.get("ClientIDList") or provider.get("ClientIDs") or []
    audience = c.get("aud")
    if not set([audience] if isinstance(audience, str) else audience or []) & set(audiences):
        return sts_error(400, "InvalidIdentityToken", "Incorrect token audience")
    return None


def presigned_error(query, host):
    """Returns why STS rejects a presigned GetCallerIdentity that ministack accepts, or None."""
    region = (query["X-Amz-Credential"][0].split("/") + [""] * 3)[2]
    expected = re.fullmatch(r"sts(?:-fips)?\.([a-z0-9-]+)\..*", host)
    expected = "us-east-1" if host == "sts.amazonaws.com" else expected and expected[1]
    at = query.get("X-Amz-Date", [""])[0]
    if expected and region != expected:
        return "Credential should be scoped to a valid region."
    if at > time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + 300)):
        return f"Signature not yet current: {at} is still later than now"
    return None

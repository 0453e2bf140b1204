"""Emulates EKS, ECR, STS, IAM, instance metadata and GitHub's OIDC issuer on loopback: ministack, extended by what the tests
also need:
 - checks of the JWT before AssumeRoleWithWebIdentity, with STS's error codes (tokens.py)
 - the JSON response of GetCallerIdentity that aws-iam-authenticator requests
 - injected faults (POST /_stub/faults), a log of the requests (GET /_stub/log), JWTs with given claims (POST /_stub/jwt)
 - AWS's own host names over TLS (proxy.py), and access entries for the authenticator (access.py)
 - updates of a cluster's authentication mode (updates.py)
 - ECR passwords that a registry accepts (ecr.py), and credentials of a machine's own role (machine.py)
"""
import asyncio, base64, json, os, re, secrets, time, urllib.parse, uuid

from hypercorn.asyncio import serve
from hypercorn.config import Config

import access, ecr, machine, tokens, updates
from collect import collect
from proxy import Proxy

DIRECTORY = os.environ["STUB_DIR"]
PORT = int(os.environ["GATEWAY_PORT"])
PROXY_PORT = int(os.environ["STUB_PROXY_PORT"])
CLUSTER = os.environ["STUB_CLUSTER"]
REQUEST_TOKEN = os.environ["STUB_REQUEST_TOKEN"]
FAULTS, LOG = [], []


async def read_body(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def respond(send, status, headers, body):
    await send({"type": "http.response.start", "status": status, "headers": headers + [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


def in_json(content, status=200):
    return status, [(b"content-type", b"application/json")], json.dumps(content).encode()


def control(path, method, headers, query, body):
    """Answers requests to the control API and to GitHub; returns None for requests to AWS."""
    if path == "/_stub/faults" and method == "POST":
        FAULTS[:] = json.loads(body)
        return in_json({"ok": True})
    if path == "/_stub/log":
        return in_json(LOG)
    if path == "/_stub/jwt" and method == "POST":
        request = json.loads(body or b"{}")
        key = tokens.ROGUE if request.get("key") == "rogue" else tokens.KEY
        return in_json({"value": tokens.mint(key, **request.get("claims", {}))})
    if path == "/_stub/ecr" and method == "POST":
        ecr.LIFETIME = json.loads(body)["lifetime"]
        return in_json({"ok": True})
    if path == "/gha/idtoken":
        if headers.get("authorization", "") != "Bearer " + REQUEST_TOKEN:
            return in_json({"message": "Unauthorized"}, 401)
        # A test adds `repository` or `context` to the URL of its job, to be a job of another repository, or of a pull request.
        subject = tokens.subject(**{name: query[name][0] for name in ("repository", "context") if name in query})
        token = tokens.mint(sub=subject, aud=query.get("audience", ["https://github.com/acme"])[0])
        return in_json({"count": len(token), "value": token})
    return None


async def fault(op):
    """Returns the response of an injected fault for an operation, or None."""
    for f in FAULTS:
        if f["op"] == op and f.get("count", 1) > 0:
            f["count"] = f.get("count", 1) - 1
            if f.get("delay"):
                await asyncio.sleep(f["delay"])
            if f.get("status"):
                if op not in ("DescribeCluster", "GetAuthorizationToken", "IdToken"):
                    return tokens.sts_error(f["status"], f["code"], f.get("message", ""))
                status, headers, body = in_json({"message": f.get("message", "")}, f["status"])
                if op != "IdToken":
                    headers.append((b"x-amzn-errortype", f["code"].encode()))
                return status, headers, body
    return None


async def caller_in_json(inner, scope, receive):
    """Converts ministack's XML response to GetCallerIdentity to the JSON that STS returns for Accept: application/json."""
    status, body = await collect(inner, scope, receive)
    text = lambda tag: (re.search(rf"<{tag}>(.*?)</{tag}>", body.decode(), re.S) or [None, None])[1]
    if status == 200:
        result = {k: text(k) for k in ("Account", "Arn", "UserId")}
        return in_json({"GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": {"RequestId": str(uuid.uuid4())}}})
    return in_json({"Error": {"Code": text("Code"), "Message": text("Message"), "Type": "Sender"}}, status)


def wrap(inner):
    async def app(scope, receive, send):
        if scope["type"] != "http":
            return await inner(scope, receive, send)
        path, method = scope["path"], scope["method"]
        query = urllib.parse.parse_qs(scope["query_string"].decode())
        headers = {k.decode().lower(): v.decode("latin-1") for k, v in scope["headers"]}
        body = await read_body(receive)
        if path == "/gha/idtoken" and (answer := await fault("IdToken")):
            return await respond(send, *answer)
        if answer := control(path, method, headers, query, body):
            return await respond(send, *answer)
        form = urllib.parse.parse_qs(body.decode("utf-8", "replace")) if method == "POST" and path == "/" else query
        describe = re.fullmatch(r"/clusters/[^/]+", path) and method == "GET"
        op = (form.get("Action") or [""])[0] or ("DescribeCluster" if describe else "") or ecr.operation(headers)
        LOG.append({"op": op, "method": method, "path": path, "host": headers.get("host"), "ua": headers.get("user-agent"), "at": time.time(),
                    "key": (re.search(r"Credential=([^/]+)/", headers.get("authorization", "")) or [None, None])[1]})
        answer = await fault(op)
        if not answer and op == "AssumeRoleWithWebIdentity":
            answer = tokens.web_identity_error(form)
        if not answer and op == "GetCallerIdentity" and "X-Amz-Credential" in query:
            if message := tokens.presigned_error(query, headers.get("host", "")):
                answer = in_json({"Error": {"Code": "SignatureDoesNotMatch", "Message": message, "Type": "Sender"}}, 403)
        if not answer:
            answer = await machine.answer(method, path, headers)
        answer = answer or updates.answer(method, path, body)
        if answer:
            return await respond(send, *answer)
        sent = False

        async def replay():
            nonlocal sent
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        if op == "GetCallerIdentity" and "json" in headers.get("accept", ""):
            return await respond(send, *await caller_in_json(inner, scope, replay))
        if op == "GetAuthorizationToken":
            return await respond(send, *await ecr.answer(inner, scope, replay, headers, body))
        await inner(scope, replay, send)
        if "/access-entries" in path and method in ("POST", "DELETE"):
            access.write(DIRECTORY, CLUSTER)
    return app


def aws_shaped_credentials():
    """Makes credentials look like STS credentials, with + / = and a long session token. ministack's own are plain hex."""
    import ministack.services.sts as sts
    sts._gen_secret = lambda: base64.b64encode(secrets.token_bytes(28) + b"\xfb\xff").decode()
    sts._gen_session_token = lambda: "IQoJb3JpZ2luX2VjE" + base64.b64encode(secrets.token_bytes(400) + b"\xfb\xff\xfe\xfb").decode()
    sts._gen_session_access_key = lambda: "ASIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))


async def main():
    from ministack.app import app
    aws_shaped_credentials()
    proxy = Proxy(DIRECTORY, ("127.0.0.1", PORT))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", PROXY_PORT)
    config = Config()
    config.bind, config.keep_alive_timeout, config.loglevel = [f"127.0.0.1:{PORT}"], 75, "WARNING"
    async with server, await ecr.registry():
        await serve(wrap(app), config)

asyncio.run(main())

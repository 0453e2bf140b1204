"""Emulates ECR. For a password, ministack checks the identity, the signature and the role's permission; this module then puts a
password into the response that the registry accepts until it expires. The registry is a real one with its own password, behind
a server that behaves like ECR: TLS with ECR's host names, and Basic authentication."""
import asyncio, base64, json, os, secrets, ssl, sys, time

from collect import collect

ADDRESS = os.environ["ECR_ADDRESS"]
CERTIFICATE = os.environ["ECR_CERTIFICATE"]
UPSTREAM = os.environ["ECR_UPSTREAM"]
UPSTREAM_LOGIN = os.environ["ECR_UPSTREAM_LOGIN"]
PRIVATE, PUBLIC = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", "SpencerFrontendService.GetAuthorizationToken"
# How long a password is valid, in seconds; and when each issued password expires.
LIFETIME, EXPIRES = 43200, {}


def operation(headers):
    return "GetAuthorizationToken" if headers.get("x-amz-target") in (PRIVATE, PUBLIC) else ""


def issue():
    """Returns a new authorization token and when it expires."""
    password = secrets.token_urlsafe(90)
    expires = int(time.time()) + LIFETIME
    EXPIRES[password] = expires
    return base64.b64encode(f"AWS:{password}".encode()).decode(), expires


async def answer(inner, scope, receive, headers, body):
    """Returns the response of private or public ECR."""
    public = headers["x-amz-target"] == PUBLIC
    if public:
        status, content = await authenticate(scope, headers, body)
    else:
        status, text = await collect(inner, scope, receive)
        content = json.loads(text or b"{}")
    if status == 200:
        token, expires = issue()
        data = {"authorizationToken": token, "expiresAt": expires}
        content = {"authorizationData": data} if public else {"authorizationData": [{**data, "proxyEndpoint": content["authorizationData"][0]["proxyEndpoint"]}]}
    more = [(b"x-amzn-errortype", content["__type"].encode())] if "__type" in content else []
    return status, [(b"content-type", b"application/x-amz-json-1.1")] + more, json.dumps(content).encode()


async def authenticate(scope, headers, body):
    """Checks the signature of a request to ECR Public, which ministack does not have, with ministack's own functions."""
    from ministack.core import iam_evaluator
    from ministack.core.sigv4 import header_signature_failure, parse_header_signature
    error = lambda code, text: (403, {"__type": code, "message": text})
    signature = parse_header_signature(headers)
    if isinstance(signature, tuple):
        return error(*signature)
    if (signature.service, signature.region) != ("ecr-public", "us-east-1"):
        return error("InvalidSignatureException", "Credential should be scoped to ecr-public in us-east-1.")
    key = headers["authorization"].split("Credential=")[1].split("/")[0]
    credential = iam_evaluator.resolve_credential(key, os.environ["MINISTACK_ACCOUNT_ID"], headers.get("x-amz-security-token", ""))
    if not hasattr(credential, "secret_access_key"):
        return error("UnrecognizedClientException", credential.message)
    failure = header_signature_failure(signature, credential.secret_access_key, scope["method"], scope["path"], {}, headers, body)
    return error(*failure[:2]) if failure else (200, {})


async def registry():
    """Starts the server in front of the registry."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{CERTIFICATE}.crt", f"{CERTIFICATE}.key")
    host, port = ADDRESS.rsplit(":", 1)
    return await asyncio.start_server(serve, host, int(port), ssl=context)


async def serve(reader, writer):
    """Serves one request per connection, so that everything after its head can be forwarded unchanged."""
    try:
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode("latin-1").split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in head[1:])
        login = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
        if not is_valid(login):
            body = json.dumps({"errors": [{"code": "DENIED", "message": "Your authorization token has expired. Reauthenticate and try again." if login else "no basic auth credentials"}]})
            writer.write((f"HTTP/1.1 {403 if login else 401} X\r\nWww-Authenticate: Basic realm=\"https://{headers.get('Host', '')}/\",service=\"ecr.amazonaws.com\"\r\n"
                          f"Docker-Distribution-Api-Version: registry/2.0\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode())
            await writer.drain()
            return writer.close()
        lines = [line for line in head[1:] if line.split(":")[0].lower() not in ("authorization", "connection", "x-forwarded-proto")]
        lines += [f"Authorization: Basic {base64.b64encode(UPSTREAM_LOGIN.encode()).decode()}", "Connection: close", "X-Forwarded-Proto: https"]
        host, port = UPSTREAM.rsplit(":", 1)
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        up_writer.write("\r\n".join([head[0], *lines, "", ""]).encode("latin-1"))
        forwarding = asyncio.create_task(pump(reader, up_writer))
        await pump(up_reader, writer)
        forwarding.cancel()
        up_writer.close()
    except Exception as e:
        print("ecr", type(e), e, file=sys.stderr)
    finally:
        writer.close()


def is_valid(login):
    kind, _, encoded = login.partition(" ")
    if kind != "Basic":
        return False
    user, _, password = base64.b64decode(encoded).decode("utf-8", "replace").partition(":")
    return user == "AWS" and EXPIRES.get(password, 0) > time.time()


async def pump(source, sink):
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()

"""ECR: ministack checks who asks for a password, whether the signature is good and whether the role may; its answer gets
a password that the registry here takes, until its end. The registry is a real one with a password of its own; before it
stands what ECR is for a client: TLS by ECR's names, and Basic authentication."""
import asyncio, base64, json, os, secrets, ssl, sys, time

from collected import collected

ADDRESS = os.environ["ECR_ADDRESS"]
CERTIFICATE = os.environ["ECR_CERTIFICATE"]
UPSTREAM = os.environ["ECR_UPSTREAM"]
OWN = os.environ["ECR_UPSTREAM_LOGIN"]
PRIVATE, PUBLIC = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", "SpencerFrontendService.GetAuthorizationToken"
# How long a password is good, in seconds, and the ends of those that were given.
LASTS, GIVEN = 43200, {}


def operation(headers):
    return "GetAuthorizationToken" if headers.get("x-amz-target") in (PRIVATE, PUBLIC) else ""


def given():
    password = secrets.token_urlsafe(90)
    end = int(time.time()) + LASTS
    GIVEN[password] = end
    return base64.b64encode(f"AWS:{password}".encode()).decode(), end


async def answer(inner, scope, receive, headers, body):
    """ECR's answer, private or public."""
    public = headers["x-amz-target"] == PUBLIC
    if public:
        status, answered = await authenticated(scope, headers, body)
    else:
        status, text = await collected(inner, scope, receive)
        answered = json.loads(text or b"{}")
    if status == 200:
        token, end = given()
        data = {"authorizationToken": token, "expiresAt": end}
        answered = {"authorizationData": data} if public else {"authorizationData": [{**data, "proxyEndpoint": answered["authorizationData"][0]["proxyEndpoint"]}]}
    more = [(b"x-amzn-errortype", answered["__type"].encode())] if "__type" in answered else []
    return status, [(b"content-type", b"application/x-amz-json-1.1")] + more, json.dumps(answered).encode()


async def authenticated(scope, headers, body):
    """ministack has no public registry: by its own checks, whose the request is."""
    from ministack.core import iam_evaluator
    from ministack.core.sigv4 import header_signature_failure, parse_header_signature
    refused = lambda code, text: (403, {"__type": code, "message": text})
    signature = parse_header_signature(headers)
    if isinstance(signature, tuple):
        return refused(*signature)
    if (signature.service, signature.region) != ("ecr-public", "us-east-1"):
        return refused("InvalidSignatureException", "Credential should be scoped to ecr-public in us-east-1.")
    key = headers["authorization"].split("Credential=")[1].split("/")[0]
    credential = iam_evaluator.resolve_credential(key, os.environ["MINISTACK_ACCOUNT_ID"], headers.get("x-amz-security-token", ""))
    if not hasattr(credential, "secret_access_key"):
        return refused("UnrecognizedClientException", credential.message)
    failure = header_signature_failure(signature, credential.secret_access_key, scope["method"], scope["path"], {}, headers, body)
    return refused(*failure[:2]) if failure else (200, {})


async def registry():
    """The server before the registry."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{CERTIFICATE}.crt", f"{CERTIFICATE}.key")
    host, port = ADDRESS.rsplit(":", 1)
    return await asyncio.start_server(serve, host, int(port), ssl=context)


async def serve(reader, writer):
    """One request a connection: so what follows its head can be passed on as it is."""
    try:
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode("latin-1").split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in head[1:])
        login = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
        if not taken(login):
            body = json.dumps({"errors": [{"code": "DENIED", "message": "Your authorization token has expired. Reauthenticate and try again." if login else "no basic auth credentials"}]})
            writer.write((f"HTTP/1.1 {403 if login else 401} X\r\nWww-Authenticate: Basic realm=\"https://{headers.get('Host', '')}/\",service=\"ecr.amazonaws.com\"\r\n"
                          f"Docker-Distribution-Api-Version: registry/2.0\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode())
            await writer.drain()
            return writer.close()
        own = [line for line in head[1:] if line.split(":")[0].lower() not in ("authorization", "connection", "x-forwarded-proto")]
        own += [f"Authorization: Basic {base64.b64encode(OWN.encode()).decode()}", "Connection: close", "X-Forwarded-Proto: https"]
        host, port = UPSTREAM.rsplit(":", 1)
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        up_writer.write("\r\n".join([head[0], *own, "", ""]).encode("latin-1"))
        sends = asyncio.create_task(pump(reader, up_writer))
        await pump(up_reader, writer)
        sends.cancel()
        up_writer.close()
    except Exception as e:
        print("ecr", type(e), e, file=sys.stderr)
    finally:
        writer.close()


def taken(login):
    kind, _, coded = login.partition(" ")
    if kind != "Basic":
        return False
    user, _, password = base64.b64decode(coded).decode("utf-8", "replace").partition(":")
    return user == "AWS" and GIVEN.get(password, 0) > time.time()


async def pump(source, sink):
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()

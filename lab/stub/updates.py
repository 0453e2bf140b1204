"""UpdateClusterConfig and DescribeUpdate of EKS, for the authentication mode. Unlike AWS, it also accepts CONFIG_MAP, with which
a test begins."""
import json, re


def answer(method, path, body):
    """Returns the response to a request, or None if it is for something else."""
    from ministack.services import eks
    match = re.fullmatch(r"/clusters/([^/]+)/(update-config|updates/([^/]+))", path)
    if not match:
        return None
    name, operation, identifier = match.groups()
    done = operation != "update-config"
    if not done and method == "POST":
        config = json.loads(body)["accessConfig"]
        for (_, _, key), cluster in eks._clusters.all_items():
            if key == name:
                cluster["accessConfig"] = {**cluster.get("accessConfig", {}), **config}
    update = {"id": identifier or "update-1", "type": "AccessConfigUpdate", "status": "Successful" if done else "InProgress"}
    return 200, [(b"content-type", b"application/json")], json.dumps({"update": update}).encode()

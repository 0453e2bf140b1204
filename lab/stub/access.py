"""Writes the access entries of the emulated EKS for the DynamicFile backend of the real authenticator. Entries are matched by
principal ID, as in EKS."""
import json, os, time


def write(directory, cluster):
    from ministack.services import eks, iam
    roles, users = [], []
    for (account, region, key), entry in eks._access_entries.all_items():
        entry_cluster, arn = key.split("\0", 1)
        if entry_cluster != cluster:
            continue
        name = arn.rsplit("/", 1)[-1]
        groups = list(entry.get("kubernetesGroups") or []) + [
            eks._access_policy_group(cluster, arn, policy)
            for (a, policy, _) in eks._access_policy_associations(cluster, account, region) if a == arn]
        if ":role/" in arn:
            record = iam._roles.get_scoped(account, None, name) or {}
            user = entry.get("username")
            if user in (None, "", arn):
                user = f"arn:aws:sts::{account}:assumed-role/{name}/{{{{SessionName}}}}"
            roles.append({"rolearn": arn, "userid": record.get("RoleId", ""), "username": user, "groups": groups})
        else:
            record = iam._users.get_scoped(account, None, name) or {}
            users.append({"userarn": arn, "userid": record.get("UserId", ""), "username": entry.get("username") or arn, "groups": groups})
    content = {"LastUpdatedDateTime": str(int(time.time())), "Version": "1", "mapRoles": [r for r in roles if r["userid"]],
               "mapUsers": [u for u in users if u["userid"]], "mapAccounts": []}
    temporary = f"{directory}/access.json.tmp"
    with open(temporary, "w") as f:
        json.dump(content, f)
    os.replace(temporary, f"{directory}/access.json")

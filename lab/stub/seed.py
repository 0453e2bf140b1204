"""The account a user of the action would have: an OIDC provider, roles that GitHub may assume, a cluster, access entries."""
import json, os

import boto3

ENDPOINT, REGION, ACCOUNT, CLUSTER = (os.environ[k] for k in ("ENDPOINT", "REGION", "ACCOUNT", "CLUSTER"))
ISSUER = "token.actions.githubusercontent.com"


def client(service):
    return boto3.client(service, endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


def policy(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


iam, eks = client("iam"), client("eks")
provider = iam.create_open_id_connect_provider(Url=f"https://{ISSUER}", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["0" * 40])["OpenIDConnectProviderArn"]
iam.create_role(RoleName="eks-cluster", AssumeRolePolicyDocument=policy(Principal={"Service": "eks.amazonaws.com"}, Action="sts:AssumeRole"))
condition = {"StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com"}, "StringLike": {f"{ISSUER}:sub": "repo:acme/shop:*"}}
# Role, may it describe the cluster, groups of its access entry.
ROLES = (("ci", True, ["ci"]), ("ci-no-describe", False, ["ci"]), ("ci-no-entry", True, None), ("ci-no-rbac", True, ["nobody-in-particular"]))
for name, describes, _ in ROLES:
    trust = policy(Principal={"Federated": provider}, Action="sts:AssumeRoleWithWebIdentity", Condition=condition)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    if describes:
        iam.put_role_policy(RoleName=name, PolicyName="describe", PolicyDocument=policy(Action="eks:DescribeCluster", Resource="*"))
eks.create_cluster(name=CLUSTER, roleArn=f"arn:aws:iam::{ACCOUNT}:role/eks-cluster", resourcesVpcConfig={"subnetIds": ["subnet-1", "subnet-2"]})
for name, _, groups in ROLES:
    if groups:
        eks.create_access_entry(clusterName=CLUSTER, principalArn=f"arn:aws:iam::{ACCOUNT}:role/{name}", kubernetesGroups=groups)

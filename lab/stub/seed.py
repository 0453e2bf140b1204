"""Creates the AWS account of a user of the action: an OIDC provider, roles that GitHub can assume, a cluster, access entries."""
import json, os, pathlib

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
# The trust policies of the examples, which are for this account, the repository acme/shop and both forms of its jobs' subjects.
examples = pathlib.Path(__file__).parents[2] / "examples/iam"
trust, release_trust = ((examples / name).read_text() for name in ("trust-policy.json", "release-trust-policy.json"))
assert json.loads(trust)["Statement"][0]["Principal"] == {"Federated": provider}, provider
# The roles of jobs: name, whether it can describe the cluster, groups of its access entry.
ROLES = (("ci", True, ["ci"]), ("ci-no-describe", False, ["ci"]), ("ci-no-entry", True, None), ("ci-no-rbac", True, ["nobody-in-particular"]), ("ci-no-ecr", True, ["ci"]), ("release", True, ["ci"]))
for name, describes, _ in ROLES:
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=release_trust if name == "release" else trust)
    if describes:
        iam.put_role_policy(RoleName=name, PolicyName="describe", PolicyDocument=policy(Action="eks:DescribeCluster", Resource="*"))
eks.create_cluster(name=CLUSTER, roleArn=f"arn:aws:iam::{ACCOUNT}:role/eks-cluster", resourcesVpcConfig={"subnetIds": ["subnet-1", "subnet-2"]},
                   accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"})
# Administrators, who run `setup`. A test takes permissions away from the second one.
for name in ("admin", "limited-admin"):
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(Action="*", Resource="*"))
    eks.create_access_entry(clusterName=CLUSTER, principalArn=f"arn:aws:iam::{ACCOUNT}:role/{name}", kubernetesGroups=["admins"])
# The permissions to log in to ECR and to ECR Public.
LOGIN = ["ecr:GetAuthorizationToken", "ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"]
iam.put_role_policy(RoleName="ci", PolicyName="ecr", PolicyDocument=policy(Action=LOGIN, Resource="*"))
# The role of a machine: as its instance profile, with Pod Identity, and with the cluster's issuer (IRSA).
issuer = os.environ["CLUSTER_ISSUER"]
federated = iam.create_open_id_connect_provider(Url=f"https://{issuer}", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["0" * 40])["OpenIDConnectProviderArn"]
allow = lambda action, principal, **more: {"Effect": "Allow", "Action": action, "Principal": principal, **more}
trust = {"Version": "2012-10-17", "Statement": [
    allow("sts:AssumeRole", {"Service": ["ec2.amazonaws.com", "pods.eks.amazonaws.com"]}),
    allow("sts:AssumeRole", {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}),
    allow("sts:AssumeRoleWithWebIdentity", {"Federated": federated}, Condition={"StringEquals": {f"{issuer}:sub": "system:serviceaccount:default:runner"}})]}
iam.create_role(RoleName="runner", AssumeRolePolicyDocument=json.dumps(trust), MaxSessionDuration=43200)
iam.put_role_policy(RoleName="runner", PolicyName="runner", PolicyDocument=policy(Action=["eks:DescribeCluster", *LOGIN], Resource="*"))
for name, _, groups in (*ROLES, ("runner", True, ["ci"])):
    if groups:
        eks.create_access_entry(clusterName=CLUSTER, principalArn=f"arn:aws:iam::{ACCOUNT}:role/{name}", kubernetesGroups=groups)

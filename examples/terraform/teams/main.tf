# For each team: a role that its repositories can assume, the cluster's access entry for it, and a namespace in which it can use
# agents, and nothing else.

data "aws_caller_identity" "current" {}

data "aws_eks_cluster" "this" {
  name = var.cluster
}

data "aws_iam_policy_document" "trust" {
  for_each = var.teams

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.current.account_id}:oidc-provider/token.actions.githubusercontent.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }

    # Both forms of the subject: acme/shop, and acme@123456/shop@987654321.
    condition {
      test     = "StringLike"
      variable = "token.actions.githubusercontent.com:sub"
      values = flatten([
        for name, id in each.value.repositories : [
          "repo:${var.owner}/${name}:*",
          "repo:${var.owner}@${var.owner_id}/${name}@${id}:*",
        ]
      ])
    }
  }
}

data "aws_iam_policy_document" "permissions" {
  statement {
    actions   = ["eks:DescribeCluster"]
    resources = [data.aws_eks_cluster.this.arn]
  }
}

resource "aws_iam_role" "team" {
  for_each = var.teams

  name               = "builds-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.trust[each.key].json
}

resource "aws_iam_role_policy" "team" {
  for_each = var.teams

  name   = "remote-buildkit"
  role   = aws_iam_role.team[each.key].id
  policy = data.aws_iam_policy_document.permissions.json
}

resource "aws_eks_access_entry" "team" {
  for_each = var.teams

  cluster_name      = data.aws_eks_cluster.this.name
  principal_arn     = aws_iam_role.team[each.key].arn
  kubernetes_groups = ["builds-${each.key}"]
}

resource "kubernetes_namespace_v1" "team" {
  for_each = var.teams

  metadata {
    name   = "builds-${each.key}"
    labels = { "pod-security.kubernetes.io/enforce" = "privileged" }
  }
}

resource "kubernetes_role_v1" "use" {
  for_each = var.teams

  metadata {
    name      = "remote-buildkit-use"
    namespace = kubernetes_namespace_v1.team[each.key].metadata[0].name
  }

  rule {
    api_groups = ["apps"]
    resources  = ["deployments"]
    verbs      = ["get"]
  }

  rule {
    api_groups = [""]
    resources  = ["pods"]
    verbs      = ["list", "watch"]
  }

  rule {
    api_groups = [""]
    resources  = ["pods/exec"]
    verbs      = ["create"]
  }
}

resource "kubernetes_role_binding_v1" "use" {
  for_each = var.teams

  metadata {
    name      = "remote-buildkit-use"
    namespace = kubernetes_namespace_v1.team[each.key].metadata[0].name
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.use[each.key].metadata[0].name
  }

  subject {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Group"
    name      = "builds-${each.key}"
  }
}

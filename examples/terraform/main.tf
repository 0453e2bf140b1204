# The AWS identity of a runner: a role for its instance profile (and for a service account, if you name one) that can find
# the cluster and log in to ECR, and the cluster's access entry for that role.

data "aws_eks_cluster" "this" {
  name = var.cluster
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }

  dynamic "statement" {
    for_each = var.service_account == null ? [] : ["pods.eks.amazonaws.com"]

    content {
      actions = ["sts:AssumeRole", "sts:TagSession"]

      principals {
        type        = "Service"
        identifiers = [statement.value]
      }
    }
  }
}

data "aws_iam_policy_document" "permissions" {
  statement {
    actions   = ["eks:DescribeCluster"]
    resources = [data.aws_eks_cluster.this.arn]
  }

  # This action has no resource: ECR accepts only "*".
  statement {
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = length(var.repositories) == 0 ? [] : [var.repositories]

    content {
      actions = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
      ]
      resources = statement.value
    }
  }
}

resource "aws_iam_role" "runner" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "runner" {
  name   = var.name
  role   = aws_iam_role.runner.id
  policy = data.aws_iam_policy_document.permissions.json
}

resource "aws_iam_instance_profile" "runner" {
  name = var.name
  role = aws_iam_role.runner.name
}

resource "aws_eks_access_entry" "runner" {
  cluster_name      = data.aws_eks_cluster.this.name
  principal_arn     = aws_iam_role.runner.arn
  kubernetes_groups = [var.kubernetes_group]
}

resource "aws_eks_pod_identity_association" "runner" {
  count = var.service_account == null ? 0 : 1

  cluster_name    = data.aws_eks_cluster.this.name
  namespace       = split("/", var.service_account)[0]
  service_account = split("/", var.service_account)[1]
  role_arn        = aws_iam_role.runner.arn
}

variable "cluster" {
  description = "Name of the EKS cluster with the agents; its authentication mode includes API."
  type        = string
}

variable "kubernetes_group" {
  description = "Group of the access entry, which examples/rbac.yaml binds to a Role."
  type        = string
  default     = "remote-buildkit"
}

variable "name" {
  description = "Name of the role and of the instance profile."
  type        = string
  default     = "remote-buildkit-runner"
}

variable "repositories" {
  description = "ARNs of the ECR repositories that jobs pull from and push to."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.repositories : can(regex("^arn:[a-z-]+:ecr:", arn))])
    error_message = "Each one is the ARN of an ECR repository."
  }
}

variable "service_account" {
  description = "Service account, NAMESPACE/NAME, whose pods get the role by EKS Pod Identity; none by default."
  type        = string
  default     = null
}

variable "cluster" {
  description = "Name of the EKS cluster with the agents. Its authentication mode must include API."
  type        = string
}

variable "kubernetes_group" {
  description = "Kubernetes group of the access entry. examples/rbac.yaml binds it to a Role."
  type        = string
  default     = "remote-buildkit"
}

variable "name" {
  description = "Name of the role and of the instance profile."
  type        = string
  default     = "remote-buildkit-runner"
}

variable "repositories" {
  description = "ARNs of the ECR repositories that jobs may pull from and push to."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.repositories : can(regex("^arn:[a-z-]+:ecr:", arn))])
    error_message = "Each value must be the ARN of an ECR repository."
  }
}

variable "service_account" {
  description = "Service account, as NAMESPACE/NAME, whose pods get the role with EKS Pod Identity. Default: none."
  type        = string
  default     = null
}

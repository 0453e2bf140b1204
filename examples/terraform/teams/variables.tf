variable "cluster" {
  description = "Name of the EKS cluster with the agents. Its authentication mode must include API."
  type        = string
}

variable "owner" {
  description = "GitHub account that owns the repositories, spelled as in their URL."
  type        = string
}

variable "owner_id" {
  description = "ID of that account: gh api users/OWNER --jq .id"
  type        = number
}

variable "teams" {
  description = "Teams by name. Each has its repositories with their IDs: gh api repos/OWNER/REPO --jq .id"
  type = map(object({
    repositories = map(number)
  }))

  # For example: { payments = { repositories = { shop = 987654321, billing = 987654322 } } }
  validation {
    condition     = alltrue([for name in keys(var.teams) : can(regex("^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$", name))])
    error_message = "A team's name is part of the name of a namespace: lower-case letters, digits and hyphens."
  }
}

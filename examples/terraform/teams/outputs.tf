output "roles" {
  description = "ARN of each team's role, for the input role-to-assume."
  value       = { for name, role in aws_iam_role.team : name => role.arn }
}

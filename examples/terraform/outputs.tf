output "instance_profile" {
  description = "Name of the instance profile, for the launch template of the runners."
  value       = aws_iam_instance_profile.runner.name
}

output "role" {
  description = "ARN of the role."
  value       = aws_iam_role.runner.arn
}

//! Errors of AWS and of GitHub's OIDC endpoint.

use anyhow::Result;
use lab::{HttpRequest, HttpResponse, HttpServer};
use serde_json::json;

use super::Errors;
use crate::machine::Machine;

/// A CA of a cluster, as EKS describes it.
const CA: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJnVENDQVNlZ0F3SUJBZ0lVU3h5ZzNNVENQNXVjc1lVbTJXcW9iS2RJcmdJd0NnWUlLb1\
    pJemowRUF3SXcKRlRFVE1CRUdBMVVFQXd3S2EzVmlaWEp1WlhSbGN6QWdGdzB5TmpFeE16QXlNekl6TXpsYUdBOHlNVEkyTVRFdwpOakl6TWpN\
    ek9Wb3dGVEVUTUJFR0ExVUVBd3dLYTNWaVpYSnVaWFJsY3pCWk1CTUdCeXFHU000OUFnRUdDQ3FHClNNNDlBd0VIQTBJQUJNL1FqY294T3V0eX\
    lET0pJQlJCR0FnL0Q5V1pVakg4VHozaXNrMXNrMGhXeG1kNWZFTWgKL0tsMUhGMURUUk5CL2xTSjRDdjllUERHTUpPRGFJVVRpV0NqVXpCUk1C\
    MEdBMVVkRGdRV0JCUUdaYUZaT01GNwpTVkFqUER2MTFjU1cxclBGQlRBZkJnTlZIU01FR0RBV2dCUUdaYUZaT01GN1NWQWpQRHYxMWNTVzFyUE\
    ZCVEFQCkJnTlZIUk1CQWY4RUJUQURBUUgvTUFvR0NDcUdTTTQ5QkFNQ0EwZ0FNRVVDSVFEUk1sYWpJL2phcWRscVlLSWwKWGk2VWdBOUNGWDJx\
    RFBma2t1VXZMWkpBUFFJZ0FZUHZNRWJ4TEZVbkNseTRlMFFLc3NkSGovNFNNQTFFY3FIWAp2TCtjako4PQotLS0tLUVORCBDRVJUSUZJQ0FURS\
    0tLS0tCg==";

/// Answers as the services of AWS and GitHub's OIDC endpoint do. EKS's answer depends on the cluster's name.
fn aws(request: &HttpRequest) -> HttpResponse {
    let error = |status, code: &str, message: &str| {
        let body = json!({"__type": code, "message": message}).to_string();
        HttpResponse::new(status, body).header("x-amzn-errortype", code)
    };
    let body = String::from_utf8_lossy(&request.body);
    if request.target.starts_with("/token") {
        return HttpResponse::new(
            200,
            json!({"value": "e30.eyJzdWIiOiJyZXBvOmFjbWUvc2hvcCJ9.e30"}).to_string(),
        );
    }
    if body.contains("Action=AssumeRoleWithWebIdentity") {
        return HttpResponse::new(
            200,
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult/></AssumeRoleWithWebIdentityResponse>",
        );
    }
    if body.contains("Action=GetCallerIdentity") {
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code>\
                    <Message>The security token included in the request is expired</Message></Error></ErrorResponse>";
        return HttpResponse::new(400, body);
    }
    if request
        .header("x-amz-target")
        .is_some_and(|target| target.ends_with(".GetAuthorizationToken"))
    {
        let scope = request.header("authorization").unwrap_or_default();
        if scope.contains("/us-east-1/ecr/") {
            return HttpResponse::new(200, "{}");
        }
        let message = "User: arn:aws:iam::123456789012:user/octocat is not authorized to perform: ecr:GetAuthorizationToken";
        return error(400, "AccessDeniedException", message);
    }
    match request.target.rsplit('/').next() {
        Some("absent") => error(
            404,
            "ResourceNotFoundException",
            "No cluster found for name: absent.",
        ),
        Some("denied") => error(
            403,
            "AccessDeniedException",
            "User: arn:aws:iam::123456789012:user/octocat is not authorized to perform: eks:DescribeCluster",
        ),
        Some("other") => error(400, "InvalidParameterException", "The name is invalid"),
        Some("young") => {
            let cluster = json!({"cluster": {"name": "young", "status": "CREATING"}});
            HttpResponse::new(200, cluster.to_string())
        }
        _ => {
            let cluster = json!({"cluster": {"name": "shop", "status": "ACTIVE", "endpoint": "https://127.0.0.1:1",
                "certificateAuthority": {"data": CA}}});
            HttpResponse::new(200, cluster.to_string())
        }
    }
}

#[test]
fn errors_of_aws() -> Result<()> {
    let machine = Machine::with_buildx("github.com/docker/buildx v0.37.0 0123abc")?;
    let server = HttpServer::start(aws)?;
    let mut errors = Errors::default();
    errors.add(
        "no credentials",
        &machine,
        machine.command(&["connect", "--cluster", "shop", "--region", "eu-west-1"]),
    )?;
    let inputs = [("cluster", "shop"), ("region", "eu-west-1")];
    errors.add(
        "no credentials, in a job",
        &machine,
        machine.step("connect", &inputs),
    )?;
    errors.add(
        "no region",
        &machine,
        machine.command(&["connect", "--cluster", "shop"]),
    )?;
    for (name, cluster, flags) in [
        ("cluster that does not exist", "absent", &[][..]),
        ("cluster that cannot be described", "denied", &[]),
        ("another error of EKS", "other", &[]),
        ("cluster that is being created", "young", &[]),
        ("account that cannot be determined", "shop", &["--ecr", "auto"]),
        ("ECR that denies a login", "shop", &["--ecr", "123456789012"]),
        ("public ECR that denies a login", "shop", &["--ecr", "public"]),
        (
            "ECR without a token in its answer",
            "shop",
            &["--ecr", "123456789012/us-east-1"],
        ),
    ] {
        errors.add(name, &machine, machine.connect_to_eks(&server, cluster, flags))?;
    }
    let command = |variable: &str, url: &str| {
        let mut command = machine.connect_to_eks(&server, "shop", &["--timeout", "4s"]);
        command.env_remove("AWS_ENDPOINT_URL").env(variable, url);
        command
    };
    let endpoint = "AWS_ENDPOINT_URL";
    let role = [
        ("cluster", "shop"),
        ("region", "eu-west-1"),
        ("role-to-assume", "arn:aws:iam::123456789012:role/ci"),
        ("timeout", "4s"),
    ];
    let mut step = machine.step("connect", &role);
    step.envs([
        (
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "https://pipelines.example.com/token",
        ),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t"),
        ("HTTPS_PROXY", "http://me:word@127.0.0.1:1"),
    ]);
    errors.add_concurrently(
        &machine,
        vec![
            (
                "AWS that refuses connections",
                command(endpoint, "http://127.0.0.1:1"),
            ),
            (
                "host name of AWS that cannot be resolved",
                command(endpoint, "http://no-such-host.invalid"),
            ),
            (
                "proxy for AWS that refuses connections",
                command("HTTPS_PROXY", "http://me:word@127.0.0.1:1"),
            ),
            ("proxy for GitHub that refuses connections", step),
        ],
    )?;
    let inputs = [
        ("cluster", "shop"),
        ("region", "eu-west-1"),
        ("role-to-assume", "arn:aws:iam::123456789012:role/ci"),
    ];
    errors.add(
        "job without id-token: write",
        &machine,
        machine.step("connect", &inputs),
    )?;
    let mut step = machine.step("connect", &inputs);
    step.envs([
        ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/token", server.url)),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t".into()),
        ("AWS_ENDPOINT_URL", server.url.clone()),
    ]);
    errors.add("STS without credentials in its answer", &machine, step)?;
    insta::assert_snapshot!(errors.text(Some(&server)));
    Ok(())
}

//! Tokens equal those of `aws eks get-token` byte for byte: botocore signs the same request at the same time.

use std::process::Command;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{LAB, program, run};

/// Creates a token as awscli does (awscli/customizations/eks/get_token.py), at a given time.
const BOTOCORE: &str = r#"
import base64, datetime, json, sys
import botocore.auth, botocore.session
case = json.loads(sys.argv[1])
class Fixed(datetime.datetime):
    @classmethod
    def utcnow(cls): return cls.fromtimestamp(case["now"], datetime.timezone.utc).replace(tzinfo=None)
    @classmethod
    def now(cls, tz=None): return cls.fromtimestamp(case["now"], tz)
fixed = type("m", (), {"datetime": Fixed, "timezone": datetime.timezone, "timedelta": datetime.timedelta})
botocore.auth.datetime = fixed if hasattr(botocore.auth.datetime, "datetime") else Fixed
if hasattr(botocore.auth, "get_current_datetime"):
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: Fixed.utcnow() if remove_tzinfo else Fixed.now(datetime.timezone.utc)
session = botocore.session.get_session()
from botocore.config import Config
client = session.create_client("sts", region_name=case["region"], aws_access_key_id=case["key"],
    aws_secret_access_key=case["secret"], aws_session_token=case["session"],
    config=Config(use_fips_endpoint=case["fips"]))
client.meta.events.register("provide-client-params.sts.GetCallerIdentity",
    lambda params, context, **kw: context.update({"cluster": params.pop("Cluster")}))
client.meta.events.register("before-sign.sts.GetCallerIdentity",
    lambda request, **kw: request.headers.__setitem__("x-k8s-aws-id", request.context["cluster"]))
url = client.generate_presigned_url("get_caller_identity", Params={"Cluster": case["cluster"]}, ExpiresIn=60, HttpMethod="GET")
print("k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("="))
"#;

/// Returns the token that the program creates from a session.
fn token(session: &Value) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("session.json");
    std::fs::write(&path, session.to_string())?;
    let mut command = Command::new(program());
    let credential = run(command.env_clear().args(["token", "--session"]).arg(&path))?;
    let credential: Value = serde_json::from_str(&credential)?;
    Ok(credential["status"]["token"]
        .as_str()
        .context("no token")?
        .to_owned())
}

/// Returns the time at which a token was signed.
fn signed_at(token: &str) -> Result<Timestamp> {
    let url = token.strip_prefix("k8s-aws-v1.").context("no token of EKS")?;
    let url = String::from_utf8(URL_SAFE_NO_PAD.decode(url)?)?;
    let (_, rest) = url.split_once("X-Amz-Date=").context("no date")?;
    Ok(rest.split('&').next().context("no date")?.parse()?)
}

#[test]
fn tokens_equal_botocores_tokens() -> Result<()> {
    let sessions = [
        None,
        Some("IQoJb3JpZ2luX2VjE+a/b=="),
        Some("FwoGZXIvYXdzE//////////wEaD+++===%20 ~*'()"),
    ];
    let regions = [
        ("eu-west-1", false),
        ("us-east-1", false),
        ("us-east-1", true),
        ("us-west-2", true),
        ("cn-north-1", false),
        ("cn-northwest-1", false),
        ("us-gov-west-1", false),
        ("us-gov-east-1", true),
    ];
    let mut compared = 0;
    for session in sessions {
        for (name, fips) in regions {
            let (key, secret) = ("ASIAEXAMPLEEXAMPLE12", "a/b+c=d/EXAMPLEKEYEXAMPLEKEY");
            let ours = token(&json!({
                "cluster": "shop_1",
                "region": {"name": name, "fips": fips},
                "identity": "default",
                "keys": {
                    "access_key_id": key, "secret_access_key": secret, "session_token": session, "expires": null,
                },
                "clock": null,
            }))?;
            let case = json!({
                "now": signed_at(&ours)?.as_second(), "region": name, "fips": fips, "cluster": "shop_1",
                "key": key, "secret": secret, "session": session,
            });
            let mut python = Command::new(&LAB.python);
            python.args(["-c", BOTOCORE, &case.to_string()]);
            python.env_remove("AWS_ENDPOINT_URL");
            let theirs = run(&mut python)?;
            assert_eq!(ours, theirs.trim(), "{case}");
            assert!(ours.len() <= 4096);
            compared += 1;
        }
    }
    assert_eq!(compared, 24);
    Ok(())
}

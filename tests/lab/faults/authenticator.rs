//! The webhook that the API server asks who somebody is. On EKS it is AWS's.

use anyhow::Result;

use crate::support::LAB;
use crate::support::scenario::Scenario;

/// The API server says 401, as it does to somebody unknown.
#[test]
fn authenticator_is_down() -> Result<()> {
    let mut scenario = Scenario::new("authenticator", 30)?;
    let fault = LAB.kill("authenticator")?;
    scenario.expect_failure("Cluster rejected our identity (401)", &["401", "role/ci"])?;
    fault.end()?;
    scenario.expect_recovery()
}

//! The webhook with which the API server authenticates tokens. On EKS, AWS runs it.

use anyhow::Result;

use crate::support::LAB;
use crate::support::scenario::Scenario;

/// The API server answers 401, as it does for an unknown identity.
#[test]
fn authenticator_is_down() -> Result<()> {
    let mut scenario = Scenario::new("authenticator", 30)?;
    let fault = LAB.kill("authenticator")?;
    scenario.expect_failure("Cluster rejected our identity (401)", &["401", "role/ci"])?;
    fault.end()?;
    scenario.expect_recovery()
}

//! The webhook that the API server asks who somebody is. On EKS it is AWS's.

use anyhow::Result;

use crate::support::LAB;
use crate::trial::Trial;

/// The API server says 401, as it does to somebody unknown.
#[test]
fn authenticator_is_down() -> Result<()> {
    let mut trial = Trial::new("authenticator", 30)?;
    let fault = LAB.kill("authenticator")?;
    trial.fails("Cluster rejected our identity (401)", &["401", "role/ci"])?;
    fault.end()?;
    trial.heals()
}

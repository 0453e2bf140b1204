//! The machine that a runner is: its users, and the programs that are put on it. What is made is written down first, so
//! that it can be undone whatever happens.

mod lock;
mod places;
mod record;
mod user;

pub use lock::Lock;
pub use places::{Places, folder_of};
pub use record::{Change, Record};
pub use user::User;

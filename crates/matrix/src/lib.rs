//! Which images of a repository a change touches: from what each is made of, and what differs between two commits, to
//! the legs of a matrix. Values in, values out: files, Git, GitHub and buildx are for others to read.

pub mod bake;
pub mod changes;
pub mod comparison;
pub mod definition;
pub mod discovery;
pub mod dockerfile;
pub mod folders;
pub mod glob;
pub mod ignore;
pub mod legs;
pub mod parts;
pub mod place;
pub mod plan;
pub mod table;
pub mod target;
pub mod tree;

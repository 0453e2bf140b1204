//! Which images of a repository a change touches: from what each is made of, and what differs between two commits, to
//! the legs of a matrix. Values in, values out: files, Git, GitHub and buildx are for others to read.

pub mod dockerfile;
pub mod glob;
pub mod ignore;

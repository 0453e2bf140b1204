//! The marker of unknown values, which words, sources and messages may contain.

/// Marks the unknown value of a variable. It is a noncharacter of Unicode, which no text contains.
pub const UNRESOLVED: char = '\u{ffff}';

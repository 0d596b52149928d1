//! Entry point: parse, run, render the error, choose the exit code.

fn main() {}

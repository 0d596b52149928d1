//! From audio files to the features of a prompt, against recorded references and against damaged files.

mod damage;
mod features;
mod files;

//! The log on a branch of a git repository, from outside: real servers, and jobs with empty disks.

mod broken;
mod remote;
mod road;
mod team;

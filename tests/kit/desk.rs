//! The command line, as somebody at a terminal uses it.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::app::{PASSWORD, TestApp};
use super::process::{DARKROOM, Process};

/// The user that owns nothing, by custom.
pub const NOBODY: u32 = 65_534;

/// Somebody at a terminal, with a home of their own.
pub struct Desk {
    pub home: tempfile::TempDir,
    server: String,
    /// Whether it is run by somebody who is not root.
    pub as_nobody: bool,
}

impl Desk {
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("darkroom")
    }

    /// A command that is to be given here.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(DARKROOM);
        if self.as_nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.args(args).env("HOME", self.home.path()).env("DARKROOM_URL", &self.server).stdin(Stdio::null());
        command.env_remove("XDG_CONFIG_HOME").env_remove("DARKROOM_TOKEN");
        command
    }

    /// What it prints, if it ends with this code.
    pub fn says(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}{err}");
        out.into_owned()
    }

    pub fn json(&self, code: i32, args: &[&str]) -> Value {
        serde_json::from_str(&self.says(code, args)).expect("JSON")
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Desk {
    /// A new home, where nobody is logged in.
    pub fn at(server: &Process) -> Self {
        Self { home: tempfile::tempdir().expect("a folder"), server: server.base.clone(), as_nobody: false }
    }

    /// A home with a session of this user.
    pub fn of(app: &TestApp, user: &str) -> (Self, Process) {
        let server = app.process(&[]);
        let desk = Self::at(&server);
        desk.log_in(user);
        (desk, server)
    }

    pub fn log_in(&self, user: &str) -> String {
        let password = self.write("password", PASSWORD.as_bytes());
        self.says(0, &["login", "--user", user, "--password-file", &password])
    }

    /// What it says beside, if it ends with this code.
    pub fn complains(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}{err}");
        err.into_owned()
    }
}

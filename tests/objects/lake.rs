//! A lake for one test: a bucket with input files, and a workspace in which the real command runs with the credentials
//! of the server, directly or through a proxy.
//!
//! Not for: expectations.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use cutover::internals::objects::{Bucket, Key, Location};

use crate::fixture::write_parquet;
use crate::harness::{CUTOVER, Run, Running, Workspace};
use crate::server::{SECRET, Server};

/// Where a command finds the server, and as whom.
pub const USER: &str = "admin";

/// A bucket with a workspace.
pub struct Lake {
    pub workspace: Workspace,
    pub bucket: String,
    pub port: u16,
    direct: Bucket,
}

impl Lake {
    /// An empty one; none where there is no server.
    pub fn new() -> Option<Self> {
        Server::shared().map(Self::on)
    }

    /// An empty one on a server.
    pub fn on(server: &Server) -> Self {
        let bucket = server.bucket();
        let location = Location::parse(&format!("s3://{bucket}")).unwrap();
        let direct = Bucket::open(&location, &Server::settings(server.port())).unwrap();
        Self { workspace: Workspace::new(), bucket, port: server.port(), direct }
    }

    /// The URL of a key.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// Writes an object.
    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.direct.put(&Key::new(key).unwrap(), bytes.into()).unwrap();
    }

    /// The text of an object.
    #[allow(dead_code, reason = "the tests of clusters use it")]
    pub fn read(&self, key: &str) -> String {
        let object = self.direct.get(&Key::new(key).unwrap(), u64::MAX).unwrap().unwrap();
        String::from_utf8_lossy(&object.bytes).into_owned()
    }

    /// Deletes an object.
    pub fn delete(&self, key: &str) {
        self.direct.delete([Key::new(key).unwrap()]).unwrap();
    }

    /// Writes what is in a directory of the workspace as objects with the same names.
    pub fn upload(&self, directory: &str) {
        let root = self.workspace.path("");
        each_file(&self.workspace.path(directory), &mut |path| {
            let key = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            self.put(&key, std::fs::read(path).unwrap());
        });
    }

    /// A command with the server's credentials.
    pub fn command(&self, line: &str) -> Command {
        self.command_as(self.port, USER, SECRET, line)
    }

    /// A command with other credentials, or by way of another port.
    pub fn command_as(&self, port: u16, user: &str, secret: &str, line: &str) -> Command {
        let mut command = self.workspace.command(CUTOVER, &line.split_whitespace().collect::<Vec<_>>());
        command.env("AWS_ACCESS_KEY_ID", user).env("AWS_SECRET_ACCESS_KEY", secret);
        command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"));
        command
    }

    /// Runs `cutover` to its end.
    pub fn cutover(&self, line: &str) -> Run {
        self.workspace.finish(&mut self.command(line))
    }

    /// Starts `cutover` with failpoints armed.
    pub fn start_failing(&self, failpoints: &str, line: &str) -> Running<'_> {
        self.workspace.spawn(self.command(line).env("CUTOVER_FAILPOINTS", failpoints))
    }

    /// Writes a job over one input.
    pub fn job(&self, name: &str, path: &str, more: &str) {
        let job = format!(
            "version = 1\ndataset = \"rows\"\nstore = \"stores/{name}\"\n\n[inputs.rows]\npath = \"{path}\"\n{more}\n\n\
             [query]\nsql = \"SELECT * FROM rows\"\n\n[output]\nkey = [\"key\"]\nduplicates = \"number\"\n"
        );
        self.workspace.write(&format!("{name}.toml"), job);
    }
}

fn each_file(directory: &Path, take: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { each_file(&path, take) } else { take(&path) }
    }
}

/// Columns of rows: keys, numbers, and a string that is null now and then.
pub fn columns(rows: std::ops::Range<i64>) -> Vec<(&'static str, ArrayRef)> {
    let keys = StringArray::from_iter_values(rows.clone().map(|row| format!("k{row:06}")));
    let numbers = Int64Array::from_iter_values(rows.clone().map(|row| row * 7 - 3));
    let texts: StringArray = rows.map(|row| (row % 5 > 0).then(|| format!("text of {row}, é"))).collect();
    vec![("key", Arc::new(keys)), ("number", Arc::new(numbers)), ("text", Arc::new(texts))]
}

/// A Parquet file of these rows.
pub fn parquet(workspace: &Workspace, name: &str, rows: std::ops::Range<i64>) {
    write_parquet(&workspace.path(name), columns(rows));
}

/// A text of these rows as CSV.
pub fn csv(rows: std::ops::Range<i64>) -> String {
    let line = |row: i64| {
        let text = if row % 5 > 0 { format!("\"text of {row}, é\"") } else { String::new() };
        format!("k{row:06},{},{text}\n", row * 7 - 3)
    };
    std::iter::once("key,number,text\n".to_owned()).chain(rows.map(line)).collect()
}

/// A text of these rows as JSON lines.
pub fn json(rows: std::ops::Range<i64>) -> String {
    let line = |row: i64| {
        let text = if row % 5 > 0 { format!("\"text of {row}, é\"") } else { "null".to_owned() };
        format!("{{\"key\": \"k{row:06}\", \"number\": {}, \"text\": {text}}}\n", row * 7 - 3)
    };
    rows.map(line).collect()
}

/// An Avro file of these rows.
pub fn avro(rows: std::ops::Range<i64>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns(rows).into_iter().map(|(name, column)| (name, column, name == "text")),
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = arrow_avro::writer::AvroWriter::new(&mut bytes, batch.schema().as_ref().clone()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

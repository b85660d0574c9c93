//! An HTTP client for the tests beside: one connection an answer.

use crate::support::PATIENCE;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

#[derive(Debug, Clone)]
pub(crate) struct Api {
    addr: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The code of an error; empty where it is none.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }
}

impl Api {
    pub(crate) fn new(addr: &str) -> Self {
        Self { addr: addr.to_owned() }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], &body.to_string())
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut reader = self.begin(method, path, headers, body);
        let (status, headers) = head(&mut reader);
        let mut body = Vec::new();
        // A stream has no end: its head is the answer.
        if headers.iter().all(|(_, value)| value != "text/event-stream") {
            let length = headers.iter().find(|(name, _)| name == "content-length");
            match length.map(|(_, value)| value.parse().unwrap()) {
                Some(length) => {
                    body.resize(length, 0);
                    reader.read_exact(&mut body).unwrap();
                }
                None => drop(reader.read_to_end(&mut body)),
            }
        }
        Answer { status, headers, body }
    }

    /// Asks, and leaves the answer to be read.
    pub(crate) fn begin(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = headers.iter().find(|(name, _)| *name == "host").map_or(&*self.addr, |(_, value)| value);
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
            text += &format!("{name}: {value}\r\n");
        }
        if method != "GET" {
            text += &format!("content-length: {}\r\n", body.len());
        }
        // What is refused early is not read to its end.
        let _refused = stream.write_all(format!("{text}\r\n{body}").as_bytes());
        BufReader::new(stream)
    }

    /// Looks until what is there fits.
    pub(crate) fn until(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.poll(path, |answer| Some(answer.json()).filter(&fits))
    }

    pub(crate) fn until_text(&self, path: &str, part: &str) {
        self.poll(path, |answer| answer.text().contains(part).then_some(()))
    }

    pub(crate) fn until_status(&self, path: &str, status: u16) {
        self.poll(path, |answer| (answer.status == status).then_some(()))
    }

    fn poll<T>(&self, path: &str, look: impl Fn(&Answer) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path);
            if let Some(found) = look(&answer) {
                return found;
            }
            assert!(Instant::now() < until, "{path} does not come to it: {answer:?}");
            std::thread::yield_now();
        }
    }

    pub(crate) fn events(&self, path: &str) -> Events {
        let mut reader = self.begin("GET", path, &[], "");
        let (status, headers) = head(&mut reader);
        assert_eq!(status, 200, "{headers:?}");
        Events { reader, bytes: Vec::new() }
    }
}

fn head(reader: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { return (status, headers) };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
}

/// A stream of Server-Sent Events in chunks.
pub(crate) struct Events {
    reader: BufReader<TcpStream>,
    /// Of the chunks that came.
    bytes: Vec<u8>,
}

impl Events {
    /// The data of the next event of a kind; others are passed over.
    pub(crate) fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next();
            let (name, data) = event.split_once('\n').unwrap();
            if name == format!("event: {kind}") {
                return serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            }
        }
    }

    fn next(&mut self) -> String {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.bytes.drain(..end + 2).collect();
                return String::from_utf8(event).unwrap().trim_end().to_owned();
            }
            let mut length = String::new();
            self.reader.read_line(&mut length).unwrap();
            let length = usize::from_str_radix(length.trim_end(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            self.reader.read_exact(&mut chunk).unwrap();
            self.bytes.extend_from_slice(&chunk[..length]);
        }
    }
}

/// Every byte as `%XX`.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

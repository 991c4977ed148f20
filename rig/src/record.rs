//! A session record as the program wrote it, in JSON.

use serde_json::Value;

/// One session, at its end.
#[derive(Clone, Debug)]
pub struct Record(Value);

/// What a failed attempt was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The backend, as configured.
    pub backend: String,
    /// Why it failed.
    pub failure: String,
}

impl Record {
    /// Reads a line, if it is a record: other lines are messages.
    pub fn read(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        value.get("reason").is_some().then_some(Self(value))
    }

    /// Why it ended.
    #[track_caller]
    pub fn reason(&self) -> &str {
        self.word("reason")
    }

    /// Who ended it.
    #[track_caller]
    pub fn side(&self) -> &str {
        self.word("side")
    }

    /// Bytes delivered to the backend.
    #[track_caller]
    pub fn bytes_to_backend(&self) -> u64 {
        self.number("bytes_to_backend")
    }

    /// Bytes delivered to the client.
    #[track_caller]
    pub fn bytes_to_client(&self) -> u64 {
        self.number("bytes_to_client")
    }

    /// Datagrams of a flow: to the backend, to the client, lost.
    #[track_caller]
    pub fn datagrams(&self) -> [u64; 3] {
        ["datagrams_to_backend", "datagrams_to_client", "datagrams_lost"]
            .map(|name| self.number(name))
    }

    /// The backend that served it, as configured.
    pub fn backend(&self) -> Option<&str> {
        self.0["backend"].as_str()
    }

    /// The client's address.
    #[track_caller]
    pub fn client(&self) -> &str {
        self.word("client")
    }

    /// The attempts that failed, in order.
    #[track_caller]
    pub fn attempts(&self) -> Vec<Attempt> {
        let attempts = self.0["attempts"].as_array();
        attempts
            .unwrap_or_else(|| panic!("attempts is no list in {}", self.0))
            .iter()
            .map(|attempt| Attempt {
                backend: attempt["backend"].as_str().unwrap_or_default().to_owned(),
                failure: attempt["failure"].as_str().unwrap_or_default().to_owned(),
            })
            .collect()
    }

    /// Any field.
    pub fn field(&self, name: &str) -> &Value {
        &self.0[name]
    }

    #[track_caller]
    fn word(&self, name: &str) -> &str {
        let word = self.0[name].as_str();
        word.unwrap_or_else(|| panic!("{name} is no word in {}", self.0))
    }

    #[track_caller]
    fn number(&self, name: &str) -> u64 {
        let number = self.0[name].as_u64();
        number.unwrap_or_else(|| panic!("{name} is no number in {}", self.0))
    }
}

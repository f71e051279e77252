//! Requests, notifications and replies of JSON-RPC 2.0 (jsonrpc.org/specification), without batches.

use super::data::Data;
use super::fault::WireFault;
use super::name::Name;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;

/// The number under which an error of the bridge itself is answered; its `data` is the error.
pub const BRIDGE_ERROR: i64 = -32000;

/// Ids stay where every language's numbers are exact.
pub const GREATEST_ID: u64 = (1 << 53) - 1;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq)]
pub enum WireError {
    /// An error of the bridge.
    Bridge(Box<BridgeError>),
    /// A breach of the protocol that the callee met.
    Fault(WireFault),
    /// An error under a number that this side does not know.
    Other(i64),
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// Wants a reply.
    Request {
        /// From 1 on, greater than each before it.
        id: u64,
        /// What is asked for.
        method: String,
        /// With what; null where nothing was given.
        params: Data,
    },
    /// Wants none.
    Notification {
        /// What is told.
        method: String,
        /// With what.
        params: Data,
    },
    /// Answers a request.
    Reply {
        /// Which; none where the request could not be read.
        id: Option<u64>,
        /// The result, or why there is none.
        outcome: Result<Data, WireError>,
    },
}

impl Message {
    /// Reads a message. Names that it does not know are skipped.
    ///
    /// # Errors
    /// `invalid_message`.
    pub fn read(mut data: Data) -> Result<Self, WireFault> {
        if data.get("jsonrpc").and_then(Data::as_text) != Some("2.0") {
            return Err(WireFault::InvalidMessage);
        }
        let id = data.take("id");
        if let Some(method) = data.take("method") {
            let Data::Text(method) = method else { return Err(WireFault::InvalidMessage) };
            if data.get("result").is_some() || data.get("error").is_some() {
                return Err(WireFault::InvalidMessage);
            }
            let params = data.take("params").unwrap_or(Data::Null);
            if !matches!(params, Data::Map(_) | Data::Null) {
                return Err(WireFault::InvalidParams);
            }
            return match id {
                None => Ok(Self::Notification { method, params }),
                Some(Data::Unsigned(id @ 1..=GREATEST_ID)) => Ok(Self::Request { id, method, params }),
                Some(_) => Err(WireFault::InvalidMessage),
            };
        }
        let id = match id {
            Some(Data::Null) => None,
            Some(Data::Unsigned(id)) => Some(id),
            _ => return Err(WireFault::InvalidMessage),
        };
        match (data.take("result"), data.take("error")) {
            (Some(result), None) => Ok(Self::Reply { id, outcome: Ok(result) }),
            (None, Some(error)) => Ok(Self::Reply { id, outcome: Err(WireError::read(error)?) }),
            _ => Err(WireFault::InvalidMessage),
        }
    }

    /// As data that can be encoded.
    pub fn into_data(self) -> Data {
        let mut entries = Vec::with_capacity(4);
        let mut add = |name: &'static str, value: Data| entries.push((Name::fixed(name), value));
        add("jsonrpc", Data::text("2.0"));
        match self {
            Self::Request { id, method, params } => {
                add("id", Data::Unsigned(id));
                add("method", Data::Text(method));
                add("params", params);
            }
            Self::Notification { method, params } => {
                add("method", Data::Text(method));
                add("params", params);
            }
            Self::Reply { id, outcome } => {
                add("id", id.map_or(Data::Null, Data::Unsigned));
                match outcome {
                    Ok(result) => add("result", result),
                    Err(error) => add("error", error.into_data()),
                }
            }
        }
        Data::Map(entries)
    }
}

impl WireError {
    fn read(mut error: Data) -> Result<Self, WireFault> {
        let number = match error.get("code") {
            Some(Data::Negative(number)) => *number,
            Some(Data::Unsigned(number)) => i64::try_from(*number).map_err(|_| WireFault::InvalidMessage)?,
            _ => return Err(WireFault::InvalidMessage),
        };
        if !matches!(error.get("message"), Some(Data::Text(_))) {
            return Err(WireFault::InvalidMessage);
        }
        let details = error.take("data");
        if number == BRIDGE_ERROR {
            let bridge = details.and_then(|details| serde_json::from_value(details.into_json()).ok());
            return Ok(bridge.map_or(Self::Other(number), |error| Self::Bridge(Box::new(checked(error)))));
        }
        let name = details.as_ref().and_then(|details| details.get("fault")).and_then(Data::as_text);
        let fault = WireFault::ALL.iter().find(|fault| Some(fault.as_str()) == name && fault.number() == number);
        Ok(fault.map_or(Self::Other(number), |fault| Self::Fault(*fault)))
    }

    fn into_data(self) -> Data {
        let (number, message, data) = match self {
            Self::Bridge(error) => {
                let message = error.message.clone();
                (BRIDGE_ERROR, message, super::typed::to_data(&error))
            }
            Self::Fault(fault) => {
                (fault.number(), fault.meaning().to_owned(), Data::map([("fault", Data::text(fault.as_str()))]))
            }
            Self::Other(number) => (number, "an error of the plane's own".to_owned(), Data::Null),
        };
        let number = u64::try_from(number).map_or(Data::Negative(number), Data::Unsigned);
        Data::map([("code", number), ("message", Data::Text(message)), ("data", data)])
    }

    /// As whoever made the call is told.
    pub fn into_bridge_error(self) -> BridgeError {
        match self {
            Self::Bridge(error) => *error,
            Self::Fault(WireFault::TooManyPending) => {
                BridgeError::new(ErrorCode::QueueFull, "the plane has as many calls to answer as it takes; try again")
            }
            Self::Fault(WireFault::UnknownMethod) => BridgeError::new(
                ErrorCode::UnsupportedOperation,
                "this plane does not offer the operation; its descriptor lists what it can do",
            ),
            Self::Fault(fault) => BridgeError::new(
                ErrorCode::PlaneFault,
                format!("the plane's process says that it was called wrongly ({fault}): {}", fault.meaning()),
            )
            .with("wire_fault", fault.as_str()),
            Self::Other(number) => {
                let message =
                    "the plane answered an error that this kernel does not know; it may be of a later release";
                BridgeError::new(ErrorCode::PlaneFault, message).with("json_rpc_code", number)
            }
        }
    }
}

/// The category is the code's own, whatever the other side says.
fn checked(mut error: BridgeError) -> BridgeError {
    error.category = error.code.category();
    error
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    fn read(text: &str) -> Result<Message, WireFault> {
        Message::read(json::decode(text.as_bytes(), 16).unwrap())
    }

    #[test]
    fn messages_survive_the_way_there_and_back() {
        let error = BridgeError::new(ErrorCode::NotFound, "no such thing").with("path", "/x");
        let messages = [
            Message::Request { id: 1, method: "a.b".to_owned(), params: Data::map([("x", Data::Null)]) },
            Message::Notification { method: "c".to_owned(), params: Data::Null },
            Message::Reply { id: Some(3), outcome: Ok(Data::Bool(true)) },
            Message::Reply { id: Some(4), outcome: Err(WireError::Bridge(Box::new(error))) },
            Message::Reply { id: None, outcome: Err(WireError::Fault(WireFault::TooDeep)) },
        ];
        for message in messages {
            assert_eq!(Message::read(message.clone().into_data()), Ok(message));
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in [
            "[]",
            "1",
            "{}",
            r#"{"id":1,"method":"a"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":"1","method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":0,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":-1,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":9007199254740992,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":2}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","result":1}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","result":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":""}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":""}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#,
        ] {
            assert_eq!(read(text), Err(WireFault::InvalidMessage), "{text}");
        }
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[]}"#), Err(WireFault::InvalidParams));
    }

    #[test]
    fn a_code_of_a_later_release_is_a_plane_fault_here() {
        let text = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"m","data":{"code":"of_the_future","category":"host","retryable":false,"message":"m"}}}"#;
        let Ok(Message::Reply { outcome: Err(error), .. }) = read(text) else { panic!("no reply") };
        assert_eq!(error.into_bridge_error().code, ErrorCode::PlaneFault);
    }
}

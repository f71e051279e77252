//! How a request of a small bridge goes onto the wire: by its JSON form, but for bytes.

use cofferdam_bridge::filesystem::{WriteFileRequest, WriteRangeRequest};
use cofferdam_bridge::persistence::FlushFilesystemStateRequest;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::typed::{to_data, with_bytes};

pub(super) trait Sent {
    fn sent(self) -> Data;
}

impl Sent for WriteFileRequest {
    fn sent(mut self) -> Data {
        let contents = std::mem::take(&mut self.contents);
        with_bytes(&self, "contents", contents)
    }
}

impl Sent for WriteRangeRequest {
    fn sent(mut self) -> Data {
        let contents = std::mem::take(&mut self.contents);
        with_bytes(&self, "contents", contents)
    }
}

impl Sent for FlushFilesystemStateRequest {
    fn sent(mut self) -> Data {
        let bytes = std::mem::take(&mut self.snapshot.bytes);
        let mut data = to_data(&self);
        if let Some(place) = data.get_mut("snapshot").and_then(|snapshot| snapshot.get_mut("bytes")) {
            *place = Data::Bytes(bytes);
        }
        data
    }
}

macro_rules! by_json {
    ($($request:ty),* $(,)?) => { $(impl Sent for $request {
        fn sent(self) -> Data {
            to_data(&self)
        }
    })* };
}
by_json!(
    cofferdam_bridge::filesystem::PathRequest,
    cofferdam_bridge::filesystem::ReadRangeRequest,
    cofferdam_bridge::filesystem::CreateDirectoryRequest,
    cofferdam_bridge::filesystem::TwoPathsRequest,
    cofferdam_bridge::filesystem::SymlinkRequest,
    cofferdam_bridge::filesystem::ChmodRequest,
    cofferdam_bridge::filesystem::TruncateRequest,
    cofferdam_bridge::filesystem::SetTimesRequest,
    cofferdam_bridge::filesystem::UnwatchRequest,
    cofferdam_bridge::filesystem::WatchRequest,
    cofferdam_bridge::module::ResolveModuleRequest,
    cofferdam_bridge::module::ModuleFormatRequest,
    cofferdam_bridge::permission::FilesystemPermissionRequest,
    cofferdam_bridge::permission::NetworkPermissionRequest,
    cofferdam_bridge::permission::CommandPermissionRequest,
    cofferdam_bridge::permission::EnvironmentPermissionRequest,
    cofferdam_bridge::persistence::LoadFilesystemStateRequest,
    cofferdam_bridge::clock::ClockRequest,
    cofferdam_bridge::clock::CancelTimerRequest,
    cofferdam_bridge::clock::ScheduleTimerRequest,
    cofferdam_bridge::random::FillRandomBytesRequest,
    cofferdam_bridge::telemetry::StructuredEvent,
    cofferdam_bridge::telemetry::Diagnostic,
    cofferdam_bridge::telemetry::LogRecord,
    cofferdam_bridge::telemetry::LifecycleEvent,
    cofferdam_bridge::exec::RunProgramRequest,
);

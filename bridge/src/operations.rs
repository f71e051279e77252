//! The one list of what can be asked across the small bridges. [`Exclusive`](crate::exclusive::Exclusive) and the contract's dispatch
//! are made from it, and so is what carries them over the wire, so that none can lack an operation.

/// Calls `$then!` with `trait, group { method(Request) -> Answer; … } with { method(Request, sink) -> Answer; … }` for every small bridge.
#[doc(hidden)]
#[macro_export]
macro_rules! bridge_operations {
    ($then:ident) => {
        $then! {
            $crate::filesystem::FilesystemBridge, "filesystem" {
                read_file($crate::filesystem::PathRequest) -> Vec<u8>;
                read_range($crate::filesystem::ReadRangeRequest) -> Vec<u8>;
                write_file($crate::filesystem::WriteFileRequest) -> ();
                write_range($crate::filesystem::WriteRangeRequest) -> ();
                append_file($crate::filesystem::WriteFileRequest) -> ();
                stat($crate::filesystem::PathRequest) -> $crate::filesystem::FileMetadata;
                lstat($crate::filesystem::PathRequest) -> $crate::filesystem::FileMetadata;
                read_dir($crate::filesystem::PathRequest) -> Vec<$crate::filesystem::DirectoryEntry>;
                create_dir($crate::filesystem::CreateDirectoryRequest) -> ();
                remove_file($crate::filesystem::PathRequest) -> ();
                remove_dir($crate::filesystem::PathRequest) -> ();
                rename($crate::filesystem::TwoPathsRequest) -> ();
                copy($crate::filesystem::TwoPathsRequest) -> ();
                hard_link($crate::filesystem::TwoPathsRequest) -> ();
                symlink($crate::filesystem::SymlinkRequest) -> ();
                read_link($crate::filesystem::PathRequest) -> String;
                chmod($crate::filesystem::ChmodRequest) -> ();
                truncate($crate::filesystem::TruncateRequest) -> ();
                set_times($crate::filesystem::SetTimesRequest) -> ();
                canonicalize($crate::filesystem::PathRequest) -> String;
                exists($crate::filesystem::PathRequest) -> bool;
                unwatch($crate::filesystem::UnwatchRequest) -> ();
            } with {
                watch($crate::filesystem::WatchRequest, std::sync::Arc<dyn $crate::filesystem::WatchSink>) -> u64;
            }
            $crate::module::ModuleBridge, "module" {
                resolve_module($crate::module::ResolveModuleRequest) -> String;
                load_file($crate::filesystem::PathRequest) -> String;
                module_format($crate::module::ModuleFormatRequest) -> Option<$crate::module::ModuleFormat>;
            } with {}
            $crate::permission::PermissionBridge, "permission" {
                check_filesystem_access($crate::permission::FilesystemPermissionRequest) -> $crate::permission::PermissionVerdict;
                check_network_access($crate::permission::NetworkPermissionRequest) -> $crate::permission::PermissionVerdict;
                check_command_execution($crate::permission::CommandPermissionRequest) -> $crate::permission::PermissionVerdict;
                check_environment_access($crate::permission::EnvironmentPermissionRequest) -> $crate::permission::PermissionVerdict;
            } with {}
            $crate::persistence::PersistenceBridge, "persistence" {
                load_filesystem_state($crate::persistence::LoadFilesystemStateRequest) -> Option<$crate::persistence::FilesystemSnapshot>;
                flush_filesystem_state($crate::persistence::FlushFilesystemStateRequest) -> ();
            } with {}
            $crate::clock::ClockBridge, "clock" {
                wall_clock($crate::clock::ClockRequest) -> $crate::clock::Timestamp;
                monotonic_clock($crate::clock::ClockRequest) -> std::time::Duration;
                cancel_timer($crate::clock::CancelTimerRequest) -> bool;
            } with {
                schedule_timer($crate::clock::ScheduleTimerRequest, std::sync::Arc<dyn $crate::clock::TimerSink>) -> $crate::clock::ScheduledTimer;
            }
            $crate::random::RandomBridge, "random" {
                fill_random_bytes($crate::random::FillRandomBytesRequest) -> Vec<u8>;
            } with {}
            $crate::exec::ExecBridge, "exec" {
                run_program($crate::exec::RunProgramRequest) -> serde_json::Value;
            } with {}
            $crate::telemetry::EventBridge, "event" {
                emit_structured_event($crate::telemetry::StructuredEvent) -> ();
                emit_diagnostic($crate::telemetry::Diagnostic) -> ();
                emit_log($crate::telemetry::LogRecord) -> ();
                emit_lifecycle($crate::telemetry::LifecycleEvent) -> ();
            } with {}
        }
    };
}
pub(crate) use bridge_operations as operations;

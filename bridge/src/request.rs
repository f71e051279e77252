//! How requests are declared: every one names its VM, is data, and can grow.

/// Declares request structs with `new(required…)`.
macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        pub struct $name {
            /// The tenant.
            pub vm_id: $crate::ids::VmId,
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $name {
            /// A request.
            pub fn new(vm_id: $crate::ids::VmId, $($field: impl Into<$kind>),*) -> Self {
                Self { vm_id, $($field: $field.into()),* }
            }
        }
    )* };
}
pub(crate) use requests;

//! What a group of keys can do, and the macro that declares one.

use super::{problem::Complaint, written::Written};

/// A key, as the reference of the configuration shows it.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    /// The lines of its documentation; a key without any is explained by the one before it.
    pub about: &'static [&'static str],
    /// Its default as TOML; an example where it has none.
    pub value: String,
    /// Whether it is an example.
    pub is_example: bool,
}

/// Keys that are read together.
pub(super) trait Settings {
    /// The keys, with the present values.
    fn keys(&self) -> Vec<Key>;

    /// Sets `name` to what was written; `None` if there is no such key. On an error the old value
    /// stays.
    fn set(&mut self, name: &str, written: &Written<'_>) -> Option<Result<(), Complaint>>;
}

/// The name of a field that is a keyword, too, without its `r#`.
pub(super) fn plain(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// Declares a group of keys as a struct: `/// documentation`, then `name: type = kind, default;`.
///
/// Everything else follows from that: how a key is read and checked, its default, the commented
/// file `config/config.toml`, and the list in the man page.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $vis:vis struct $Name:ident {
            $(
                $(#[doc = $about:literal])*
                $field:ident: $type:ty = $kind:expr, $default:expr;
            )+
        }
    ) => {
        $(#[$meta])*
        $vis struct $Name {
            $($(#[doc = $about])* pub $field: $type,)+
        }

        impl Default for $Name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $crate::config::settings::Settings for $Name {
            fn keys(&self) -> Vec<$crate::config::settings::Key> {
                vec![$($crate::config::settings::Key {
                    name: $crate::config::settings::plain(stringify!($field)),
                    about: &[$($about),*],
                    value: $crate::config::kind::Kind::show(&$kind, &self.$field),
                    is_example: !$crate::config::kind::Kind::is_set(&$kind, &self.$field),
                },)+]
            }

            fn set(
                &mut self,
                name: &str,
                written: &$crate::config::written::Written<'_>,
            ) -> Option<Result<(), $crate::config::problem::Complaint>> {
                $(if name == $crate::config::settings::plain(stringify!($field)) {
                    let read = $crate::config::kind::Kind::read(&$kind, written);
                    return Some(read.map(|value| self.$field = value));
                })+
                None
            }
        }
    };
}

pub(super) use settings;

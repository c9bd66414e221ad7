//! Names that users give to things in or around a namespace: pins, groups of followers, their members.
//!
//! They follow the rule of namespaces, so that they need no escaping in any store, file or key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::namespace::Namespace;

/// Makes the type of a checked name.
macro_rules! name {
    ($(#[$about:meta])* $name:ident, $what:literal) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A name, checked.
            ///
            /// # Errors
            ///
            /// `Invalid` with [`Namespace::RULE`].
            pub fn new(name: impl Into<String>) -> Result<Self> {
                let name = name.into();
                match Namespace::new(name.as_str()) {
                    Ok(_) => Ok(Self(name)),
                    Err(_) => Err(Error::invalid(format!("{} {name:?}", $what), Namespace::RULE)),
                }
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(name: String) -> Result<Self> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name! {
    /// The name of a pin: the same rule as for namespaces.
    PinName, "pin"
}

name! {
    /// The name of a group of followers: the same rule as for namespaces.
    GroupName, "group"
}

name! {
    /// The name of a member of a group of followers: the same rule as for namespaces.
    MemberName, "member"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_need_escaping_is_refused_with_the_rule() {
        for name in ["", "a/b", "a:b", "..", "__x", "a b"] {
            let error = GroupName::new(name).unwrap_err().to_string();
            assert!(error.starts_with(&format!("group {name:?}")) && error.contains("a name has"), "{error}");
            assert!(serde_json::from_value::<MemberName>(name.into()).is_err(), "{name:?}");
        }
        assert_eq!("billing.v2".parse::<MemberName>().unwrap().as_str(), "billing.v2");
    }
}

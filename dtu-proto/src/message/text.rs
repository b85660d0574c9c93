//! Fields with a length byte in front. A value of these types is in its bounds, so encoding it cannot fail.

use super::error::{Field, MessageError};
use core::fmt;

/// The longest device id, in bytes.
pub const MAX_DEVICE_ID_LEN: usize = 64;

/// Checks a field's length and returns its length byte.
const fn length_byte(field: Field, length: usize, min: usize, max: usize) -> Result<u8, MessageError> {
    #[allow(clippy::as_conversions)] // at most 255 in that branch
    if length >= min && length <= max && length <= 255 {
        Ok(length as u8)
    } else {
        Err(MessageError::Length { field, length, min, max })
    }
}

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident($borrowed:ty) $as:ident, $field:expr, $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name<'a> {
            value: &'a $borrowed,
            length: u8,
        }

        impl<'a> $name<'a> {
            /// Takes `value` when its length is in the bounds.
            ///
            /// # Errors
            ///
            /// [`MessageError::Length`] with the bounds.
            pub const fn new(value: &'a $borrowed) -> Result<Self, MessageError> {
                match length_byte($field, value.len(), $min, $max) {
                    Ok(length) => Ok(Self { value, length }),
                    Err(error) => Err(error),
                }
            }

            /// The value.
            #[must_use]
            pub const fn $as(&self) -> &'a $borrowed {
                self.value
            }

            pub(super) const fn length_byte(&self) -> u8 {
                self.length
            }
        }

        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.value, f)
            }
        }

        #[cfg(feature = "arbitrary")]
        impl<'a> arbitrary::Arbitrary<'a> for $name<'a> {
            fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
                Self::new(u.arbitrary()?).map_err(|_| arbitrary::Error::IncorrectFormat)
            }
        }
    };
}

bounded! {
    /// Who a device is: 1 to 64 bytes of UTF-8.
    DeviceId(str) as_str, Field::DeviceId, 1, MAX_DEVICE_ID_LEN
}
bounded! {
    /// What a server may ask of a device besides its id: 0 to 255 bytes, opaque here.
    Token([u8]) as_bytes, Field::Token, 0, 255
}
bounded! {
    /// Why, for people: 0 to 255 bytes of UTF-8.
    Reason(str) as_str, Field::Reason, 0, 255
}

impl fmt::Display for DeviceId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.value)
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.value)
    }
}

impl Token<'static> {
    /// No token.
    pub const EMPTY: Self = Self { value: &[], length: 0 };
}

impl Reason<'static> {
    /// No reason given.
    pub const EMPTY: Self = Self { value: "", length: 0 };
}

#[cfg(feature = "serde")]
mod as_serde {
    use super::{DeviceId, Reason, Token};
    use serde::{Serialize, Serializer};

    impl Serialize for DeviceId<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.value)
        }
    }

    impl Serialize for Reason<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.value)
        }
    }

    impl Serialize for Token<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            super::hex(self.value, serializer)
        }
    }
}

/// Bytes as lower-case hex text.
#[cfg(feature = "serde")]
pub(super) fn hex<S: serde::Serializer>(bytes: impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&crate::hex::Hex(bytes.as_ref()), serializer)
}

/// An opaque number as 16 hex digits: readers of JSON that take numbers for 64-bit floats would round it.
#[cfg(feature = "serde")]
#[allow(clippy::trivially_copy_pass_by_ref)] // serde gives the field by reference
pub(super) fn hex_u64<S: serde::Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    hex(number.to_be_bytes(), serializer)
}

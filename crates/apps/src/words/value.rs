//! What can stand in a text.

use std::net::{IpAddr, SocketAddr};
use std::path;

use fluent_bundle::FluentValue;

/// A value for a place in a text.
pub type Value<'a> = FluentValue<'a>;

/// What can be put into a text. Numbers stay numbers, so that a text can choose its words by them; everything else
/// goes in as it is displayed. Errors are none: [`Words::error`](super::Words::error) puts them into words first.
pub trait Placeable {
    /// As a value.
    fn value(&self) -> Value<'_>;
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Placeable for $number {
            fn value(&self) -> Value<'_> {
                (*self).into()
            }
        }
    )*};
}
numbers!(u8 u16 u32 i32 u64 usize);

impl Placeable for str {
    fn value(&self) -> Value<'_> {
        self.into()
    }
}
impl Placeable for String {
    fn value(&self) -> Value<'_> {
        self.as_str().into()
    }
}

macro_rules! displayed {
    ($($shown:ty)*) => {$(
        impl Placeable for $shown {
            fn value(&self) -> Value<'_> {
                self.to_string().into()
            }
        }
    )*};
}
displayed!(SocketAddr IpAddr sockeye_stack::Duration char path::Display<'_>);

impl<T: Placeable + ?Sized> Placeable for &T {
    fn value(&self) -> Value<'_> {
        (**self).value()
    }
}
